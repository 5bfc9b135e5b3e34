/* Physical memory: which frames of the managed window are in use. */

#ifndef LITECORE_MEMMAP_H
#define LITECORE_MEMMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "litecore/spinlock.h"

#define FRAME_SIZE 4096u
#define FRAME_NONE 0xFFFFFFFFu

typedef struct {
    uint32_t start_addr;  /* first managed address */
    uint32_t end_addr;    /* exclusive */
    uint32_t start_frame; /* start_addr / FRAME_SIZE */
    uint32_t max_frames;  /* number of managed frames */
    uint8_t *bitmap;      /* bit i%8 of byte i/8 is frame start_frame+i: 0 free, 1 in use */
} memmap_t;

_Static_assert(offsetof(memmap_t, start_addr) == 0, "memmap_t.start_addr");
_Static_assert(offsetof(memmap_t, end_addr) == 4, "memmap_t.end_addr");
_Static_assert(offsetof(memmap_t, start_frame) == 8, "memmap_t.start_frame");
_Static_assert(offsetof(memmap_t, max_frames) == 12, "memmap_t.max_frames");
_Static_assert(offsetof(memmap_t, bitmap) == 16, "memmap_t.bitmap");
_Static_assert(sizeof(memmap_t) == 20, "memmap_t");

extern memmap_t memmap;
extern spinlock_t memmap_lock;

/*
 * Manages the frames that lie wholly in [start, end), all of them free; the bitmap goes right after
 * the kernel image. No such frame: nothing changes. The last page below 4 GiB cannot be managed.
 */
void memmap_init(uint32_t start, uint32_t end);

/* Takes the lowest free frame. Returns its number (address / FRAME_SIZE), or FRAME_NONE. */
uint32_t alloc_frame(void);

/*
 * Takes the lowest run of `count` free frames. Returns the first one's number; FRAME_NONE when there is no
 * such run or `count` is 0.
 */
uint32_t alloc_frames(uint32_t count);

/* Gives one frame back. 0; or -1, with nothing changed, when it is outside the window or already free. */
int free_frame(uint32_t frame);

/*
 * Gives `count` frames back. 0; or -1, with nothing changed, when `count` is 0 or any of them is outside
 * the window or already free.
 */
int free_frames(uint32_t first, uint32_t count);

/* Takes all frames that [start, end) touches, as far as they are managed and not yet in use. */
void memmap_reserve(uint32_t start, uint32_t end);

/* The struct itself, for readers. */
const memmap_t *memmap_get(void);

/* Number of free frames. */
uint32_t memmap_free_count(void);

/* Would alloc_frames(count) succeed? */
bool memmap_has_run(uint32_t count);

/* Bytes that the bitmap of `max_frames` frames takes. */
static inline uint32_t bitmap_size(uint32_t max_frames)
{
    return max_frames / 8 + (max_frames % 8 != 0);
}

#endif
