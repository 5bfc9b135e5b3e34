/* Arenas: blocks one after the other, the last one of which can grow where it is. Nothing is given back but an arena as a whole. */

#include "program.h"

#define ARENAS 2
#define SIZE 0x80000u

struct arena {
    byte *start;
    word top, last;
};

static struct arena arenas[ARENAS] = {{(byte *)0x200000, 0, 0}, {(byte *)0x300000, 0, 0}};

API void *arena_take(struct arena *arena, word size)
{
    word room = (size + 2 + 7) & -8u; /* so that a block that begins too late still ends in time */

    if (arena->top + room > SIZE)
        return 0;
    arena->last = arena->top;
    arena->top += room;
    return answer(arena->start + arena->last);
}

API void *arena_take_zeros(struct arena *arena, word count, word size)
{
    byte *block = CALL(arena_take, arena, count * size);

    for (word i = 0; i < count * size; i++)
        block[i] = 0;
    return block;
}

API void *arena_resize(struct arena *arena, byte *block, word size)
{
    if (block == arena->start + arena->last && arena->top) {
        arena->top = arena->last;
        return LAST(arena_take, arena, size);
    }
    byte *found = CALL(arena_take, arena, size);
    for (word i = 0; i < size; i++)
        found[i] = block[i];
    return found;
}

API void arena_drop(struct arena *arena)
{
    arena->top = arena->last = 0;
}

static byte *take(word how, word a, byte **out)
{
    struct arena *arena = &arenas[how & 1];

    (void)out;
    return how & 2 ? CALL(arena_take_zeros, arena, a & 0xff, a >> 8) : CALL(arena_take, arena, a);
}

static byte *retake(byte *block, word how, word a)
{
    return CALL(arena_resize, &arenas[how & 1], block, a);
}

static void reset(word pool)
{
    RUN(arena_drop, &arenas[pool]);
}

static const struct allocator allocator = {.take = take, .retake = retake, .reset = reset};
