/* Memory, as devices get at it: they are bus masters beside the CPU. */
#include <string.h>

#include "core/mmu.h"
#include "core/ram.h"
#include "core/reports.h"
#include "core/shadow.h"
#include "core/windows.h"
#include "unicorn/engine.h"

/* Write within a page. Returns whether translated code may have become wrong by that. */
static bool page_write(kc *m, uint64_t physical, const uint8_t *bytes, uint32_t size)
{
    uint32_t page = (uint32_t)(physical >> PAGE_SHIFT);

    if (physical >= m->memory_end || !kc_is_mapped(m, physical))
        return false;
    if (kc_watches_pages(m))
        kc_on_page_written(m, page);
    kc_on_dma(m, physical, size);
    if (kc_seeks_stale(m))
        kc_on_entries_written(m, physical, size);
    kc_windows_on_write(m, physical, size);
    bool stale = (m->reference || kc_was_fetched(m, page)) && memcmp(kc_at(m, physical), bytes, size);
    memcpy(kc_at(m, physical), bytes, size);
    kc_memory_written(m, physical, size);
    return stale;
}

void kc_dma_write(kc *m, uint64_t physical, const uint8_t *bytes, uint32_t size)
{
    bool stale = false;

    for (uint32_t done = 0, part; done < size; done += part) {
        uint64_t at = physical + done;
        part = PAGE_SIZE - (uint32_t)(at & PAGE_MASK);
        part = part < size - done ? part : size - done;
        stale |= page_write(m, at, bytes + done, part);
    }
    if (stale) {
        kc_stop_request(m); /* the engine must not go on in code that is gone */
        kc_flush_code(m);
    }
}
