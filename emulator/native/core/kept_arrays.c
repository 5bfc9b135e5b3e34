/* Arrays that snapshots bring back: see kept_arrays.h.
 *
 * A snapshot keeps the parts that have changed since it was taken, as they were, until another one is taken; going back copies them.
 * What a snapshot keeps that is not needed any more goes to the one that is next further out, if that one lacks it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bits.h"
#include "core/kept_arrays.h"

struct kept_part { struct kept_part *next; uint64_t number; uint8_t bytes[]; };

struct kept_point {
    struct kept_array *of;
    struct kept_point *older;
    struct kept_part *parts;
    uint32_t opening;
};

static size_t bits_size(uint64_t parts) { return parts / 8 + 1; }

bool kc_array_open(struct kept_array *a, uint32_t opening, uint8_t *bytes, uint32_t part_size, uint64_t parts)
{
    *a = (struct kept_array){.bytes = bytes, .part_size = part_size, .parts = parts, .opening = opening};
    a->is_kept = calloc(1, bits_size(parts));
    return a->is_kept;
}

void kc_array_close(struct kept_array *a)
{
    free(a->is_kept);
    *a = (struct kept_array){0};
}

bool kc_array_grow(struct kept_array *a, uint64_t parts)
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

bool kc_array_keep_part(struct kept_array *a, uint64_t part)
{
    struct kept_part *kept = malloc(sizeof *kept + a->part_size);

    if (!kept)
        return false;
    kept->number = part;
    memcpy(kept->bytes, a->bytes + part * a->part_size, a->part_size);
    kept->next = a->newest->parts;
    a->newest->parts = kept;
    kc_bit_set(a->is_kept, part);
    return true;
}

struct kept_point *kc_array_save(struct kept_array *a)
{
    struct kept_point *point = malloc(sizeof *point);

    if (!point)
        return NULL;
    *point = (struct kept_point){.of = a, .opening = a->opening, .older = a->newest};
    memset(a->is_kept, 0, bits_size(a->parts));
    a->newest = point;
    return point;
}

bool kc_array_has(const struct kept_array *a, const struct kept_point *point) { return point && point->opening == a->opening; }

void kc_array_restore(struct kept_array *a)
{
    struct kept_part *next;

    for (struct kept_part *part = a->newest->parts; part; part = next) {
        next = part->next;
        memcpy(a->bytes + part->number * a->part_size, part->bytes, a->part_size);
        kc_bit_clear(a->is_kept, part->number);
        free(part);
    }
    a->newest->parts = NULL;
}

/* What this one keeps is what the older one needs, too, as far as that does not keep the same parts. */
static void hand_over(struct kept_array *a, struct kept_point *from, struct kept_point *to)
{
    struct kept_part **link = &from->parts;

    for (struct kept_part *part = from->parts; part; part = part->next)
        kc_bit_clear(a->is_kept, part->number);
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
        kc_bit_set(a->is_kept, part->number);
    }
}

/* It is not the newest one: whose parts are kept is asked of that. */
static void unlink_inner(struct kept_array *a, struct kept_point *point)
{
    struct kept_point *newer = a->newest;

    while (newer->older != point)
        newer = newer->older;
    newer->older = point->older;
    memset(a->is_kept, 0, bits_size(a->parts));
    for (struct kept_part *part = a->newest->parts; part; part = part->next)
        kc_bit_set(a->is_kept, part->number);
}

void kc_array_forget(struct kept_point *point)
{
    struct kept_part *next;

    if (!point)
        return;
    if (kc_array_has(point->of, point)) {
        if (point->older)
            hand_over(point->of, point, point->older);
        if (point->of->newest == point)
            point->of->newest = point->older;
        else
            unlink_inner(point->of, point);
    }
    for (; point->parts; point->parts = next) {
        next = point->parts->next;
        free(point->parts);
    }
    free(point);
}
