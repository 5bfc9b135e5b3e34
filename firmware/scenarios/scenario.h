/* What the scenario kernels share: self checks, and views of the heap for their reports. */

#ifndef SCENARIOS_SCENARIO_H
#define SCENARIOS_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/string.h"
#include "litecore/boot.h"
#include "litecore/heap.h"
#include "litecore/memmap.h"

/* Entry from entry.S; each scenario defines it and ends in finish(). */
__attribute__((noreturn)) void kmain(uint32_t magic, const struct multiboot_info *info);

/* Prints a heading. */
void section(const char *title);

/* Prints what should hold, and whether it does. The first failure decides the kernel's exit value. */
void check(bool holds, const char *what);

/* Prints the verdict and ends the run: EXIT_PASSED, or EXIT_CHECK_FAILED after any failed check(). */
__attribute__((noreturn)) void finish(void);

struct heap_usage {
    uint32_t live_blocks;
    uint32_t live_bytes; /* bodies only, as all bytes here */
    uint32_t free_blocks;
    uint32_t free_bytes;
    uint32_t largest_free;
    const struct block_header *damaged; /* first header that cannot be one; NULL: all are sound */
};

/* Walks the headers from heap_start up, as far as they are sound. */
struct heap_usage heap_measure(void);

/* Prints a line about heap_measure(). */
void heap_print(void);

/* Draws the heap in 64 cells: `#` all live, `.` all free, `+` both, `?` behind a damaged header. */
void heap_draw(void);

/* Is the heap one free block from end to end? */
bool heap_is_whole(void);

#endif
