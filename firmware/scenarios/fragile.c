/*
 * Theory of operation
 *
 * A small server in which every allocation is answered in another way when there is no memory: one function does
 * without, one gives up the request, one refuses to start, one forgets what it has already, one does not check, and one waits
 * for ever. With enough memory nothing of this shows and every block comes back: only failures that somebody makes
 * happen tell the functions apart.
 *
 * Address 0 is memory like any other here, so a null pointer alone hurts nobody. Sessions carry a mark, and whoever finds
 * another one there stops with an invalid instruction.
 *
 * Command line: requests=N (6).
 *
 * Shortcomings
 *
 * The bugs are the point.
 */

#include "scenarios/litecore.h"

#define DEFAULT_REQUESTS 6u
#define SESSION_MARK     0x73657373u

enum { TABLE_BYTES = 256, CACHE_BYTES = 128, REPLY_BYTES = 64, NAME_BYTES = 16 };

struct session {
    uint32_t mark;
    uint32_t request;
    char *name;
};

static uint32_t served;
static uint32_t refused;
static uint32_t without_cache;
static volatile bool no_memory; /* until somebody frees a block, which nobody does who waits */

/* Reports: without its table the server does not start. */
static char *load_table(void)
{
    char *table = kmalloc(TABLE_BYTES);

    check(table != NULL, "there is memory for the table");
    if (table == NULL) {
        finish();
    }
    memset(table, 0, TABLE_BYTES);
    return table;
}

/* Does without. */
static void use_cache(void)
{
    char *cache = kmalloc(CACHE_BYTES);

    if (cache == NULL) {
        without_cache++;
        return;
    }
    memset(cache, 0, CACHE_BYTES);
    kfree(cache);
}

/* Does not check what it gets. */
static struct session *open_session(uint32_t request)
{
    struct session *session = kmalloc(sizeof(*session));

    if (session != NULL) {
        session->mark = SESSION_MARK;
    }
    session->request = request;
    return session;
}

/* Says that it has no memory, and leaves the session to whoever called. */
static bool name_session(struct session *session)
{
    session->name = kmalloc(NAME_BYTES);
    return session->name != NULL;
}

static void serve_session(struct session *session)
{
    if (session->mark != SESSION_MARK) {
        __builtin_trap();
    }
    memset(session->name, 'a' + (int)session->request, NAME_BYTES);
    served++;
}

static void close_session(struct session *session)
{
    kfree(session->name);
    kfree(session);
}

/* Waits for ever. */
static void send_reply(void)
{
    char *reply = kmalloc(REPLY_BYTES);

    no_memory = reply == NULL;
    while (no_memory) {
    }
    memset(reply, 0, REPLY_BYTES);
    kfree(reply);
}

/* Loses the session when it gets no name. */
static void serve(uint32_t request)
{
    use_cache();
    struct session *session = open_session(request);
    if (!name_session(session)) {
        refused++;
        return;
    }
    serve_session(session);
    close_session(session);
    send_reply();
}

/* Takes a frame for a moment; does without. */
static void use_frame(void)
{
    uint32_t frame = alloc_frame();

    if (frame != FRAME_NONE) {
        free_frame(frame);
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    const struct boot_info *boot = litecore_boot(magic, info);
    uint32_t requests = boot_option_u32(boot, "requests", DEFAULT_REQUESTS);

    console_write("LiteCore fragile: a server that needs its memory\n");

    section("Serving");
    char *table = load_table();
    use_frame();
    for (uint32_t request = 0; request < requests; request++) {
        serve(request);
    }
    kfree(table);
    kprintf("  served %u, refused %u, without a cache %u\n", served, refused, without_cache);
    check(served + refused == requests, "every request was answered");
    check(heap_error_count == 0, "kfree refused nothing");
    finish();
}
