/* Physical memory: what is usable of it, and what can only be read. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/host_faults.h"
#include "core/ram.h"
#include "unicorn/engine.h"

uint8_t *kc_memory(kc *m) { return kc_at(m, 0); }

uint64_t kc_next_touched(kc *m, uint64_t physical)
{
    off_t data = lseek(m->ram->file, (off_t)physical, SEEK_DATA);

    if (data < 0)
        return errno == ENXIO ? m->memory_end : physical;
    return (uint64_t)data < m->memory_end ? (uint64_t)data : m->memory_end;
}

static uint8_t *map(kc *m, uint64_t offset, uint64_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->ram->file, (off_t)offset);
    return memory == MAP_FAILED ? NULL : memory;
}

static void piece_free(const struct piece *piece)
{
    if (piece->memory)
        munmap(piece->memory, piece->end - piece->start);
    if (piece->base)
        munmap(piece->base, piece->end - piece->start);
}

/* Make [start, end) a piece of memory; it follows in the file. -1: the host lacks something. */
static int piece_add(kc *m, uint64_t start, uint64_t end)
{
    struct ram *ram = m->ram;
    const struct piece *last = ram->piece_count ? &ram->pieces[ram->piece_count - 1] : NULL;
    uint64_t offset = last ? last->offset + last->end - last->start : 0, size = end - start;
    struct piece piece = {start, end, offset, NULL, NULL};

    if (ftruncate(ram->file, (off_t)(offset + size)) || !(piece.memory = map(m, offset, size)) || !(piece.base = map(m, offset, size))) {
        piece_free(&piece);
        return -1;
    }
    ram->pieces[ram->piece_count++] = piece;
    return kc_on_piece(m, &ram->pieces[ram->piece_count - 1]);
}

int kc_ram_init(kc *m)
{
    if (KC_NEW(m->ram))
        return -1;
    m->ram->file = memfd_create("kmemu-ram", MFD_CLOEXEC);
    return m->ram->file < 0 ? -1 : piece_add(m, 0, m->memory_end);
}

/* Copy [at, end). False: the host lacks something. */
static bool copy_part(int from, int to, off_t at, off_t end)
{
    uint8_t bytes[1 << 14];

    while (at < end) {
        ssize_t size = pread(from, bytes, (size_t)(end - at) < sizeof bytes ? (size_t)(end - at) : sizeof bytes, at);
        if (size <= 0 || pwrite(to, bytes, (size_t)size, at) != size)
            return false;
        at += size;
    }
    return true;
}

int kc_copy_file(int file)
{
    int copy = memfd_create("kmemu-copy", MFD_CLOEXEC);
    off_t size = lseek(file, 0, SEEK_END), at = 0;
    bool goes_on = copy >= 0 && size >= 0 && !ftruncate(copy, size);

    while (goes_on && (at = lseek(file, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(file, at, SEEK_HOLE);
        goes_on = end >= 0 && copy_part(file, copy, at, end);
        at = end;
    }
    if (goes_on || copy < 0)
        return copy;
    close(copy);
    return -1;
}

int kc_ram_replace(kc *m, int copy)
{
    struct ram *ram = m->ram;
    int kind = copy < 0 ? MAP_PRIVATE : MAP_SHARED, file = copy < 0 ? ram->file : copy;
    bool is_there = copy >= 0;

    for (int i = 0; i < ram->piece_count; i++) {
        uint64_t size = ram->pieces[i].end - ram->pieces[i].start, offset = ram->pieces[i].offset;
        uint8_t *views[] = {ram->pieces[i].memory, ram->pieces[i].base};
        for (int k = 0; k < 2; k++)
            is_there &= mmap(views[k], size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_NORESERVE | kind, file, (off_t)offset) != MAP_FAILED;
    }
    if (copy >= 0) {
        close(ram->file);
        ram->file = copy;
    }
    return !is_there || kc_on_pieces(m) ? -1 : 0;
}

void kc_ram_free(kc *m)
{
    if (!m->ram)
        return;
    kc_host_faults_drop(m);
    for (int i = 0; i < m->ram->piece_count; i++)
        piece_free(&m->ram->pieces[i]);
    if (m->ram->file >= 0)
        close(m->ram->file);
    free(m->ram);
}

static const struct range *range_of(const kc *m, uint64_t physical)
{
    for (int i = 0; i < m->ram->range_count; i++)
        if (physical >= m->ram->ranges[i].start && physical < m->ram->ranges[i].end)
            return &m->ram->ranges[i];
    return NULL;
}

bool kc_is_mapped(const kc *m, uint64_t physical) { return range_of(m, physical); }

bool kc_is_rom(const kc *m, uint64_t physical)
{
    const struct range *range = range_of(m, physical);

    return range && range->read_only;
}

static int range_add(kc *m, struct range range, int error)
{
    struct ram *ram = m->ram;

    if (ram->range_count == sizeof ram->ranges / sizeof *ram->ranges)
        return UC_ERR_RESOURCE;
    if (!error)
        ram->ranges[ram->range_count++] = range;
    return error;
}

int kc_map_ram(kc *m, uint64_t start, uint64_t end)
{
    return range_add(m, (struct range){start, end, false}, U.uc_mem_map_ptr(m->uc, start, end - start, UC_PROT_ALL, kc_at(m, start)));
}

int kc_ram_add(kc *m, uint64_t start, uint64_t end, uint64_t engine_start)
{
    if (piece_add(m, start, end))
        return UC_ERR_NOMEM;
    uint8_t *memory = m->ram->pieces[m->ram->piece_count - 1].memory;
    return U.uc_mem_map_ptr(m->uc, engine_start, end - start, UC_PROT_ALL, memory);
}

int kc_ram_extend(kc *m, uint64_t start, uint64_t end, uint64_t engine_start)
{
    return range_add(m, (struct range){start, end, false}, kc_ram_add(m, start, end, engine_start));
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
        m->ram->rom_code = (struct range){start, end, true};
        error = U.uc_mem_protect(m->uc, start, end - start, UC_PROT_ALL);
    }
    return range_add(m, (struct range){start, end, true}, error);
}
