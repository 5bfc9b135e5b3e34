/* Returns of calls whose rows have been handed over: see late_returns.h. */
#include <stdlib.h>

#include "record/late_returns.h"

bool kc_late_add(struct late_returns *late, const kc_late *one)
{
    if (late->count == late->capacity) {
        uint32_t capacity = late->capacity ? 2 * late->capacity : 16;
        kc_late *list = realloc(late->list, capacity * sizeof *list);
        if (!list)
            return false;
        late->list = list;
        late->capacity = capacity;
    }
    late->list[late->count++] = *one;
    return true;
}

void kc_late_drop_after(struct late_returns *late, uint32_t event)
{
    for (uint32_t i = late->count; i-- > 0;)
        if (late->list[i].left > event)
            late->list[i] = late->list[--late->count];
}
