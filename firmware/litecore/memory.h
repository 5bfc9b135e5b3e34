/* Start-up of the memory subsystems. */

#ifndef LITECORE_MEMORY_H
#define LITECORE_MEMORY_H

#include <stdint.h>

#define KERNEL_BASE 0x00100000u /* where kernel.ld puts the image */

/* What memory_init() works with; the boot code may set other values before. */
extern uint32_t memory_window_start; /* default 0x00100000 */
extern uint32_t memory_window_end;   /* exclusive; default 0x00500000 */
extern uint32_t heap_bytes;          /* default 65536 */

/*
 * Brings up frames and heap: the bitmap goes after the kernel image, the heap on the next page boundary. The frames of
 * image, bitmap and heap are reserved.
 */
void memory_init(void);

#endif
