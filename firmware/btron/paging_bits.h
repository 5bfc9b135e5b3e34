/* Entries of page directories and page tables (SDM volume 3, 4.3), for C and assembly. */

#ifndef BTRON_PAGING_BITS_H
#define BTRON_PAGING_BITS_H

#define PAGE_PRESENT  0x001
#define PAGE_WRITABLE 0x002
#define PAGE_USER     0x004 /* ring 3 may use it */
#define PAGE_LARGE    0x080 /* maps 4 MiB */

#define PAGE_ADDRESS  0xFFFFF000 /* bits of the physical address of a table or a page */

#define LARGE_PAGE_SIZE        0x00400000
#define KERNEL_DIRECTORY_INDEX 512 /* of 0x80000000 */

#endif
