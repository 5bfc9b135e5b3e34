/* Returns of calls whose rows have been handed over by then. */
#ifndef KMEMU_LATE_RETURNS_H
#define KMEMU_LATE_RETURNS_H

#include <stdbool.h>

#include "core.h"

struct late_returns { kc_late *list; uint32_t count, capacity; };

/* Add one. False: no memory. */
bool kc_late_add(struct late_returns *late, const kc_late *one);
/* Drop those that have happened after an event. */
void kc_late_drop_after(struct late_returns *late, uint32_t event);

#endif
