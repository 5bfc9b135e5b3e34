/* A heap that takes some blocks back later, when the next one is taken; until then a list runs through them. */

#include "program.h"
#include "store.h"

static byte **waiting;

API void heap_give(void *block)
{
    put_back(block);
}

API void heap_give_later(void *block)
{
    for (byte **each = waiting; each; each = (byte **)(void *)*each)
        if (each == block)
            return;
    if (!carved(block))
        return;
    *(byte **)block = (byte *)waiting;
    waiting = block;
}

API void *heap_take(word size)
{
    while (waiting) {
        void *block = waiting;
        waiting = (byte **)(void *)*waiting;
        RUN(heap_give, block);
    }
    return answer(carve(size));
}

static byte *take(word how, word a, byte **out)
{
    (void)how, (void)out;
    return CALL(heap_take, a);
}

static void give(byte *block, word a)
{
    if (a)
        RUN(heap_give_later, block);
    else
        RUN(heap_give, block);
}

static const struct allocator allocator = {.take = take, .give = give};
