/* What LiteCore's scenario kernels share: the memory subsystems, and views of the heap for their reports. */

#ifndef SCENARIOS_LITECORE_H
#define SCENARIOS_LITECORE_H

#include "common/console.h"
#include "common/string.h"
#include "litecore/boot.h"
#include "litecore/heap.h"
#include "litecore/memmap.h"
#include "scenarios/scenario.h"

struct heap_usage {
    uint32_t live_blocks;
    uint32_t live_bytes; /* bodies only, as all bytes here */
    uint32_t free_blocks;
    uint32_t free_bytes;
    uint32_t largest_free;
    const struct block_header *damaged; /* first header that cannot be one; NULL: there is none */
};

/* Scans the headers from heap_start up, as far as they are undamaged. */
struct heap_usage heap_measure(void);

/* Prints a line about heap_measure(). */
void heap_print(void);

/* Draws the heap in 64 cells: `#` all live, `.` all free, `+` both, `?` after a damaged header. */
void heap_draw(void);

/* Is the heap one free block from end to end? */
bool heap_is_whole(void);

#endif
