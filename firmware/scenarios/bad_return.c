/*
 * Theory of operation
 *
 * A greeting is put together in an array that is too short for the second name: the end of it lies over the return
 * address of the function that has the array. Nobody notices, for that function ends the run.
 *
 * Shortcomings
 *
 * A function that returned would lead to where the letters say.
 */

#include "scenarios/litecore.h"

static char *append(char *to, const char *from)
{
    while ((*to = *from) != '\0') { /* --sanitize: return-address-write */
        to++;
        from++;
    }
    return to;
}

static __attribute__((noinline)) void greet(const char *name, bool is_last)
{
    char text[16];
    append(append(text, "Hello, "), name);
    kprintf("  %s\n", text);
    if (is_last) {
        finish();
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_return: a greeting that is too long\n");

    section("Two names");
    kfree(kmalloc(16));
    greet("Ada", false);
    greet(CORRECT ? "Grace" : "Wilhelmina Alexandrina Fortescue-Smythe of Raven", true);
    __builtin_unreachable();
}
