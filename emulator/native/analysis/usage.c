/*
 * How much memory is in use over time.
 *
 * Theory. Births are in order, and deaths are handed over in order, so both are followed at once, event by event.
 */

#include "analysis/analysis.h"

uint32_t kc_usage(const kc_comings *births, const kc_comings *deaths, const kc_usage_of *of)
{
    uint32_t kept = 0, born = 0, died = 0, event = 0;
    int64_t bytes = 0;

    for (;; event = died < deaths->count && (born == births->count || deaths->events[died] < births->events[born])
                        ? deaths->events[died] : births->events[born]) {
        for (; born < births->count && births->events[born] == event; born++)
            bytes += births->sizes[born];
        for (; died < deaths->count && deaths->events[died] == event; died++)
            bytes -= deaths->sizes[died];
        of->events[kept] = event;
        of->bytes[kept] = bytes;
        of->blocks[kept++] = (int64_t)born - died;
        if (born == births->count && died == deaths->count)
            return kept;
    }
}
