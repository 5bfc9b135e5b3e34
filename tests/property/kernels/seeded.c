/* Pages that are all given to the allocator by its own free, some at each start of `kinit`; a free list runs through them. */

#include "program.h"

#define START 0x200000u
#define PAGES 512u

enum { UNKNOWN, TAKEN, FREE };
static byte state[PAGES];
static byte *next_free;
static word known; /* pages; the address after them would hold the last one */

API void kfree(byte *page)
{
    word number = ((word)page - START) / PAGE;

    if ((word)page % PAGE || number >= PAGES || state[number] != TAKEN)
        return;
    state[number] = FREE;
    *(byte **)(void *)page = next_free;
    next_free = page;
}

API void kinit(byte *start, byte *end)
{
    for (; start + PAGE <= end; start += PAGE) {
        state[((word)start - START) / PAGE] = TAKEN;
        RUN(kfree, start);
    }
}

API void *kalloc(void)
{
    byte *page = next_free;

    if (!page)
        return 0;
    next_free = *(byte **)(void *)page;
    state[((word)page - START) / PAGE] = TAKEN;
    return answer(page);
}

static byte *take(word how, word a, byte **out)
{
    (void)how, (void)out;
    if (!next_free) {
        byte *start = (byte *)START + known * PAGE;
        known += a;
        RUN(kinit, start, start + a * PAGE);
    }
    return CALL(kalloc);
}

static void give(byte *block, word a)
{
    (void)a;
    RUN(kfree, block);
}

static const struct allocator allocator = {.take = take, .give = give};
