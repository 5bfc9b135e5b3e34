/*
 * Theory of operation
 *
 * A connection is closed, and its block freed; the timer still has a pointer to it and counts on. The word that it
 * counts is the free list's link now.
 *
 * Shortcomings
 *
 * The list leads nowhere from then on; use_after_free.c shows what that means.
 */

#include "scenarios/litecore.h"

struct connection {
    uint32_t idle_ticks;
    uint32_t port;
};

static struct connection *on_timer;

static void tick(void)
{
    if (on_timer != NULL) {
        on_timer->idle_ticks++; /* finding: heap-corruption */
    }
}

static void close_connection(struct connection *connection)
{
    kfree(connection);
    if (CORRECT) {
        on_timer = NULL;
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_late_write: a timer that was not told\n");

    section("A connection");
    struct connection *connection = kmalloc(sizeof(*connection));
    char *behind = kmalloc(40);
    *connection = (struct connection){.port = 80};
    on_timer = connection;
    tick();
    close_connection(connection);
    tick();
    kfree(behind);
    on_timer = NULL;
    finish();
}
