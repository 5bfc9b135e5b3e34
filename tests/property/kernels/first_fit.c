/* A heap in a static array: first fit, blocks of all sizes in a row, each with a header of 8 bytes. */

#include "program.h"

struct header {
    word size, is_used;
};

static byte arena[192 * 1024] __attribute__((aligned(8)));

static struct header *following(struct header *each)
{
    return (struct header *)((byte *)(each + 1) + each->size);
}

static int is_last(struct header *each)
{
    return (byte *)each >= arena + sizeof arena;
}

static void prepare(void)
{
    struct header *first = (struct header *)arena;

    if (!first->size)
        *first = (struct header){sizeof arena - sizeof *first, 0};
}

static void join(void)
{
    for (struct header *each = (void *)arena; !is_last(each); each = following(each))
        while (!each->is_used && !is_last(following(each)) && !following(each)->is_used)
            each->size += sizeof *each + following(each)->size;
}

static struct header *cut(struct header *each, word size)
{
    if (each->size >= size + 2 * sizeof *each) {
        struct header *rest = (void *)((byte *)(each + 1) + size);
        *rest = (struct header){each->size - size - sizeof *rest, 0};
        each->size = size;
    }
    return each;
}

static byte *find(word size, word align)
{
    prepare();
    size = size ? (size + 7) & ~7u : 8;
    for (struct header *each = (void *)arena; !is_last(each); each = following(each)) {
        word body = (word)(each + 1), aligned = (body + align - 1) & ~(align - 1);
        if (aligned != body && aligned - body < 2 * sizeof *each)
            aligned += align > 2 * sizeof *each ? align : 2 * sizeof *each;
        if (each->is_used || aligned + size > body + each->size)
            continue;
        if (aligned != body)
            each = following(cut(each, aligned - body - sizeof *each));
        cut(each, size)->is_used = 1;
        return answer(each + 1);
    }
    return 0;
}

API void *heap_take(word size)
{
    return find(size, 8);
}

API void *heap_take_zeros(word count, word size)
{
    byte *found = find(count * size, 8);

    for (word i = 0; found && i < count * size; i++)
        found[i] = 0;
    return found;
}

API void *heap_take_aligned(word align, word size)
{
    return find(size, align);
}

API void heap_give(void *block)
{
    prepare();
    for (struct header *each = (void *)arena; block && !is_last(each); each = following(each))
        if ((void *)(each + 1) == block)
            each->is_used = 0;
    join();
}

API void *heap_resize(void *block, word size)
{
    byte *found = 0;

    if (!block)
        return LAST(heap_take, size);
    if (size) {
        struct header *old = (struct header *)block - 1;
        if (old->size >= size)
            return block;
        found = find(size, 8);
        for (word i = 0; found && i < old->size; i++)
            found[i] = ((byte *)block)[i];
    }
    if (found || !size)
        RUN(heap_give, block);
    return found;
}

static byte *take(word how, word a, byte **out)
{
    (void)out;
    switch (how) {
    case 0:
        return CALL(heap_take, a);
    case 1:
        return CALL(heap_take_zeros, a & 0xff, a >> 8);
    default:
        return CALL(heap_take_aligned, 1u << (how + 2), a);
    }
}

static byte *retake(byte *block, word how, word a)
{
    (void)how;
    return CALL(heap_resize, block, a);
}

static void give(byte *block, word a)
{
    (void)a;
    RUN(heap_give, block);
}

static const struct allocator allocator = {.take = take, .retake = retake, .give = give};
