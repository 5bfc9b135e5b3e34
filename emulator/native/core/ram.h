/* Physical memory: what ram.c and snapshots.c share, and how others read it. */
#ifndef KMEMU_RAM_H
#define KMEMU_RAM_H

#include "machine.h"

/* Memory is a private mapping of `file`, which holds the newest snapshot; the mapping's own pages are what changed since.
 * `base` shows the file itself. */
struct ram {
    uint8_t *memory, *base;
    struct range { uint64_t start, end; } ranges[8]; /* what kc_map_ram() and kc_map_rom() made usable */
    struct range rom_code; /* one of them */
    int range_count;
    int file;
};

int kc_ram_init(kc *m);
void kc_ram_free(kc *m);
bool kc_is_mapped(const kc *m, uint64_t physical);

int kc_snapshots_init(kc *m);
void kc_snapshots_free(kc *m);

static inline bool kc_is_rom_code(const kc *m, uint64_t physical)
{
    return physical >= m->ram->rom_code.start && physical < m->ram->rom_code.end;
}

/* Where the host has a byte of physical memory. */
static inline uint8_t *kc_at(const kc *m, uint64_t physical) { return m->ram->memory + physical; }

static inline uint32_t kc_load32(const kc *m, uint64_t physical)
{
    uint32_t value;
    __builtin_memcpy(&value, m->ram->memory + physical, sizeof value);
    return value;
}

#endif
