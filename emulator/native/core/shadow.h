/* The shadow: a byte for each byte of RAM, which says whether it may be accessed (enum kc_poison). There is one while somebody checks. */
#ifndef KMEMU_SHADOW_H
#define KMEMU_SHADOW_H

#include "core/ram.h"

struct kept_page;
struct kept_shadow;

/* `bytes` is a shared mapping of `file`, [0, memory_end); NULL: nobody checks. */
struct shadow {
    int file;
    uint8_t *bytes;
    uint8_t *watched;            /* one bit a page: it has had a byte that may not be accessed */
    uint8_t *is_kept;            /* one bit a page: the newest snapshot keeps it as it was */
    struct kept_shadow *newest;  /* of the snapshots since the shadow was opened; NULL: none */
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
