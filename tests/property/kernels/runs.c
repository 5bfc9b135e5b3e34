/* Runs of pages that are given back as a whole, in parts, or page by page. */

#include "program.h"

#define START 0x200000u
#define PAGES 512u

static byte is_taken[PAGES];

API void *run_take(word pages)
{
    for (word first = 0; first + pages <= PAGES; first++) {
        word free = 0;
        while (free < pages && !is_taken[first + free])
            free++;
        if (free < pages)
            continue;
        for (word i = 0; i < pages; i++)
            is_taken[first + i] = 1;
        return answer((void *)(START + first * PAGE));
    }
    return 0;
}

API void run_give(void *start, word pages)
{
    for (word first = ((word)start - START) / PAGE, i = 0; i < pages; i++)
        if (first + i < PAGES)
            is_taken[first + i] = 0;
}

API void page_give(void *page)
{
    LAST(run_give, page, 1);
}

static byte *take(word how, word a, byte **out)
{
    (void)how, (void)out;
    return CALL(run_take, a);
}

static void give(byte *block, word a)
{
    if (a)
        RUN(run_give, block, a);
    else
        RUN(page_give, block);
}

static const struct allocator allocator = {.take = take, .give = give};
