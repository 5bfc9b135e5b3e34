/* Memory: a buddy allocator. */

#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    POOL_BYTES = 64 * 1024,
    UNIT_BYTES = 32, /* the smallest block; any block is this times a power of 2 */
    ORDERS = 12,
};

/* A free block. They form a ring for each size. */
struct link {
    struct link *next;
    struct link *previous;
};

struct pool {
    uint32_t free_bytes;
    uint32_t refusals; /* of pool_give */
    struct link free[ORDERS];
    uint8_t state[POOL_BYTES / UNIT_BYTES]; /* of the block that begins at a unit */
};

extern struct pool pool;

void pool_open(void);

/* A block of at least so many bytes, or NULL. */
void *pool_take(size_t bytes);

/* Gives a block back. Anything that is not a block in use is refused. */
void pool_give(void *block);

/* The same as pool_take with the block in *out: 0, or -1 if there is none. */
int pool_try(void **out, size_t bytes);
