/*
 * Theory of operation
 *
 * Free areas form a list in address order, each with its link and size in its own first 8 bytes. kmem_alloc()
 * takes the first area that is large enough and cuts the request off its end, so the header stays where it is;
 * kmem_free() puts an area between its neighbours in the list and joins what touches. Sizes are multiples of 8,
 * so whatever is left or freed can hold a header.
 *
 * Memory comes from pmem, at least KMEM_GROWTH bytes at a time, and joins the list just as a freed area does.
 * Which pages belong to this layer is kept apart, as a short list of extents: kmem_free() believes no pointer
 * outside them, and the searches trust no link that leads outside them, downwards, or to a size that cannot be.
 * So every search ends, and a damaged list refuses calls instead of spreading the damage.
 *
 * Every call works with interrupts off.
 *
 * Shortcomings
 *
 * Both calls search the list. Pages never go back to pmem, and there are at most KMEM_EXTENTS_MAX separate
 * extents. An area that is freed with too small a size is not noticed: the rest is lost.
 */

#include "btron/kmem.h"

#include "btron/critical.h"
#include "btron/pmem.h"

struct kmem_entry *kmem_free_list;
struct kmem_extent kmem_extents[KMEM_EXTENTS_MAX];
UW kmem_extent_count;

static inline UW address_of(const void *p)
{
    return (UW)(uintptr_t)p;
}

static inline UW end_of(const struct kmem_entry *area)
{
    return address_of(area) + (UW)area->size;
}

bool kmem_owns(const void *p, UW size)
{
    for (UW i = 0; i < kmem_extent_count; i++) {
        UW offset = address_of(p) - kmem_extents[i].start;
        if (offset < kmem_extents[i].size) {
            return size <= kmem_extents[i].size - offset;
        }
    }
    return false;
}

/* Can the free list lead from `previous` (NULL: its head) to this area? */
static bool is_sound_link(const struct kmem_entry *previous, const struct kmem_entry *area)
{
    return area > previous && address_of(area) % KMEM_ALIGNMENT == 0 && kmem_owns(area, sizeof(*area)) &&
           area->size > 0 && area->size % KMEM_ALIGNMENT == 0 && kmem_owns(area, (UW)area->size);
}

/*
 * The link that leads to the first area of at least `size` bytes, or the last link if there is none. NULL when
 * the list is damaged in front of it.
 */
static struct kmem_entry **find_fit(UW size)
{
    struct kmem_entry *previous = NULL;
    struct kmem_entry **link = &kmem_free_list;

    for (; *link != NULL; link = &previous->next) {
        if (!is_sound_link(previous, *link)) {
            return NULL;
        }
        if ((UW)(*link)->size >= size) {
            break;
        }
        previous = *link;
    }
    return link;
}

/* Takes `size` bytes from the area that `link` leads to. */
static VP take(struct kmem_entry **link, UW size)
{
    struct kmem_entry *area = *link;
    UW rest = (UW)area->size - size;

    if (rest == 0) {
        *link = area->next;
    } else {
        area->size = (W)rest;
    }
    return (B *)area + rest;
}

/* Makes [p, p + size) a free area. False, with nothing changed, when it overlaps one or the list is damaged there. */
static bool insert(VP p, UW size)
{
    struct kmem_entry *area = p;
    struct kmem_entry *previous = NULL;
    struct kmem_entry *next = kmem_free_list;

    while (next != NULL && is_sound_link(previous, next) && next < area) {
        previous = next;
        next = next->next;
    }
    if ((next != NULL && (!is_sound_link(previous, next) || size > address_of(next) - address_of(p))) ||
        (previous != NULL && end_of(previous) > address_of(p))) {
        return false;
    }
    *area = (struct kmem_entry){.next = next, .size = (W)size};
    if (next != NULL && end_of(area) == address_of(next)) {
        area->size += next->size;
        area->next = next->next;
    }
    if (previous == NULL) {
        kmem_free_list = area;
    } else if (end_of(previous) == address_of(area)) {
        previous->size += area->size;
        previous->next = area->next;
    } else {
        previous->next = area;
    }
    return true;
}

/* Removes extent `index`, or makes room for one there. */
static void remove_extent(UW index)
{
    kmem_extent_count--;
    for (; index < kmem_extent_count; index++) {
        kmem_extents[index] = kmem_extents[index + 1];
    }
}

static void insert_extent(UW index, struct kmem_extent extent)
{
    for (UW i = kmem_extent_count; i > index; i--) {
        kmem_extents[i] = kmem_extents[i - 1];
    }
    kmem_extents[index] = extent;
    kmem_extent_count++;
}

/* Remembers that [start, start + size) belongs to this layer. False when there is no room to remember it. */
static bool own(UW start, UW size)
{
    UW index = 0;
    while (index < kmem_extent_count && kmem_extents[index].start < start) {
        index++;
    }
    struct kmem_extent *below = index > 0 ? &kmem_extents[index - 1] : NULL;
    struct kmem_extent *above = index < kmem_extent_count ? &kmem_extents[index] : NULL;
    bool joins_below = below != NULL && below->start + below->size == start;
    bool joins_above = above != NULL && start + size == above->start;

    if (joins_below) {
        below->size += size;
        if (joins_above) {
            below->size += above->size;
            remove_extent(index);
        }
    } else if (joins_above) {
        *above = (struct kmem_extent){.start = start, .size = size + above->size};
    } else if (kmem_extent_count < KMEM_EXTENTS_MAX) {
        insert_extent(index, (struct kmem_extent){.start = start, .size = size});
    } else {
        return false;
    }
    return true;
}

/* Takes pages for at least `size` bytes into the list, which is undamaged. */
static bool grow(UW size)
{
    UW bytes = round_up(size > KMEM_GROWTH ? size : KMEM_GROWTH, PAGE_SIZE);
    VP p = pmem_alloc((W)bytes);

    if (p == NULL) {
        return false;
    }
    if (!own(address_of(p), bytes)) {
        pmem_free(p, (W)bytes);
        return false;
    }
    return insert(p, bytes);
}

ER kmem_init(void)
{
    uint32_t flags = critical_enter();

    kmem_free_list = NULL;
    kmem_extent_count = 0;
    critical_leave(flags);
    return E_OK;
}

VP kmem_alloc(W size)
{
    if (size <= 0) {
        return NULL;
    }
    uint32_t flags = critical_enter();
    UW bytes = round_up((UW)size, KMEM_ALIGNMENT);
    struct kmem_entry **link = find_fit(bytes);
    VP p = NULL;

    if (link != NULL && *link == NULL && grow(bytes)) {
        link = find_fit(bytes);
    }
    if (link != NULL && *link != NULL) {
        p = take(link, bytes);
    }
    critical_leave(flags);
    return p;
}

ER kmem_free(VP p, W size)
{
    if (size <= 0 || address_of(p) % KMEM_ALIGNMENT != 0) {
        return E_PAR;
    }
    uint32_t flags = critical_enter();
    UW bytes = round_up((UW)size, KMEM_ALIGNMENT);
    ER result = kmem_owns(p, bytes) && insert(p, bytes) ? E_OK : E_PAR;

    critical_leave(flags);
    return result;
}

void kmem_measure(UW *free_bytes, UW *largest)
{
    const struct kmem_entry *previous = NULL;

    *free_bytes = 0;
    *largest = 0;
    for (const struct kmem_entry *area = kmem_free_list; area != NULL && is_sound_link(previous, area);
         area = area->next) {
        *free_bytes += (UW)area->size;
        *largest = (UW)area->size > *largest ? (UW)area->size : *largest;
        previous = area;
    }
}
