/* Page directory entries (SDM volume 3, 4.3), for C and assembly. */

#ifndef BTRON_PAGING_BITS_H
#define BTRON_PAGING_BITS_H

#define PAGE_PRESENT  0x001
#define PAGE_WRITABLE 0x002
#define PAGE_LARGE    0x080 /* maps 4 MiB */

#define LARGE_PAGE_SIZE        0x00400000
#define KERNEL_DIRECTORY_INDEX 512 /* of 0x80000000 */

#endif
