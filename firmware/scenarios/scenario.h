/* What the scenario kernels share: the entry, self checks and the end. */

#ifndef SCENARIOS_SCENARIO_H
#define SCENARIOS_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/multiboot.h"

/*
 * Scenarios bad_* have a defect. Each is built a second time, as NAME_ok, with CORRECT true and so without it. The
 * line that kmemu check names is marked in them: finding, and its kind.
 */
#ifndef CORRECT
#define CORRECT false
#endif

/* Entry from entry.S; each scenario defines it and ends in finish(). */
__attribute__((noreturn)) void kmain(uint32_t magic, const struct multiboot_info *info);

/* Prints a heading. */
void section(const char *title);

/* Prints what should hold, and whether it does. The first failure decides the kernel's exit value. */
void check(bool holds, const char *what);

/* Prints the verdict and ends the run: EXIT_PASSED, or EXIT_CHECK_FAILED after any failed check(). */
__attribute__((noreturn)) void finish(void);

#endif
