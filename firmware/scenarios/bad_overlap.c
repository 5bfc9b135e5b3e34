/*
 * Theory of operation
 *
 * An arena of its own: blocks are cut off one after the other, and when the last one is given back the arena
 * begins anew. Lengths are rounded to multiples of 8 in the wrong direction, so a block begins inside the one
 * before.
 *
 * Shortcomings
 *
 * What the kernel uses besides is LiteCore's; profile arena.toml names the functions of the arena.
 */

#include "scenarios/litecore.h"

enum { ARENA_BYTES = 4096, UNIT = 8 };

static char *arena_start;
static uint32_t arena_used;
static uint32_t arena_blocks;

static uint32_t round_to_unit(uint32_t size)
{
    return CORRECT ? (size + UNIT - 1) & ~(UNIT - 1u) : size & ~(UNIT - 1u);
}

void *arena_take(uint32_t size)
{
    uint32_t length = round_to_unit(size);

    if (length > ARENA_BYTES - arena_used) {
        return NULL;
    }
    void *p = arena_start + arena_used;
    arena_used += length;
    arena_blocks++;
    return p;
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
    console_write("LiteCore bad_overlap: an arena that rounds down\n");

    section("Two blocks");
    uint32_t frame = alloc_frame();
    arena_start = (char *)(frame * FRAME_SIZE);
    char *name = arena_take(20);
    memcpy(name, "a name of 19 letters", 20);
    char *value = arena_take(20); /* finding: overlapping-blocks */
    memset(value, '!', 20);
    kprintf("  the end of the name: %c\n", name[18]);
    arena_give(value);
    arena_give(name);
    free_frame(frame);
    finish();
}
