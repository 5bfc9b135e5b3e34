/* The translations that a TLB may hold, each with the entries of page tables that it comes from. */
#ifndef KMEMU_TRANSLATIONS_H
#define KMEMU_TRANSLATIONS_H

#include "core/mmu.h"

/* One translation, of a page for supervisors or for users. */
struct held {
    struct kc_translation as; /* how it was filled */
    uint32_t next[2];         /* the next one with the same directory, or table: see struct translations */
    bool is_held;             /* the TLB may hold it */
    bool is_written;          /* its entries were written to since; it is in the engine's TLB no longer, or its page is watched */
    bool is_used;             /* and a use of it was kept after that */
    struct written { kc_write write; uint64_t before; uint8_t level; bool is_any; } last, change;
};

/* Numbers of translations begin at 1; 0 is none. */
struct translations {
    struct held *all;
    uint32_t count, capacity;
    uint32_t *of_pages[2];  /* by linear page, for supervisors and for users */
    uint32_t *of_frames[2]; /* by frame of a directory, or of a table: the first one that comes from it */
    uint64_t frames;
};

/* For RAM of so many frames. False: no memory, and there is nothing to be freed. */
bool kc_translations_init(struct translations *t, uint64_t frames);
void kc_translations_free(struct translations *t);

/* Forget all. */
void kc_translations_clear(struct translations *t);
/* The translation of a linear address, or NULL. */
struct held *kc_translations_find(const struct translations *t, uint32_t linear, bool user);
/* Take one in; it takes the place of an older one of the same page. NULL: no memory. */
struct held *kc_translations_add(struct translations *t, const struct kc_translation *filled);
/* Does a frame hold entries that translations come from? */
bool kc_translations_use(const struct translations *t, uint64_t frame);

#endif
