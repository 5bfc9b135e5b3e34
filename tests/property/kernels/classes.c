/*
 * A heap after the kernel's image: a free list for each power of two, a header of 4 bytes, blocks at multiples of 4. Nothing is given
 * for no bytes but one address for all, and an error number where there is no memory.
 */

#include "program.h"

#define NO_MEMORY ((void *)-12)
#define EMPTY ((void *)16)
#define IS_BLOCK(p) ((word)(p) > 16 && (word)(p) < -4095u)

static word top = 0x180000, lists[20];

static word class_of(word size)
{
    word class = 2;

    while (size + 4 > 1u << class)
        class++;
    return class;
}

API void *kalloc(word size)
{
    word class = class_of(size), at = lists[class];

    if (!size)
        return EMPTY;
    if (size > 1 << 16)
        return NO_MEMORY;
    if (at) {
        lists[class] = *(word *)(at + 4);
    } else {
        at = top;
        top += 1u << class;
    }
    *(word *)at = class;
    return answer((void *)(at + 4));
}

API void kfree_sized(void *block, word size)
{
    USED(size);
    if (!IS_BLOCK(block) || (word)block & 3)
        return;
    word *header = (word *)block - 1;
    if (*header < 2 || *header > 19)
        return;
    header[1] = lists[*header];
    lists[*header] = (word)header;
    *header |= 0x80; /* freed: whatever is given again is left alone */
}

API void kfree(void *block)
{
    LAST(kfree_sized, block, 0);
}

API void *krealloc(void *block, word size)
{
    byte *found;

    if (!IS_BLOCK(block))
        return LAST(kalloc, size);
    if (!size) {
        RUN(kfree, block);
        return EMPTY;
    }
    found = CALL(kalloc, size);
    if (IS_BLOCK(found)) {
        word room = (1u << ((word *)block)[-1]) - 4;
        for (word i = 0; i < room && i < size; i++)
            found[i] = ((byte *)block)[i];
        RUN(kfree, block);
    }
    return found;
}

static byte *take(word how, word a, byte **out)
{
    byte *block = CALL(kalloc, a);

    (void)out, (void)how;
    return IS_BLOCK(block) ? block : 0;
}

static byte *retake(byte *block, word how, word a)
{
    byte *found = CALL(krealloc, block, a);

    (void)how;
    return IS_BLOCK(found) ? found : 0;
}

static void give(byte *block, word a)
{
    if (a == -1u)
        RUN(kfree, block);
    else
        RUN(kfree_sized, block, a);
}

static void reset(word pool)
{
    void *empty = CALL(kalloc, 0);

    (void)pool;
    RUN(kfree, empty);
    RUN(kfree, 0);
}

static const struct allocator allocator = {.take = take, .retake = retake, .give = give, .reset = reset};
