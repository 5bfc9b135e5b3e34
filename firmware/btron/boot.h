/* From the boot loader to a kernel with memory and tasks. */

#ifndef BTRON_BOOT_H
#define BTRON_BOOT_H

#include <stdint.h>

#include "common/multiboot.h"

/*
 * Sets up console, paging, interrupts, memory (pmem, kmem) and an empty set of tasks. RAM below 2 GiB is used
 * as the boot loader's memory map says; image, page table, first MiB and modules are reserved. Ends the run
 * with a line on the console when there is no memory to work with.
 *
 * Returns what the boot loader said.
 */
const struct boot_info *btron_boot(uint32_t magic, const struct multiboot_info *physical_info);

#endif
