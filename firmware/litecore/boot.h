/* From the boot loader to a kernel with memory. */

#ifndef LITECORE_BOOT_H
#define LITECORE_BOOT_H

#include <stdint.h>

#include "common/multiboot.h"

/*
 * Sets up console, exceptions and memory. The window is the RAM that contains 1 MiB, up to 0x00500000;
 * `ram=all` on the command line takes all of it, `ram=0xSTART-0xEND` takes that range, and `heap=BYTES` sets the
 * size of the heap. Modules are reserved.
 *
 * Returns what the boot loader said. Without Multiboot's `magic` the defaults hold.
 */
const struct boot_info *litecore_boot(uint32_t magic, const struct multiboot_info *info);

/* Reserves the modules' frames; again after each memory_init(), which makes them free. */
void litecore_reserve_modules(const struct boot_info *boot);

#endif
