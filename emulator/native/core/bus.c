/* The memory bus outside of RAM, up to 4 GiB: windows of devices, whose accesses go to Python.
 *
 * All of it is one region of Unicorn's for memory-mapped I/O: accesses to RAM, which hit the TLB, are as fast as without. What lies
 * in no window is refused by the TLB fill, mmu.c. On Unicorn's own MMU each window is a region, and the rest is not there.
 */
#include <stdlib.h>

#include "core/bus.h"
#include "core/ram.h"
#include "unicorn/engine.h"

#define BUS_END (1ull << 32)

struct region { kc *machine; uint64_t start; };

struct bus {
    struct window { uint64_t start, end; } windows[32];
    struct region regions[32]; /* of a window each, on Unicorn's own MMU; else the first is all there is */
    int window_count;
};

static int window_at(const kc *m, uint64_t physical)
{
    const struct bus *bus = m->bus;

    for (int i = 0; i < bus->window_count; i++)
        if (physical >= bus->windows[i].start && physical < bus->windows[i].end)
            return i;
    return -1;
}

bool kc_is_device(const kc *m, uint64_t physical) { return window_at(m, physical) >= 0; }

/* Accesses of 1, 2 or 4 bytes, aligned: the engine splits others. */
static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned size, void *data)
{
    const struct region *region = data;
    kc *m = region->machine;
    uint64_t at = region->start + offset;
    int window = window_at(m, at);
    (void)uc;

    if (window < 0)
        return UINT64_MAX;
    return python.memory_read(m->handle, (uint32_t)window, (uint32_t)(at - m->bus->windows[window].start), (int32_t)size);
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data)
{
    const struct region *region = data;
    kc *m = region->machine;
    uint64_t at = region->start + offset;
    int window = window_at(m, at);
    (void)uc;

    if (window >= 0)
        python.memory_write(m->handle, (uint32_t)window, (uint32_t)(at - m->bus->windows[window].start), (int32_t)size,
                            (uint32_t)value);
}

static int map(kc *m, int i, uint64_t start, uint64_t end)
{
    struct region *region = &m->bus->regions[i];

    *region = (struct region){m, start};
    return U.uc_mmio_map(m->uc, start, end - start, on_read, region, on_write, region);
}

int kc_map_device(kc *m, uint64_t start, uint64_t end)
{
    struct bus *bus = m->bus;

    if (bus->window_count == sizeof bus->windows / sizeof *bus->windows)
        return -UC_ERR_RESOURCE;
    if (start < m->memory_end || end > BUS_END || start >= end)
        return -UC_ERR_ARG;
    int error = m->reference ? map(m, bus->window_count, start, end) : 0;
    if (error)
        return -error;
    bus->windows[bus->window_count] = (struct window){start, end};
    kc_flush_tlb(m);
    return bus->window_count++;
}

int kc_bus_init(kc *m)
{
    if (KC_NEW(m->bus))
        return -1;
    return m->reference ? 0 : map(m, 0, m->memory_end, BUS_END);
}

void kc_bus_free(kc *m) { free(m->bus); }
