/* From linear addresses to physical ones, and words of the guest's memory by linear address. */
#ifndef KMEMU_MMU_H
#define KMEMU_MMU_H

#include "core/ram.h"
#include "unicorn/state.h"

#define FILLS 64

struct mmu {
    struct fill { uint32_t linear, physical; bool writable, user; } fills[FILLS]; /* newest TLB fills, addresses of pages; by linear page */
    uint8_t large[1024 / 8]; /* one bit for 4 MiB of linear addresses: a large page was there at a TLB fill */
    bool paging; /* CR0.PG at the last TLB fill; nothing runs after a change of PG without a fill */
    bool a20_off; /* bit 20 of the CPU's physical addresses is 0 */
    bool flat;    /* neither of both: a linear address is the physical one */
    bool space_known;
    uint32_t space; /* see kc_space() */
    uint8_t *fetched; /* one bit a physical page: code was fetched from it */
    uint32_t *fetched_pages, fetched_count, fetched_capacity; /* the same as a list */
    struct { uint32_t address, vector, error_code; uintptr_t host_pc; bool user; } miss; /* the present TLB fill; vector 0: nothing to be raised */
    bool code_is_old; /* pages with code were written from outside; the next run forgets it */
    bool watched, stores_watched; /* the guest's accesses to the page that is filled now are told, or its stores */
};

/* Where the walk of a linear address's tables has led. Addresses are physical ones. */
#define KC_NO_ENTRY UINT64_MAX /* tables may begin at 0 */
struct kc_translation {
    uint32_t linear;                 /* of the page */
    bool user, wide;                 /* for users; entries have 8 bytes */
    bool writable, for_users, no_execute; /* what the entries allow */
    uint8_t granted;                 /* UC_PROT_READ, with UC_PROT_WRITE or without */
    uint64_t physical;               /* of the page */
    uint64_t entries_at[2], entries[2]; /* the directory's and the table's; where a large page has none, entries_at is KC_NO_ENTRY */
};

int kc_mmu_init(kc *m);
/* All translated code is to go as soon as that can be. */
void kc_forget_code_soon(kc *m);
/* Before a run: what was translated of pages that were written from outside is no more. */
void kc_forget_old_code(kc *m);
static inline bool kc_code_is_old(const kc *m) { return m->mmu->code_is_old; }
void kc_mmu_free(kc *m);
int kc_mmu_save(kc *m, void **saved);
int kc_mmu_restore(kc *m, const void *saved);

/* The pages that code was fetched from. */
static inline const uint32_t *kc_fetched_pages(const kc *m, uint32_t *count)
{
    *count = m->mmu->fetched_count;
    return m->mmu->fetched_pages;
}

static inline bool kc_was_fetched(const kc *m, uint64_t page) { return m->mmu->fetched[page >> 3] >> (page & 7) & 1; }

/* Walk as things are, without side effects. False: the access would fault. */
bool kc_walk(kc *m, uint32_t linear, uc_mem_type type, bool user, struct kc_translation *out);
/* One entry of a translation, as it is in memory. */
uint64_t kc_entry(const kc *m, const struct kc_translation *t, int level);
/* Of the present TLB fill: the address and the place of the access. */
static inline uint32_t kc_missed(const kc *m, uintptr_t *host_pc)
{
    *host_pc = m->mmu->miss.host_pc;
    return m->mmu->miss.address;
}

static inline bool kc_missed_by_user(const kc *m) { return m->mmu->miss.user; }

/* What comes out of gate A20 (IBM PC/AT Technical Reference, "Keyboard Controller"). */
static inline uint64_t kc_gated(const kc *m, uint64_t physical) { return m->mmu->a20_off ? physical & ~(1ull << 20) : physical; }

static inline bool kc_paging(const kc *m) { return m->mmu->paging; }

/* What the present address space is told from others by: where its page tables begin, or 0 without paging. */
enum { KC_SPACE_OF_TABLES = 1 }; /* page tables may begin at 0 */
uint32_t kc_read_space(kc *m);
static INLINED uint32_t kc_space(kc *m) { return m->mmu->space_known ? m->mmu->space : kc_read_space(m); }
/* Where an address of another space lies now, and whether its page may be written; -1: it is not mapped. */
int64_t kc_translate_in(kc *m, uint32_t space, uint32_t linear, bool *writable);

/* The newest TLB fill of the page of a linear address; NULL: there was none lately. */
static inline const struct fill *kc_fill_of(const kc *m, uint32_t linear)
{
    const struct fill *fill = &m->mmu->fills[linear >> PAGE_SHIFT & (FILLS - 1)];
    return fill->linear == (linear & ~PAGE_MASK) ? fill : NULL;
}

/* Is each linear address the physical one, as far as is known? The reference MMU has to be asked. */
static inline bool kc_is_flat(const kc *m) { return m->mmu->flat && !m->reference; }

/* Where a linear address lies; -1: nowhere, as page tables are now. */
static inline int64_t kc_translate_now(kc *m, uint32_t linear) { return kc_is_flat(m) ? linear : kc_translate(m, linear); }

/* Where an address lies that the guest has just used: its page's TLB fill is remembered, or the window shows it. */
int64_t kc_translate_shown(kc *m, uint32_t linear);
static INLINED int64_t kc_translate_used(kc *m, uint32_t linear)
{
    if (kc_is_flat(m))
        return linear;
    const struct fill *fill = kc_fill_of(m, linear);
    return fill ? (int64_t)(fill->physical | (linear & PAGE_MASK)) : kc_translate_shown(m, linear);
}

/* Was the page's newest fill one that allows plain writes of a user, or of a supervisor? */
static inline bool kc_is_filled_writable(const kc *m, uint32_t linear, bool user)
{
    const struct fill *fill = kc_fill_of(m, linear);
    return fill && fill->writable && fill->user == user && !kc_was_fetched(m, fill->physical >> PAGE_SHIFT);
}

/* Where the page's newest fill has found it, if that allows such accesses; -1: it does not, or there was none lately. */
static inline int64_t kc_filled_at(const kc *m, uint32_t page, bool user, bool write)
{
    const struct fill *fill = kc_fill_of(m, page);
    return fill && ((fill->writable && fill->user == user) || !write) && fill->physical < m->memory_end ? (int64_t)fill->physical : -1;
}

/* Copy `count` words that lie at a linear address, which is known to lie at `at`, or nowhere (negative); words that are not mapped read as 0. */
void kc_words_apart(kc *m, uint32_t linear, uint32_t *out, uint32_t count); /* one by one */
static INLINED void kc_words_at(kc *m, int64_t at, uint32_t linear, uint32_t *out, uint32_t count)
{
    bool one_page = (linear & PAGE_MASK) + 4 * count <= PAGE_SIZE;

    if (one_page && at >= 0 && (uint64_t)at + 4 * count <= m->memory_end) {
        __builtin_memcpy(out, kc_at(m, (uint64_t)at), 4 * count);
    } else {
        kc_words_apart(m, linear, out, count);
    }
}

static INLINED void kc_words(kc *m, uint32_t linear, uint32_t *out, uint32_t count) { kc_words_at(m, kc_translate_used(m, linear), linear, out, count); }

/* The same of words on the stack, by ESP or EBP. */
static inline void kc_stack_words(kc *m, uint32_t at, uint32_t *out, uint32_t count)
{
    kc_words(m, kc_segment_base(m, SS) + at, out, count);
}

static inline uint32_t kc_stack_word(kc *m, uint32_t at)
{
    uint32_t word;

    kc_stack_words(m, at, &word, 1);
    return word;
}

/* The memory of a page of the stack, by ESP. NULL: it is not one page of RAM. */
static INLINED const uint8_t *kc_stack_page(kc *m, uint32_t page)
{
    uint32_t linear = kc_segment_base(m, SS) + page;
    int64_t at = linear & PAGE_MASK ? -1 : kc_translate_used(m, linear);

    return at >= 0 && (uint64_t)at + PAGE_SIZE <= m->memory_end ? kc_at(m, (uint64_t)at) : NULL;
}

#endif
