/* A heap whose blocks have headers; through these runs a list of all that are taken. */

#include "program.h"
#include "store.h"

struct header {
    struct header *next;
    word size;
};

static struct header *taken;

API void *heap_take(word size)
{
    struct header *header = (void *)carve(sizeof *header + size);

    *header = (struct header){taken, size};
    taken = header;
    return answer(header + 1);
}

API void *heap_take_zeros(word count, word size)
{
    byte *block = CALL(heap_take, count * size);

    for (word i = 0; i < count * size; i++)
        block[i] = 0;
    return block;
}

API void heap_give(void *block)
{
    for (struct header **link = &taken; *link; link = &(*link)->next)
        if (*link + 1 == block) {
            struct header *header = *link;
            *link = header->next;
            put_back(header);
            return;
        }
}

static byte *take(word how, word a, byte **out)
{
    (void)out;
    return how ? CALL(heap_take_zeros, a & 0xff, a >> 8) : CALL(heap_take, a);
}

static void give(byte *block, word a)
{
    (void)a;
    RUN(heap_give, block);
}

static const struct allocator allocator = {.take = take, .give = give};
