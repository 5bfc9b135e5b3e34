/* Objects in pages that are taken one by one from a list of free pages, with a head in front of the objects; a page goes back with its last object. */

#include "program.h"

struct slab {
    struct slab *next;
    word size, used, free;
};

static byte *free_pages, *fresh_pages = (byte *)0x300000;
static struct slab *slabs[4];
static const word sizes[4] = {16, 24, 64, 500};

API void *page_take(void)
{
    byte *page = free_pages;

    if (page)
        free_pages = *(byte **)(void *)page;
    else
        page = fresh_pages, fresh_pages += PAGE;
    return page;
}

API void page_give(void *page)
{
    *(byte **)page = free_pages;
    free_pages = page;
}

static struct slab *new_slab(word kind)
{
    struct slab *slab = CALL(page_take);

    for (word i = 0; i < PAGE; i++)
        ((byte *)slab)[i] = 0; /* links of other objects may still look like pointers to blocks */
    *slab = (struct slab){slabs[kind], sizes[kind], 0, 0};
    for (word at = sizeof *slab; at + slab->size <= PAGE; at += slab->size) {
        *(word *)((byte *)slab + at) = slab->free;
        slab->free = (word)slab + at;
    }
    return slabs[kind] = slab;
}

API void *object_take(word pool, word size)
{
    struct slab *slab = slabs[pool];

    USED(size);
    while (slab && !slab->free)
        slab = slab->next;
    if (!slab)
        slab = new_slab(pool);
    byte *object = (byte *)slab->free;
    slab->free = *(word *)(void *)object;
    slab->used++;
    return answer(object);
}

API void object_give(word pool, void *object)
{
    struct slab *slab = (struct slab *)((word)object & -PAGE), **link = &slabs[pool];

    if (sizes[pool] != slab->size || ((word)object % PAGE - sizeof *slab) % slab->size)
        return;
    for (word each = slab->free; each; each = *(word *)each)
        if (each == (word)object)
            return;
    *(word *)object = slab->free;
    slab->free = (word)object;
    if (--slab->used)
        return;
    while (*link != slab)
        link = &(*link)->next;
    *link = slab->next;
    RUN(page_give, slab);
}

static byte *take(word how, word a, byte **out)
{
    (void)out;
    return how < 4 ? CALL(object_take, how, a) : CALL(page_take);
}

static void give(byte *block, word a)
{
    if (a < 4)
        RUN(object_give, a, block);
    else
        RUN(page_give, block);
}

static const struct allocator allocator = {.take = take, .give = give};
