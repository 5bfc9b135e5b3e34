/* Pages and what they held, by page number. */
#include <stdlib.h>
#include <string.h>

#include "core/page_list.h"

uint8_t *kc_page_list_find(const struct page_list *list, uint32_t page)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->pages[i].number == page)
            return list->pages[i].bytes;
    return NULL;
}

uint8_t *kc_page_list_add(struct page_list *list, uint32_t page, const uint8_t *bytes)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct page *pages = realloc(list->pages, capacity * sizeof *pages);
        if (!pages)
            return NULL;
        memset(pages + list->capacity, 0, (capacity - list->capacity) * sizeof *pages);
        list->pages = pages;
        list->capacity = capacity;
    }
    struct page *entry = &list->pages[list->count];
    if (!entry->bytes && !(entry->bytes = malloc(PAGE_SIZE)))
        return NULL;
    entry->number = page;
    memcpy(entry->bytes, bytes, PAGE_SIZE);
    list->count++;
    return entry->bytes;
}

void kc_page_list_clear(struct page_list *list)
{
    for (uint32_t i = 0; i < list->capacity; i++)
        free(list->pages[i].bytes);
    free(list->pages);
    memset(list, 0, sizeof *list);
}

bool kc_page_list_copy(struct page_list *to, const struct page_list *from)
{
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++)
        if (!kc_page_list_add(to, from->pages[i].number, from->pages[i].bytes))
            return false;
    return true;
}

int64_t kc_touched_of(struct touched_room *room, const struct page_list *list, const kc_touched **out)
{
    if (list->count > room->capacity) {
        kc_touched *entries = realloc(room->entries, list->count * sizeof *entries);
        if (!entries)
            return -1;
        room->entries = entries;
        room->capacity = list->count;
    }
    for (uint32_t i = 0; i < list->count; i++)
        room->entries[i] = (kc_touched){list->pages[i].number, list->pages[i].bytes};
    *out = room->entries;
    return list->count;
}
