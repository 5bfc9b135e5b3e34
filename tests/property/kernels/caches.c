/* Objects of caches that say how large they are, in slabs of two pages that come from another area; a cache can be emptied. */

#include "program.h"

#define CACHES 3
#define SLAB (2 * PAGE)
#define GAP 4u /* so that an object that begins too late still ends in time */

struct slab {
    struct slab *next;
    word used;
    byte *free;
};

struct cache {
    word flags, object_size;
    struct slab *slabs;
};

static struct cache caches[CACHES] = {{0, 20, 0}, {0, 64, 0}, {0, 1200, 0}};
static byte is_taken[256];

API void *pages_take(word pages)
{
    for (word page = 0; page < 256; page += pages)
        if (!is_taken[page]) {
            is_taken[page] = 1;
            return (void *)(0x300000 + page * PAGE);
        }
    return 0;
}

API void pages_give(void *page)
{
    is_taken[((word)page - 0x300000) / PAGE] = 0;
}

static struct slab *new_slab(struct cache *cache)
{
    struct slab *slab = CALL(pages_take, SLAB / PAGE);

    for (word i = 0; i < SLAB; i++)
        ((byte *)slab)[i] = 0; /* links of other objects may still look like pointers to blocks */
    *slab = (struct slab){cache->slabs, 0, 0};
    for (word at = sizeof *slab; at + cache->object_size <= SLAB; at += cache->object_size + GAP) {
        *(byte **)((byte *)slab + at) = slab->free;
        slab->free = (byte *)slab + at;
    }
    return cache->slabs = slab;
}

static void drop_slab(struct cache *cache, struct slab *slab)
{
    struct slab **link = &cache->slabs;

    while (*link != slab)
        link = &(*link)->next;
    *link = slab->next;
    RUN(pages_give, slab);
}

API void *cache_alloc(struct cache *cache, word flags)
{
    struct slab *slab = cache->slabs;

    USED(flags);
    while (slab && !slab->free)
        slab = slab->next;
    if (!slab)
        slab = new_slab(cache);
    byte *object = slab->free;
    slab->free = *(byte **)(void *)object;
    slab->used++;
    return answer(object);
}

API void cache_free(struct cache *cache, void *object)
{
    struct slab *slab = (struct slab *)(((word)object - 0x300000) / SLAB * SLAB + 0x300000);

    if (((word)object - (word)(slab + 1)) % (cache->object_size + GAP))
        return;
    for (struct slab *each = cache->slabs; each != slab; each = each->next)
        if (!each)
            return;
    for (byte *each = slab->free; each; each = *(byte **)(void *)each)
        if (each == object)
            return;
    *(byte **)object = slab->free;
    slab->free = object;
    if (!--slab->used)
        drop_slab(cache, slab);
}

API void cache_empty(struct cache *cache)
{
    while (cache->slabs)
        drop_slab(cache, cache->slabs);
}

static byte *take(word how, word a, byte **out)
{
    (void)out;
    return CALL(cache_alloc, &caches[how], a);
}

static void give(byte *block, word a)
{
    RUN(cache_free, &caches[a], block);
}

static void reset(word pool)
{
    RUN(cache_empty, &caches[pool]);
}

static const struct allocator allocator = {.take = take, .give = give, .reset = reset};
