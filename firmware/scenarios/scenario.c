/*
 * Theory of operation
 *
 * A check prints what should hold, so that the console text tells the whole story, and is remembered for the
 * exit value.
 *
 * Shortcomings
 *
 * Nothing here is safe against a task switch in the middle of a line.
 */

#include "scenarios/scenario.h"

#include "common/console.h"
#include "common/debug_exit.h"

static uint32_t failed_checks;

void section(const char *title)
{
    kprintf("\n%s\n", title);
}

void check(bool holds, const char *what)
{
    kprintf("  %s  %s\n", holds ? "ok  " : "FAIL", what);
    if (!holds) {
        failed_checks++;
    }
}

void finish(void)
{
    if (failed_checks != 0) {
        kprintf("\nfailed checks: %u\n", failed_checks);
        debug_exit(EXIT_CHECK_FAILED);
    }
    console_write("\ndone\n");
    debug_exit(EXIT_PASSED);
}
