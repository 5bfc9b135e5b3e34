/*
 * Theory of operation
 *
 * An arena of its own grows by chunks, each of which begins with a link to the next one. The first chunk's link is not
 * set, and holds what the heap left there: when that chunk is full, the arena looks for room in memory that nobody has.
 *
 * Shortcomings
 *
 * On a PC such memory reads as 0, so the arena finds no room there, and nothing breaks.
 */

#include "scenarios/litecore.h"

enum { CHUNK_BYTES = 64 };

struct chunk {
    struct chunk *next;
    uint32_t left;
    char bytes[CHUNK_BYTES];
};

static struct chunk *chunks;
static uint32_t arena_blocks;

static struct chunk *make_chunk(void)
{
    struct chunk *chunk = kmalloc(sizeof *chunk);

    memset(chunk, 0xa5, sizeof *chunk); /* as debug heaps do */
    chunk->left = CHUNK_BYTES;
    if (CORRECT) {
        chunk->next = NULL;
    }
    return chunk;
}

void *arena_take(uint32_t size)
{
    for (struct chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
        if (chunk->left >= size) { /* finding: wild-access */
            chunk->left -= size;
            arena_blocks++;
            return chunk->bytes + chunk->left;
        }
    }
    return NULL;
}

void arena_give(void *p)
{
    (void)p; /* the arena is dropped as a whole */
    arena_blocks--;
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_wild_access: an arena whose list has no end\n");

    section("Two blocks that fit, and one that does not");
    chunks = make_chunk();
    char *first = arena_take(40);
    char *second = arena_take(24);
    char *third = arena_take(8);
    kprintf("  %s, %s, %s\n", first ? "given" : "none", second ? "given" : "none", third ? "given" : "none");
    arena_give(second);
    arena_give(first);
    check(arena_blocks == 0, "both have been given back");
    kfree(chunks);
    check(heap_is_whole(), "the heap is one free block");
    finish();
}
