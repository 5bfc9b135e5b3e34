/*
 * Columns of numbers in few bytes.
 *
 * Theory. What is kept of a number is its level above the lowest one of the column. Levels are worked out twice, some at a time: to find the
 * lowest and the highest, and to store them. It is the same code for hosts that have AVX2 and for others, compiled twice.
 */

#include <string.h>

#include "analysis/analysis.h"
#include "analysis/inlined.h"

enum { AT_ONCE = 512 };
#define HALF (1ull << 31) /* levels of long numbers are taken from so far below the first one, or the one before */

/* Some numbers of a column, whose levels are words. */
typedef struct {
    uint32_t count;
    uint32_t levels[AT_ONCE];
} part;

/* Work out the levels of a part. False: they take more than a word. */
static INLINED bool take_levels(const kc_wide *column, uint32_t first, uint32_t *restrict levels, uint32_t count)
{
    const uint8_t *restrict bytes = (const uint8_t *)column->values + first;
    const uint32_t *restrict words = (const uint32_t *)column->values + first, step = column->step;
    const uint64_t *restrict numbers = (const uint64_t *)column->values + first;
    uint64_t beyond = 0;

    if (column->size == sizeof(uint8_t)) {
        for (uint32_t i = 0; i < count; i++)
            levels[i] = bytes[i];
    } else if (column->size == sizeof(uint32_t)) {
        for (uint32_t i = 0; i < count; i++)
            levels[i] = words[i] - step * (first + i);
    } else if (column->is_sum) {
        const uint64_t *restrict before = numbers - 1;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t level = numbers[i] - before[i] + HALF;
            levels[i] = (uint32_t)level;
            beyond |= level >> 32;
        }
    } else {
        uint64_t base = *(const uint64_t *)column->values - HALF;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t level = numbers[i] - base;
            levels[i] = (uint32_t)level;
            beyond |= level >> 32;
        }
    }
    return !beyond;
}

static INLINED bool read_part(const kc_wide *column, uint32_t count, part *p, uint32_t first)
{
    p->count = count - first < AT_ONCE ? count - first : AT_ONCE;
    return p->count == AT_ONCE ? take_levels(column, first, p->levels, AT_ONCE) : take_levels(column, first, p->levels, p->count);
}

/* Find the lowest and the highest level of a column. False: some take more than a word. */
static INLINED bool find_range(const kc_wide *column, uint32_t count, uint32_t *lowest, uint32_t *highest)
{
    part p;
    uint32_t low = UINT32_MAX, high = 0;

    for (uint32_t first = column->is_sum; first < count; first += AT_ONCE) {
        if (!read_part(column, count, &p, first))
            return false;
        for (uint32_t i = p.count; i < AT_ONCE; i++)
            p.levels[i] = p.levels[0];
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            low = p.levels[i] < low ? p.levels[i] : low;
            high = p.levels[i] > high ? p.levels[i] : high;
        }
    }
    *lowest = low;
    *highest = high;
    return true;
}

static INLINED void store_levels(const uint32_t *restrict levels, uint32_t lowest, uint32_t size, void *to, uint32_t count)
{
    uint8_t *restrict bytes = to;
    uint16_t *restrict halves = to;
    uint32_t *restrict words = to;

    if (size == sizeof(uint8_t))
        for (uint32_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)(levels[i] - lowest);
    else if (size == sizeof(uint16_t))
        for (uint32_t i = 0; i < count; i++)
            halves[i] = (uint16_t)(levels[i] - lowest);
    else
        for (uint32_t i = 0; i < count; i++)
            words[i] = levels[i] - lowest;
}

static INLINED void store_column(const kc_wide *column, uint32_t count, uint32_t lowest, void *to)
{
    part p;

    memset(to, 0, column->kept_size); /* of a sum nothing else is stored for the first number */
    for (uint32_t first = column->is_sum; first < count; first += AT_ONCE) {
        read_part(column, count, &p, first);
        uint8_t *from_first = (uint8_t *)to + (size_t)column->kept_size * first;
        if (p.count == AT_ONCE)
            store_levels(p.levels, lowest, column->kept_size, from_first, AT_ONCE);
        else
            store_levels(p.levels, lowest, column->kept_size, from_first, p.count);
    }
}

static uint32_t size_of(uint32_t highest) { return highest > UINT16_MAX ? 4 : highest > UINT8_MAX ? 2 : highest ? 1 : 0; }

static INLINED void narrow_column(kc_wide *column, uint32_t count, void *to)
{
    uint32_t low, high;

    column->is_sum = column->may_be_sum && count > 1;
    if (column->is_sum)
        column->is_sum = find_range(column, count, &low, &high) && high - low <= UINT16_MAX;
    if ((column->is_sum || find_range(column, count, &low, &high)) && (column->kept_size = size_of(high - low)) < column->size) {
        column->lowest = low;
        if (column->size == sizeof(uint64_t))
            column->lowest += (column->is_sum ? 0 : *(const uint64_t *)column->values) - HALF;
        if (column->kept_size)
            store_column(column, count, low, to);
        return;
    }
    column->kept_size = column->size;
    column->lowest = column->step = 0;
    memcpy(to, column->values, (size_t)column->size * count);
}

static void narrow_plainly(kc_wide *column, uint32_t count, void *to) { narrow_column(column, count, to); }

__attribute__((target("avx2"))) static void narrow_fast(kc_wide *column, uint32_t count, void *to) { narrow_column(column, count, to); }

uint64_t kc_narrow_columns(kc_wide *columns, uint32_t column_count, uint32_t count, void *to)
{
    uint64_t used = 0;
    bool is_fast = __builtin_cpu_supports("avx2");

    for (uint32_t i = 0; i < column_count; i++) {
        columns[i].at = used;
        (is_fast ? narrow_fast : narrow_plainly)(&columns[i], count, (uint8_t *)to + used);
        used += ((uint64_t)columns[i].kept_size * count + KC_NARROW_ALIGNED - 1) / KC_NARROW_ALIGNED * KC_NARROW_ALIGNED;
    }
    return used;
}
