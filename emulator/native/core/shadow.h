/* The shadow: a byte for each byte of RAM, which says whether it may be accessed (enum kc_poison). There is one while somebody checks. */
#ifndef KMEMU_SHADOW_H
#define KMEMU_SHADOW_H

#include "core/kept_arrays.h"
#include "core/ram.h"

/* `bytes` is a shared mapping of `file`, [0, memory_end); NULL: nobody checks. */
struct shadow {
    int file;
    uint8_t *bytes;
    uint8_t *watched;        /* one bit a page: it has had a byte that may not be accessed */
    struct kept_array pages;
    uint32_t openings;
};

int kc_shadow_init(kc *m);
void kc_shadow_free(kc *m);
int kc_shadow_save(kc *m, void **saved);
int kc_shadow_restore(kc *m, const void *saved);
void kc_shadow_forget(void *saved);

/* From now on there is a shadow, of zeros. -1: the host lacks something. */
int kc_shadow_open(kc *m);
void kc_shadow_close(kc *m);
/* As kc_ram_replace(). */
int kc_shadow_replace(kc *m, int copy);

static inline bool kc_has_shadow(const kc *m) { return m->shadow->bytes; }

static inline int kc_shadow_file(const kc *m) { return m->shadow->file; }

/* The byte of a physical address in RAM, and those of its page that follow. */
static inline const uint8_t *kc_shadow_at(const kc *m, uint64_t physical) { return m->shadow->bytes + physical; }

/* The same, where they are going to be changed; `poisons`: to others than 0. NULL: there is
 * nothing to change, as all are 0, or no memory. */
uint8_t *kc_shadow_change(kc *m, uint64_t physical, bool poisons);
/* Set a part of RAM; what lies outside of it does not matter. */
void kc_shadow_set(kc *m, uint64_t physical, uint64_t size, enum kc_poison value);

static inline enum kc_poison kc_poison_at(const kc *m, uint64_t physical)
{
    return physical < m->memory_end ? (enum kc_poison)m->shadow->bytes[physical] : KC_ACCESSIBLE;
}

/* Has each access to a page to be looked at? */
static inline bool kc_is_poisoned(const kc *m, uint64_t physical)
{
    return m->shadow->bytes && physical < m->memory_end && m->shadow->watched[physical >> (PAGE_SHIFT + 3)] >> (physical >> PAGE_SHIFT & 7) & 1;
}

#endif
