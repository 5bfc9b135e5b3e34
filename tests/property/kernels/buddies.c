/* Pages: buddies from 0x200000 to 0x400000, known by their addresses; owners are counted, and a free list runs through the pages. */

#include "program.h"

#define START 0x200000u
#define PAGES 512u

static byte order_of[PAGES], owners[PAGES]; /* of a run's first page; order + 1 while it is free */
static byte is_ready;

static void prepare(void)
{
    for (word page = 0; !is_ready && page < PAGES; page += 16)
        order_of[page] = 5;
    is_ready = 1;
}

static word split(word page, word order)
{
    while (order_of[page] > order + 1u) {
        order_of[page]--;
        order_of[page + (1u << (order_of[page] - 1))] = order_of[page];
    }
    return page;
}

API void *page_take(word order)
{
    prepare();
    for (word best = order + 1; best <= 5; best++)
        for (word page = 0; page < PAGES; page++)
            if (order_of[page] == best) {
                order_of[split(page, order)] = 0;
                owners[page] = 1;
                return answer((void *)(START + PAGE * page));
            }
    return 0;
}

API void page_hold(void *block)
{
    owners[((word)block - START) / PAGE]++;
}

API void page_give(void *block, word order)
{
    word page = ((word)block - START) / PAGE;

    if (page >= PAGES || !owners[page] || --owners[page])
        return;
    for (; order < 4; order++) {
        word buddy = page ^ 1u << order;
        if (order_of[buddy] != order + 1)
            break;
        order_of[buddy] = 0;
        page &= ~(1u << order);
    }
    order_of[page] = order + 1;
}

static byte *take(word how, word a, byte **out)
{
    (void)how, (void)out;
    return CALL(page_take, a);
}

static void give(byte *block, word a)
{
    RUN(page_give, block, a);
}

static void share(byte *block)
{
    RUN(page_hold, block);
}

static const struct allocator allocator = {.take = take, .give = give, .share = share};
