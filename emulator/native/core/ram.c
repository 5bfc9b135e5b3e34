/* Physical memory: what is usable of it, and what can only be read. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/ram.h"
#include "unicorn/engine.h"

uint8_t *kc_memory(kc *m) { return m->ram->memory; }

static uint8_t *map(kc *m, int kind)
{
    void *memory = mmap(NULL, m->memory_end, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE, m->ram->file, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int kc_ram_init(kc *m)
{
    if (KC_NEW(m->ram))
        return -1;
    m->ram->file = memfd_create("kmemu-ram", MFD_CLOEXEC);
    if (m->ram->file < 0 || ftruncate(m->ram->file, (off_t)m->memory_end))
        return -1;
    m->ram->memory = map(m, MAP_PRIVATE);
    m->ram->base = map(m, MAP_SHARED);
    return m->ram->memory && m->ram->base ? 0 : -1;
}

void kc_ram_free(kc *m)
{
    if (!m->ram)
        return;
    if (m->ram->memory)
        munmap(m->ram->memory, m->memory_end);
    if (m->ram->base)
        munmap(m->ram->base, m->memory_end);
    if (m->ram->file >= 0)
        close(m->ram->file);
    free(m->ram);
}

bool kc_is_mapped(const kc *m, uint64_t physical)
{
    for (int i = 0; i < m->ram->range_count; i++)
        if (physical >= m->ram->ranges[i].start && physical < m->ram->ranges[i].end)
            return true;
    return false;
}

static int range_add(kc *m, uint64_t start, uint64_t end, int error)
{
    struct ram *ram = m->ram;

    if (ram->range_count == sizeof ram->ranges / sizeof *ram->ranges)
        return UC_ERR_RESOURCE;
    if (!error)
        ram->ranges[ram->range_count++] = (struct range){start, end};
    return error;
}

int kc_map_ram(kc *m, uint64_t start, uint64_t end)
{
    return range_add(m, start, end, U.uc_mem_map_ptr(m->uc, start, end - start, UC_PROT_ALL, kc_at(m, start)));
}

static uint64_t rom_read(uc_engine *uc, uint64_t offset, unsigned size, void *data)
{
    uint64_t value = 0;
    (void)uc;

    memcpy(&value, (const uint8_t *)data + offset, size);
    return value;
}

static void rom_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data)
{
    (void)uc, (void)offset, (void)size, (void)value, (void)data;
}

int kc_map_rom(kc *m, uint64_t start, uint64_t end, bool has_code)
{
    int error = U.uc_mmio_map(m->uc, start, end - start, rom_read, kc_at(m, start), rom_write, NULL);

    if (has_code && !error) {
        m->ram->rom_code = (struct range){start, end};
        error = U.uc_mem_protect(m->uc, start, end - start, UC_PROT_ALL);
    }
    return range_add(m, start, end, error);
}
