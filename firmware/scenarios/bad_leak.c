/*
 * Theory of operation
 *
 * A server opens a session for each request; a request that is refused returns early, past the kfree.
 *
 * Shortcomings
 *
 * None intended beyond the leak.
 */

#include "scenarios/litecore.h"

enum { REQUESTS = 6 };

static bool serve(uint32_t request)
{
    char *session = kmalloc(48); /* finding: leak */

    memset(session, 0, 48);
    if (request % 2 != 0) {
        if (CORRECT) {
            kfree(session);
        }
        return false;
    }
    kfree(session);
    return true;
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_leak: sessions that are forgotten\n");

    section("Serving");
    for (uint32_t request = 0; request < REQUESTS; request++) {
        bool served = serve(request);
        kprintf("  request %u: %s\n", request, served ? "served" : "refused");
    }
    finish();
}
