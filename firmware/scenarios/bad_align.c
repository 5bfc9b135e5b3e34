/*
 * Theory of operation
 *
 * An arena of its own, with blocks at multiples of what the caller wants, such as the descriptors of a device. The
 * address is rounded down by one bit too few.
 *
 * Shortcomings
 *
 * What the kernel uses besides is LiteCore's; profile arena.toml names the functions of the arena. Blocks are
 * given back only all at once, with the last one.
 */

#include "scenarios/litecore.h"

enum { ARENA_BYTES = 4096 };

static char *arena_start;
static uint32_t arena_used;
static uint32_t arena_blocks;

void *arena_take_aligned(uint32_t align, uint32_t size)
{
    uint32_t mask = CORRECT ? align - 1 : (align - 1) / 2;
    uint32_t offset = (arena_used + mask) & ~mask;

    if (offset > ARENA_BYTES || size > ARENA_BYTES - offset) {
        return NULL;
    }
    arena_used = offset + size;
    arena_blocks++;
    return arena_start + offset;
}

void arena_give(void *p)
{
    (void)p;
    if (--arena_blocks == 0) {
        arena_used = 0;
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_align: a ring for a device\n");

    section("Two rings on boundaries of 64 bytes");
    uint32_t frame = alloc_frame();
    arena_start = (char *)(frame * FRAME_SIZE);
    void *received = arena_take_aligned(64, 24);
    void *sent = arena_take_aligned(64, 24); /* finding: bad-result */
    kprintf("  received %p, sent %p\n", received, sent);
    arena_give(sent);
    arena_give(received);
    free_frame(frame);
    finish();
}
