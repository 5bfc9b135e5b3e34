/* Physical memory: what ram.c and snapshots.c share, and how others read it. */
#ifndef KMEMU_RAM_H
#define KMEMU_RAM_H

#include "machine.h"

/* Numbers of pages of memory, below: 4 GiB, and what kasan.c adds. */
#define MEMORY_PAGES ((1u << 20) + (1u << 17))

/* Memory consists of RAM, of the frame buffer from when it is needed, and of what kasan.c adds. Both mappings show the same bytes of `file`: `memory` is for
 * everybody, and its pages are protected while a write to them has to be noticed (snapshots.c); `base` may always be written. */
struct ram {
    struct piece { uint64_t start, end, offset; uint8_t *memory, *base; } pieces[3]; /* RAM begins at 0; `offset`: in the file */
    int piece_count;
    struct range { uint64_t start, end; bool read_only; } ranges[8]; /* what kc_map_ram() and kc_map_rom() made usable */
    struct range rom_code; /* one of them */
    int range_count;
    int file;
};

int kc_ram_init(kc *m);
void kc_ram_free(kc *m);
bool kc_is_mapped(const kc *m, uint64_t physical);
bool kc_is_rom(const kc *m, uint64_t physical);
/* Let [start, end) be memory, too, which lies beyond RAM; the engine has it at another address. Returns a Unicorn error or 0. */
int kc_ram_extend(kc *m, uint64_t start, uint64_t end, uint64_t engine_start);
/* The same, and the guest's physical addresses do not lead there. */
int kc_ram_add(kc *m, uint64_t start, uint64_t end, uint64_t engine_start);

/* What has RAM from its start on, and then the rest of memory. */
static inline int kc_ram_file(const kc *m) { return m->ram->file; }

/* An unnamed file with the same bytes, and holes where that has them; -1: the host lacks something. */
int kc_copy_file(int file);
/* The file's bytes are in this one from now on, which becomes the machine's; -1: there is none, and the file is not written any more. 0, or else the
 * machine is of no more use. */
int kc_ram_replace(kc *m, int copy);

int kc_snapshots_init(kc *m);
void kc_snapshots_free(kc *m);
/* A piece of memory is there. -1: the host lacks something. */
int kc_on_piece(kc *m, const struct piece *piece);
/* All of memory is mapped anew. -1: the host lacks something. */
int kc_on_pieces(kc *m);
/* A page of memory is going to be written: the newest snapshot keeps what it holds. */
void kc_keep_page(kc *m, uint32_t page);
/* Where to count what snapshots keep of arrays, in bytes. */
uint64_t *kc_kept_size(kc *m);
/* Is there nothing to keep of it any more? */
bool kc_may_be_written(const kc *m, uint32_t page);

static inline bool kc_is_rom_code(const kc *m, uint64_t physical)
{
    return physical >= m->ram->rom_code.start && physical < m->ram->rom_code.end;
}

/* The piece that an address of memory lies in. */
static inline const struct piece *kc_piece(const kc *m, uint64_t physical)
{
    const struct piece *piece = m->ram->pieces;

    while (physical < piece->start || physical >= piece->end)
        piece++;
    return piece;
}

/* Where it lies in the file. */
static inline uint64_t kc_ram_offset(const kc *m, uint64_t physical)
{
    return physical - kc_piece(m, physical)->start + kc_piece(m, physical)->offset;
}

/* Where the host has a byte of RAM. */
static inline uint8_t *kc_at(const kc *m, uint64_t physical) { return m->ram->pieces[0].memory + physical; }

static inline uint32_t kc_load32(const kc *m, uint64_t physical)
{
    uint32_t value;
    __builtin_memcpy(&value, kc_at(m, physical), sizeof value);
    return value;
}

#endif
