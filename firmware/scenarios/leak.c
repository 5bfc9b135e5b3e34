/*
 * Theory of operation
 *
 * A small server that forgets: three of its functions lose blocks, each of its own size and number, and one frees
 * what it takes. The allocator is content, nothing is damaged; only somebody who remembers the calls can say
 * what was lost, and where it came from.
 *
 * Shortcomings
 *
 * The leaks, and what kmalloc returns is not checked: without memory it writes through the null pointer.
 */

#include "scenarios/litecore.h"

enum { REQUESTS = 12, CONFIG_BYTES = 512, SESSION_BYTES = 48, LOG_BYTES = 100, REPLY_BYTES = 256 };

static char *config;

/* Loses the old configuration: the only pointer to it is overwritten. */
static void load_config(uint32_t version)
{
    config = kmalloc(CONFIG_BYTES);
    memset(config, (int)version, CONFIG_BYTES);
}

/* Loses the session when the request is odd: an early return skips the kfree. */
static bool open_session(uint32_t request)
{
    char *session = kmalloc(SESSION_BYTES);

    memset(session, 0, SESSION_BYTES);
    if (request % 2 != 0) {
        return false;
    }
    kfree(session);
    return true;
}

/* Loses every third line: it is handed over to nobody. */
static void write_log(uint32_t request)
{
    char *line = kmalloc(LOG_BYTES);

    memset(line, ' ', LOG_BYTES);
    if (request % 3 != 0) {
        kfree(line);
    }
}

/* Loses nothing. */
static void send_reply(void)
{
    char *reply = kmalloc(REPLY_BYTES);

    memset(reply, 0x55, REPLY_BYTES);
    kfree(reply);
}

static void serve(uint32_t request)
{
    bool opened = open_session(request);

    write_log(request);
    send_reply();
    kprintf("  request %2u: %s\n", request, opened ? "served" : "refused");
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore leak: a server that forgets\n");

    section("Serving");
    load_config(1);
    for (uint32_t request = 0; request < REQUESTS; request++) {
        serve(request);
    }
    load_config(2);
    kfree(config);

    section("What is still there when nobody needs anything any more");
    heap_draw();
    heap_print();
    console_write("  lost: 1 configuration of 512 bytes, 6 sessions of 48, 4 log lines of 104\n");
    struct heap_usage usage = heap_measure();
    check(usage.live_blocks == 1 + 6 + 4, "11 blocks");
    check(usage.live_bytes == 1 * 512 + 6 * 48 + 4 * 104, "1216 bytes");
    check(heap_error_count == 0, "and the allocator has seen nothing wrong");
    finish();
}
