/* The user half of a page directory: tables of pages, and what is mapped by them. Call with interrupts off. */

#ifndef BTRON_USER_PAGES_H
#define BTRON_USER_PAGES_H

#include "btron/paging_bits.h"
#include "btron/types.h"

/*
 * A directory is named by its physical address, a page by any user address in it. `protection` is PAGE_WRITABLE,
 * PAGE_USER, both or 0.
 */

/* The entry of a page, present or not; NULL where there is no table for it. */
UW *user_entry(UW directory, UW address);

/* Is the page mapped, with all of `protection`? */
bool user_is_mapped(UW directory, UW address, UW protection);

/* The lowest mapped page in [start, end), whole pages; `end` if there is none. */
UW user_next_mapped(UW directory, UW start, UW end);

/* Maps a fresh zeroed page where none is mapped. E_NOMEM: no page for it or its table; nothing is changed. */
ER user_add_page(UW directory, UW address, UW protection);

/* Maps the page at a kernel address, which has one owner more, where none is mapped. E_NOMEM as above. */
ER user_share_page(UW directory, UW address, VP page, UW protection);

/* Changes the protection of the pages that are mapped in [start, end). */
void user_protect(UW directory, UW start, UW end, UW protection);

/* Unmaps the pages that are mapped in [start, end), and gives them and the tables that are left empty back. */
void user_unmap(UW directory, UW start, UW end);

#endif
