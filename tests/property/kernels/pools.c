/* Pools of blocks of one size each, in one static array after the other; a block is answered through a pointer. A reset empties a pool. */

#include "program.h"

#define POOLS 3
#define BLOCKS 24
#define GAP 2u /* so that a block that begins too late still ends in time */

static const word sizes[POOLS] = {12, 32, 100};
static byte small[BLOCKS][12], middle[BLOCKS][32], large[BLOCKS][100];
static byte is_used[POOLS][BLOCKS];

static byte *memory(word pool)
{
    return pool == 0 ? small[0] : pool == 1 ? middle[0] : large[0];
}

API int pool_take(byte **out, word pool, word size)
{
    for (word i = 0; size + GAP <= sizes[pool] && i < BLOCKS; i++)
        if (!is_used[pool][i]) {
            is_used[pool][i] = 1;
            *out = memory(pool) + i * sizes[pool];
            *out = answer(*out);
            return 0;
        }
    return -12;
}

API void pool_give(word pool, byte *block)
{
    word at = (word)(block - memory(pool));

    if (at % sizes[pool] == 0 && at / sizes[pool] < BLOCKS)
        is_used[pool][at / sizes[pool]] = 0;
}

API void pool_empty(word pool)
{
    for (word i = 0; i < BLOCKS; i++)
        is_used[pool][i] = 0;
}

static byte *take(word how, word a, byte **out)
{
    CALL(pool_take, out, how, a);
    return 0;
}

static void give(byte *block, word a)
{
    RUN(pool_give, a, block);
}

static void reset(word pool)
{
    RUN(pool_empty, pool);
}

static const struct allocator allocator = {.take = take, .give = give, .reset = reset};
