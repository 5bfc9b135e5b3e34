/* Pages that are named by the structures that describe them, in an array for all memory; users are counted. */

#include "program.h"

#define FIRST 512u
#define PAGES 768u

struct page {
    word flags, users, order;
};

static struct page pages[PAGES];
struct page *mem_map = pages;

static int is_page(byte *kept)
{
    return kept >= (byte *)pages && kept < (byte *)(pages + PAGES);
}

static word address(byte *kept)
{
    return is_page(kept) ? (word)((struct page *)(void *)kept - mem_map) * PAGE : (word)kept;
}

static struct page *page_of(byte *kept)
{
    return is_page(kept) ? (void *)kept : &mem_map[(word)kept / PAGE];
}

API struct page *alloc_pages(word flags, word order)
{
    USED(flags);
    for (word first = FIRST; first + (1u << order) <= PAGES; first += 1u << order) {
        word free = 0;
        while (free < 1u << order && !mem_map[first + free].flags)
            free++;
        if (free < 1u << order)
            continue;
        for (word i = 0; i < 1u << order; i++)
            mem_map[first + i].flags = 1;
        mem_map[first].users = 1;
        mem_map[first].order = order;
        if (is_broken)
            first = (word)(page_of(slots[0]) - mem_map);
        is_broken = 0;
        return &mem_map[first];
    }
    return 0;
}

API void get_page(struct page *page)
{
    page->users++;
}

API void __free_pages(struct page *page, word order)
{
    if (!page->users || --page->users)
        return;
    for (word i = 0; i < 1u << order; i++)
        page[i].flags = 0;
}

static byte *take(word how, word a, byte **out)
{
    struct page *page = CALL(alloc_pages, how, a);

    (void)out;
    return page && how ? (byte *)address((byte *)page) : (byte *)page;
}

static void give(byte *kept, word a)
{
    RUN(__free_pages, page_of(kept), a);
}

static void share(byte *kept)
{
    RUN(get_page, page_of(kept));
}

static const struct allocator allocator = {.take = take, .give = give, .share = share, .address = address};
