/* Arrays that snapshots bring back, and lead ahead again, at the cost of what has changed in them: part by part, as it was. */
#ifndef KMEMU_KEPT_ARRAYS_H
#define KMEMU_KEPT_ARRAYS_H

#include <stdbool.h>
#include <stdint.h>

struct kept_point;

/* `bytes` is its owner's, who moves it and frees it. All zeros: closed. */
struct kept_array {
    uint8_t *bytes;
    uint8_t *is_kept;           /* one bit a part: the newest snapshot keeps it as it was */
    uint64_t parts;             /* how many there is room for */
    struct kept_point *newest;  /* of the snapshots since it was opened, without those ahead; NULL: none */
    uint64_t *kept_size;        /* bytes that snapshots keep of this array, and of others */
    uint32_t part_size;         /* bytes */
    uint32_t opening;           /* which one of its owner's, from 1 */
};

/* kept_size: where to count what snapshots keep of it. false: no memory. */
bool kc_array_open(struct kept_array *a, uint64_t *kept_size, uint32_t opening, uint8_t *bytes, uint32_t part_size, uint64_t parts);
/* What snapshots keep of it is of no more use. */
void kc_array_close(struct kept_array *a);
/* Let it have room for at least so many parts, in memory from malloc(). false: no memory. */
bool kc_array_grow(struct kept_array *a, uint64_t parts);

bool kc_array_keep_part(struct kept_array *a, uint64_t part);
/* A part is going to change. false: no memory. */
static inline bool kc_array_keep(struct kept_array *a, uint64_t part)
{
    return !a->newest || a->is_kept[part >> 3] >> (part & 7) & 1 || kc_array_keep_part(a, part);
}

/* A snapshot keeps it from now on. NULL: no memory. */
struct kept_point *kc_array_save(struct kept_array *a);
/* Has it been open since the snapshot was taken? */
bool kc_array_has(const struct kept_array *a, const struct kept_point *point);
/* Make it what it was at a snapshot, the newest or another one. Those after it are ahead then. */
void kc_array_go_to(struct kept_array *a, const struct kept_point *point);
/* Forget a snapshot, which may be ahead, or of an array that is closed. It may be NULL. */
void kc_array_forget(struct kept_point *point);

#endif
