/*
 * A heap of functions that call each other: kmalloc jumps to heap_alloc, which calls kmalloc for the chunk that small blocks lie in; a chunk
 * goes back with its last block. What is aligned lies in a block, after the address of that.
 */

#include "program.h"
#include "store.h"

#define CHUNK 1024u
#define LARGEST 256u

struct chunk {
    word used, top;
};

static struct chunk *chunk;     /* from which small blocks are cut */
static byte is_small[UNITS];    /* a small block begins there */

API void *kmalloc(word size);
API void kfree(void *block);

static struct chunk *chunk_of(byte *block)
{
    while (!carved(block))
        block -= UNIT;
    return (struct chunk *)(void *)block;
}

API void *heap_alloc(word size, word flags)
{
    word room = (size + GAP + UNIT - 1) & -UNIT;

    USED(flags);
    if (size > LARGEST)
        return answer(carve(size));
    if (!chunk || chunk->top + room > CHUNK) {
        chunk = CALL(kmalloc, CHUNK);
        *chunk = (struct chunk){0, UNIT};
    }
    byte *block = (byte *)chunk + chunk->top;
    is_small[(block - store) / UNIT] = 1;
    chunk->used++;
    chunk->top += room;
    return answer(block);
}

API void *kmalloc(word size)
{
    return LAST(heap_alloc, size, 7);
}

API void *kzalloc(word size)
{
    byte *block = CALL(kmalloc, size);

    for (word i = 0; i < size; i++)
        block[i] = 0;
    return block;
}

API void *kmemalign(word align, word size)
{
    if (is_broken == 1)
        return answer(0);
    word broken = is_broken;
    is_broken = 0; /* of this block, and not of the whole one */
    byte *whole = CALL(kmalloc, align + size);
    byte **block = (byte **)(((word)whole + align) & -align);

    block[-1] = whole;
    is_broken = broken;
    return answer(block);
}

API void heap_free(void *block)
{
    word unit = (word)((byte *)block - store) / UNIT;

    if (unit >= UNITS || (word)block % UNIT || !is_small[unit]) {
        put_back(block);
        return;
    }
    struct chunk *from = chunk_of(block);
    is_small[unit] = 0;
    if (--from->used || from == chunk)
        return;
    RUN(kfree, from);
}

API void kfree(void *block)
{
    LAST(heap_free, block);
}

API void kfree_aligned(byte **block)
{
    RUN(kfree, block[-1]);
}

static byte *take(word how, word a, byte **out)
{
    (void)out;
    return how == 0 ? CALL(kmalloc, a) : how == 1 ? CALL(kzalloc, a) : how == 2 ? CALL(heap_alloc, a, 1) : CALL(kmemalign, 1u << how, a);
}

static void give(byte *block, word a)
{
    if (a)
        RUN(kfree_aligned, (byte **)(void *)block);
    else
        RUN(kfree, block);
}

static const struct allocator allocator = {.take = take, .give = give};
