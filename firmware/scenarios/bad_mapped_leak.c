/*
 * Theory of operation
 *
 * A player keeps its song in memory that is mapped together from single frames, with a title from the heap that only the song points
 * to. When it takes the next song, it forgets the one before. The frames of a lost song are mapped to the end, and the record of
 * its range is in a list; neither is of use to anybody.
 *
 * Shortcomings
 *
 * The songs are never played. The playlist lies at vspace_start: that variable, a pointer to the first range, holds it.
 */

#include "litecore/paging.h"
#include "litecore/vmalloc.h"
#include "scenarios/litecore.h"

struct song {
    char notes[PAGE_SIZE + 1000];
    char *title;
};

static struct song *song;
static char *playlist;

static void load(const char *title)
{
    song = vmalloc(sizeof(*song)); /* finding: leak */
    song->title = kmalloc(32);
    memcpy(song->title, title, strlen(title) + 1);
}

static void unload(void)
{
    kfree(song->title);
    vfree(song);
}

/* Overwrites what is left of earlier calls below the stack pointer: pointers there hold nothing. */
static void clear_stack(void)
{
    volatile uint8_t left[512];

    for (uint32_t i = 0; i < sizeof(left); i++) {
        left[i] = 0;
    }
    check(left[0] == 0, "the stack is clear");
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_mapped_leak: memory from vmalloc() that nobody can free\n");
    section("One song after the other");
    check(paging_init() == 0 && paging_enable() == 0, "paging is on");
    playlist = vmalloc(PAGE_SIZE);
    load("first");
    if (CORRECT) {
        unload();
    } else {
        kfree(song->title);
    }
    load("second");
    clear_stack();
    check(playlist != NULL, "the playlist is there");
    check(memcmp(song->title, "second", sizeof("second")) == 0, "the second song is there");
    finish();
}
