/* Arrays that snapshots bring back: see kept_arrays.h.
 *
 * A snapshot keeps the parts that have changed since it was taken, as they were, until another one is taken; going back to the newest one copies them.
 * Going on from there to an older one exchanges what that keeps with what the array holds: so it leads from the older one to the newer one, which keeps it as long
 * as it is ahead. The same exchange goes forwards again.
 *
 * All are in one list, the oldest first, and the array stands at one of them. What those before keep leads back to them from the next one; what those after
 * it keep leads forwards to them from the one before. What a snapshot keeps that is not needed any more goes to the next one in that direction, if that
 * one lacks it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bits.h"
#include "core/kept_arrays.h"
#include "machine.h"

struct kept_part { struct kept_part *next; uint64_t number; uint8_t bytes[]; };

struct kept_point {
    struct kept_array *of;
    struct kept_point *older, *newer;
    struct kept_part *parts;
    uint64_t *kept_size;
    uint32_t part_size;
    uint32_t opening;
};

static size_t bits_size(uint64_t parts) { return parts / 8 + 1; }

bool kc_array_open(struct kept_array *a, uint64_t *kept_size, uint32_t opening, uint8_t *bytes, uint32_t part_size, uint64_t parts)
{
    *a = (struct kept_array){.bytes = bytes, .kept_size = kept_size, .part_size = part_size, .parts = parts, .opening = opening};
    a->is_kept = calloc(1, bits_size(parts));
    return a->is_kept;
}

void kc_array_close(struct kept_array *a)
{
    free(a->is_kept);
    *a = (struct kept_array){0};
}

SELDOM bool kc_array_grow(struct kept_array *a, uint64_t parts)
{
    uint64_t larger = parts > 2 * a->parts ? parts : 2 * a->parts;
    uint8_t *bits = realloc(a->is_kept, bits_size(larger));

    if (!bits)
        return false;
    a->is_kept = bits;
    memset(bits + bits_size(a->parts), 0, bits_size(larger) - bits_size(a->parts));
    uint8_t *bytes = realloc(a->bytes, larger * a->part_size);
    if (!bytes)
        return false;
    a->bytes = bytes;
    a->parts = larger;
    return true;
}

SELDOM bool kc_array_keep_part(struct kept_array *a, uint64_t part)
{
    struct kept_part *kept = malloc(sizeof *kept + a->part_size);

    if (!kept)
        return false;
    kept->number = part;
    memcpy(kept->bytes, a->bytes + part * a->part_size, a->part_size);
    kept->next = a->newest->parts;
    a->newest->parts = kept;
    *a->kept_size += a->part_size;
    kc_bit_set(a->is_kept, part);
    return true;
}

struct kept_point *kc_array_save(struct kept_array *a)
{
    struct kept_point *point = malloc(sizeof *point);

    if (!point)
        return NULL;
    *point = (struct kept_point){
        .of = a, .opening = a->opening, .older = a->newest, .newer = a->newest ? a->newest->newer : NULL, .kept_size = a->kept_size, .part_size = a->part_size,
    };
    if (point->older)
        point->older->newer = point;
    if (point->newer)
        point->newer->older = point;
    memset(a->is_kept, 0, bits_size(a->parts));
    a->newest = point;
    return point;
}

bool kc_array_has(const struct kept_array *a, const struct kept_point *point) { return point && point->opening == a->opening; }

static uint8_t *part_at(const struct kept_array *a, const struct kept_part *part) { return a->bytes + part->number * a->part_size; }

static void forget_parts(struct kept_point *point)
{
    struct kept_part *next;

    for (; point->parts; point->parts = next) {
        next = point->parts->next;
        free(point->parts);
        *point->kept_size -= point->part_size;
    }
}

/* Take back what has changed since the newest snapshot. */
static void undo(struct kept_array *a)
{
    for (const struct kept_part *part = a->newest->parts; part; part = part->next) {
        memcpy(part_at(a, part), part->bytes, a->part_size);
        kc_bit_clear(a->is_kept, part->number);
    }
    forget_parts(a->newest);
}

/* What one of two neighbours keeps leads to the other one from now on. */
static void exchange(struct kept_array *a, struct kept_point *from, struct kept_point *to)
{
    uint8_t before[1024];

    for (struct kept_part *part = from->parts; part; part = part->next)
        for (uint32_t done = 0, size; done < a->part_size; done += size) {
            uint8_t *here = part_at(a, part) + done, *there = part->bytes + done;
            size = a->part_size - done < sizeof before ? a->part_size - done : sizeof before;
            memcpy(before, here, size);
            memcpy(here, there, size);
            memcpy(there, before, size);
        }
    to->parts = from->parts;
    from->parts = NULL;
}

static bool is_ahead(const struct kept_array *a, const struct kept_point *point)
{
    const struct kept_point *each = a->newest;

    while (each && each != point)
        each = each->newer;
    return each && point != a->newest;
}

void kc_array_go_to(struct kept_array *a, const struct kept_point *point)
{
    bool forwards = is_ahead(a, point);

    undo(a);
    while (a->newest != point) {
        struct kept_point *here = a->newest, *next = forwards ? here->newer : here->older;
        exchange(a, next, here);
        a->newest = next;
    }
}

/* What one keeps is what another one needs, too, as far as that does not keep the same parts. */
static void hand_over(struct kept_array *a, struct kept_point *from, struct kept_point *to)
{
    struct kept_part **link = &from->parts;

    memset(a->is_kept, 0, bits_size(a->parts));
    for (struct kept_part *part = to->parts; part; part = part->next)
        kc_bit_set(a->is_kept, part->number);
    while (*link) {
        struct kept_part *part = *link;
        if (kc_bit(a->is_kept, part->number)) {
            link = &part->next;
            continue;
        }
        *link = part->next;
        part->next = to->parts;
        to->parts = part;
    }
}

static void leave_list(struct kept_array *a, struct kept_point *point)
{
    struct kept_point *heir = is_ahead(a, point) ? point->newer : point->older;

    if (heir)
        hand_over(a, point, heir);
    if (point->older)
        point->older->newer = point->newer;
    if (point->newer)
        point->newer->older = point->older;
    if (a->newest == point)
        a->newest = point->older;
    memset(a->is_kept, 0, bits_size(a->parts));
    for (const struct kept_part *part = a->newest ? a->newest->parts : NULL; part; part = part->next)
        kc_bit_set(a->is_kept, part->number);
}

void kc_array_forget(struct kept_point *point)
{
    if (!point)
        return;
    if (kc_array_has(point->of, point))
        leave_list(point->of, point);
    forget_parts(point);
    free(point);
}
