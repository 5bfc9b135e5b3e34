/* Things to try with each combination of rights that the window's first two pages can have. */

#ifndef DEVICES_STEPS_H
#define DEVICES_STEPS_H

#include <stdbool.h>
#include <stddef.h>

#include "devices/space.h"

struct step {
    const char *name;
    void (*code)(void);
    enum how how;
};
#define STEP(code, how) {#code, code, how}
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/*
 * Runs and reports each step with each combination of rights. `prepare` fills the window before, and says what the CPU takes from
 * there; `undo` lets it take that from its own again. `needs_first`: the first page is always there, without it the CPU could not
 * take any exception.
 */
void steps(const char *title, const struct step *steps, size_t count, bool needs_first, void (*prepare)(void), void (*undo)(void));

#endif
