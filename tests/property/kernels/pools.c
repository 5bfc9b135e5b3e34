/* Pools of blocks of one size each, in one static array after the other; a block is answered through a pointer. A reset empties a pool. */

#include "program.h"

#define POOLS 3
#define BLOCKS 24

static const word sizes[POOLS] = {12, 32, 100};
static byte small[BLOCKS][12], middle[BLOCKS][32], large[BLOCKS][100];
static byte is_used[POOLS][BLOCKS];

static byte *memory(word pool)
{
    return pool == 0 ? small[0] : pool == 1 ? middle[0] : large[0];
}

API int pool_take(byte **out, word pool, word size)
{
    for (word i = 0; size <= sizes[pool] && i < BLOCKS; i++)
        if (!is_used[pool][i]) {
            is_used[pool][i] = 1;
            *out = memory(pool) + i * sizes[pool];
            if (is_broken == 1)
                *out = slots[0];
            if (is_broken == 2)
                *out += 1;
            is_broken = 0;
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
    pool_take(out, how, a);
    return 0;
}

static byte *retake(byte *block, word a)
{
    (void)a;
    return block;
}

static void give(byte *block, word a)
{
    pool_give(a, block);
}

static void share(byte *block)
{
    (void)block;
}

static void reset(word pool)
{
    pool_empty(pool);
}
