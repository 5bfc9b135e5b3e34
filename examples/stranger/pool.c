/*
 * Blocks of 32 bytes, 64, 128, ... up to the whole pool. A block is halved until it is as small as it can be; a block that
 * is given back is joined with its other half, its buddy, as long as that is free.
 */

#include "pool.h"

enum { INSIDE = 0, FREE = 0x40, TAKEN = 0x80, ORDER = 0x0F }; /* in pool.state */

static _Alignas(4096) uint8_t memory[POOL_BYTES];

struct pool pool;

static size_t size_of(unsigned order)
{
    return (size_t)UNIT_BYTES << order;
}

static uint8_t *state_of(size_t offset)
{
    return &pool.state[offset / UNIT_BYTES];
}

static void add(size_t offset, unsigned order)
{
    struct link *block = (struct link *)(memory + offset);
    struct link *ring = &pool.free[order];

    *block = (struct link){.next = ring->next, .previous = ring};
    ring->next->previous = block;
    ring->next = block;
    *state_of(offset) = (uint8_t)(FREE | order);
}

static void unlink(size_t offset)
{
    struct link *block = (struct link *)(memory + offset);

    block->previous->next = block->next;
    block->next->previous = block->previous;
    *state_of(offset) = INSIDE;
}

void pool_open(void)
{
    for (unsigned order = 0; order < ORDERS; order++) {
        pool.free[order] = (struct link){.next = &pool.free[order], .previous = &pool.free[order]};
    }
    add(0, ORDERS - 1);
    pool.free_bytes = POOL_BYTES;
}

void *pool_take(size_t bytes)
{
    unsigned wanted = 0;
    while (wanted < ORDERS && size_of(wanted) < bytes) {
        wanted++;
    }
    unsigned order = wanted;
    while (order < ORDERS && pool.free[order].next == &pool.free[order]) {
        order++;
    }
    if (bytes == 0 || order >= ORDERS) {
        return NULL;
    }
    size_t offset = (size_t)((uint8_t *)pool.free[order].next - memory);
    unlink(offset);
    while (order > wanted) {
        order--;
        add(offset + size_of(order), order);
    }
    *state_of(offset) = (uint8_t)(TAKEN | wanted);
    pool.free_bytes -= size_of(wanted);
    return memory + offset;
}

void pool_give(void *block)
{
    size_t offset = (size_t)((uint8_t *)block - memory);

    if (offset >= POOL_BYTES || offset % UNIT_BYTES != 0 || (*state_of(offset) & TAKEN) == 0) {
        pool.refusals++;
        return;
    }
    unsigned order = *state_of(offset) & ORDER;
    pool.free_bytes += size_of(order);
    while (order < ORDERS - 1 && *state_of(offset ^ size_of(order)) == (FREE | order)) {
        unlink(offset ^ size_of(order));
        *state_of(offset) = INSIDE;
        offset &= ~size_of(order);
        order++;
    }
    add(offset, order);
}

int pool_try(void **out, size_t bytes)
{
    void *block = pool_take(bytes);

    if (block == NULL) {
        return -1;
    }
    *out = block;
    return 0;
}
