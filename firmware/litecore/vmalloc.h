/* Memory that is contiguous for the kernel, of frames from anywhere. */

#ifndef LITECORE_VMALLOC_H
#define LITECORE_VMALLOC_H

#include <stdint.h>

/*
 * Takes `size` bytes, rounded up to pages: a range of address space, and a frame for each page of it, ascending. Not
 * cleared; readable and writable for the kernel. NULL, with nothing changed, for 0 bytes, before paging_init(), and when
 * address space, heap or frames run out.
 */
void *vmalloc(uint32_t size);

/*
 * Gives back what vmalloc() returned: address space, frames and tables. NULL is ignored. Any other pointer changes nothing
 * but vspace_error_count, and is named on the console.
 */
void vfree(void *p);

#endif
