/* Pages and what they held, by page number. */
#ifndef KMEMU_PAGE_LIST_H
#define KMEMU_PAGE_LIST_H

#include "machine.h"

struct page { uint32_t number; uint8_t *bytes; };
struct page_list { struct page *pages; uint32_t count, capacity; };

/* Add a page; `bytes` is copied. Returns the copy, NULL: no memory. */
uint8_t *kc_page_list_add(struct page_list *list, uint32_t page, const uint8_t *bytes);
/* The bytes kept of a page, or NULL. */
uint8_t *kc_page_list_find(const struct page_list *list, uint32_t page);
bool kc_page_list_copy(struct page_list *to, const struct page_list *from);
void kc_page_list_clear(struct page_list *list);

/* Room for a list that Python reads. */
struct touched_room { kc_touched *entries; uint32_t capacity; };
/* The list for Python, valid until the next call with the same room, and as long as the pages are. Returns its length; -1: no
 * memory. */
int64_t kc_touched_of(struct touched_room *room, const struct page_list *list, const kc_touched **out);

#endif
