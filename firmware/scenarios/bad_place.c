/*
 * Theory of operation
 *
 * An arena of its own, one run of frames for each block. Nobody checks whether there was such a run: FRAME_NONE
 * becomes an address like any other.
 *
 * Shortcomings
 *
 * What the kernel uses besides is LiteCore's; profile arena.toml names the functions of the arena.
 */

#include "scenarios/litecore.h"

void *arena_take(uint32_t size)
{
    uint32_t frame = alloc_frames((size + FRAME_SIZE - 1) / FRAME_SIZE);

    if (CORRECT && frame == FRAME_NONE) {
        return NULL;
    }
    return (void *)(frame * FRAME_SIZE);
}

void arena_give(void *p)
{
    free_frame((uint32_t)p / FRAME_SIZE);
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_place: a picture that does not fit\n");

    section("A small one and a large one");
    void *icon = arena_take(1024);
    void *picture = arena_take(256u << 20); /* finding: bad-result */
    kprintf("  icon %p, picture %p\n", icon, picture);
    if (picture != NULL) {
        arena_give(picture);
    }
    arena_give(icon);
    finish();
}
