/* Where indirect jumps and returns lead.
 *
 * Unicorn's translated code calls a function for each, which asks three tables of the engine for the block to go on with. Ours looks
 * into a table of its own first (emit_jump() in translation.c): instruction pointer, code. What it does not find there comes
 * to kc_jump_is_new(), which looks into a second one, or asks the engine, and keeps the answer.
 *
 * A block belongs to the linear address at which it starts, to the base of CS and to flags of the CPU (kc_block_flags()). A table
 * is for one value of these flags, and for segments without a base. Whoever jumps knows the flags from its own translation: no
 * instruction changes them and goes on in its block, but for those that changes_flags() of translation.c knows.
 *
 * It also belongs to the page of physical memory in which it lies. The engine forgets what a jump leads to (tb_jmp_cache) where a
 * block is dropped, or an address leaves the TLB. So do the tables, unless all their jumps lead to pages that the window shows, which
 * tells when one of these lies elsewhere (core/windows.c). The second one knows the physical page of each block, and survives that. Where
 * a linear page lies is asked once again then.
 */
#include <stdlib.h>

#include "unicorn/counting.h"
#include "unicorn/engine.h"
#include "unicorn/interpose.h"
#include "unicorn/jumps.h"
#include "unicorn/reports.h"

enum { TABLES = 8 }; /* for that many values of flags */
enum { BLOCKS = 4096, PAGES = 64 };
enum { FILLED = 128 }; /* places that are emptied one by one: a guest that often empties the TLB, or writes code, fills few in between */
#define NOWHERE UINT64_MAX

/* Which places of a table were filled. */
struct filled {
    uint32_t count; /* more than FILLED: any may be */
    uint16_t places[FILLED];
};

struct jumps {
    void *translation; /* the engine's state of it */
    uintptr_t lowest;  /* block of all: code below belongs to none */
    uint64_t seen;     /* `changes`, when all this was right last */
    uint32_t count;    /* tables in use */
    struct table {
        uint32_t flags;
        struct filled filled;
        struct jump jumps[KC_JUMPS];
    } tables[TABLES];
    struct page { uint64_t linear, physical; } pages[PAGES];        /* as the TLB has them */
    struct block { uint64_t key, page, code; } blocks[BLOCKS];      /* key: see key_of(); page: the physical one; code 0: none */
    struct filled noted;                                            /* of these */
    bool is_loose;     /* a jump of the tables leads to a page that the window does not show */
};

static bool kept;
static uint64_t changes; /* of blocks and the TLB, in any machine */

static void *(*lookup)(void *state);
static void *(*block_of)(void *translation, uintptr_t code);
static uint64_t (*physical_of)(void *state, uint64_t linear);

static void note(struct filled *filled, uint32_t place)
{
    if (filled->count < FILLED)
        filled->places[filled->count] = (uint16_t)place;
    filled->count += filled->count <= FILLED;
}

/* How many places are to be emptied, of a table with so many; and the one after some of them. */
static uint32_t to_empty(const struct filled *filled, uint32_t size) { return filled->count > FILLED ? size : filled->count; }
static uint32_t place_after(const struct filled *filled, uint32_t i) { return filled->count > FILLED ? i : filled->places[i]; }

static void empty(struct table *table)
{
    for (uint32_t i = 0; i < to_empty(&table->filled, KC_JUMPS); i++)
        table->jumps[place_after(&table->filled, i)] = (struct jump){NOWHERE, (uintptr_t)kc_jump_is_new};
    table->filled.count = 0;
}

static void forget_blocks(struct jumps *jumps)
{
    for (uint32_t i = 0; i < to_empty(&jumps->noted, BLOCKS); i++)
        jumps->blocks[place_after(&jumps->noted, i)].code = 0;
    jumps->noted.count = 0;
}

static void forget(kc *m, bool blocks, bool translations)
{
    struct jumps *jumps = m->jumps;

    jumps->is_loose &= !translations;
    for (uint32_t i = 0; i < jumps->count; i++)
        empty(&jumps->tables[i]);
    if (translations)
        for (int i = 0; i < PAGES; i++)
            jumps->pages[i].linear = NOWHERE;
    if (blocks)
        forget_blocks(jumps);
}

void kc_jumps_start(kc *m)
{
    uint64_t now = __atomic_load_n(&changes, __ATOMIC_SEQ_CST);

    if (m->jumps->seen != now)
        forget(m, true, true);
    m->jumps->seen = now;
}

/* Something has changed: in the machine that runs in this thread, or in one that does not run, which finds out when it starts. */
static void changed(bool blocks, bool translations)
{
    kc *m = kc_running();
    uint64_t before = __atomic_fetch_add(&changes, 1, __ATOMIC_SEQ_CST);

    if (!m)
        return;
    if (blocks || m->jumps->is_loose || kc_fills_again(m))
        forget(m, blocks, translations);
    if (m->jumps->seen == before)
        m->jumps->seen = before + 1;
}

void kc_jumps_on_hidden(kc *m) { forget(m, false, true); }

static struct table *table_of(kc *m, uint32_t flags)
{
    for (uint32_t i = 0; i < m->jumps->count; i++)
        if (m->jumps->tables[i].flags == flags)
            return &m->jumps->tables[i];
    return NULL;
}

const struct jump *kc_jumps_of(kc *m, void *translation, uint32_t flags)
{
    struct jumps *jumps = m->jumps;
    struct table *table = table_of(m, flags);

    if (!lookup || m->reference)
        return NULL;
    jumps->translation = translation;
    if (!table && jumps->count < TABLES) {
        table = &jumps->tables[jumps->count++];
        table->flags = flags;
        table->filled.count = KC_JUMPS;
        empty(table);
    }
    return table ? table->jumps : NULL;
}

void kc_note_block(kc *m, const void *block)
{
    if (!m->jumps->lowest || (uintptr_t)block < m->jumps->lowest)
        m->jumps->lowest = (uintptr_t)block;
}

/* -- a jump that its table does not have --------------------------------------------------------- */

static uint64_t key_of(uint32_t eip, uint32_t flags) { return (uint64_t)flags << 32 | eip; }

/* May raise #PF, as the engine's own lookup does. */
static uint64_t page_of(kc *m, uint32_t linear)
{
    struct page *page = &m->jumps->pages[linear >> PAGE_SHIFT & (PAGES - 1)];

    if (page->linear != linear >> PAGE_SHIFT) {
        uint64_t physical = physical_of(kc_state_at(m), linear) & ~(uint64_t)PAGE_MASK;
        *page = (struct page){linear >> PAGE_SHIFT, physical};
        m->jumps->is_loose |= !kc_windows_show_code(m, linear);
    }
    return page->physical;
}

/* The engine's answer; 0: there is no such block yet, and the answer leads to where it will be translated. */
static uintptr_t ask(kc *m, struct block *block, uint64_t key, void **answer)
{
    *answer = lookup(kc_state_at(m));
    uintptr_t code = (uintptr_t)*answer;

    if (code < m->jumps->lowest)
        return 0;
    const uint8_t *found = block_of(m->jumps->translation, code);
    uint64_t page = page_of(m, (uint32_t)key);
    if (found && !kc_crosses_page(found)) { /* else a second page counts, too */
        *block = (struct block){key, page, code};
        note(&m->jumps->noted, (uint32_t)(block - m->jumps->blocks));
    } else {
        m->jumps->is_loose |= !found || !kc_windows_show_code(m, ((uint32_t)key | PAGE_MASK) + 1);
    }
    return code;
}

__attribute__((used)) static void *find(uint64_t executed) __asm__("kc_find_jump");
static void *find(uint64_t executed)
{
    kc *m = kc_running();
    uint32_t flags = kc_block_flags(m);
    uint64_t eip = *kc_long_eip(m), key = key_of((uint32_t)eip, flags);
    struct block *block = &m->jumps->blocks[eip >> KC_JUMP_STEP & (BLOCKS - 1)];
    struct table *table = table_of(m, flags);
    uintptr_t code = block->code;
    void *answer = (void *)code;

    kc_block_ends(m, executed);
    if (!table || eip >> 32 || kc_segment_base(m, CS))
        return lookup(kc_state_at(m));
    if (!code || block->key != key || block->page != page_of(m, (uint32_t)eip))
        code = ask(m, block, key, &answer);
    if (code) {
        uint32_t place = eip >> KC_JUMP_STEP & (KC_JUMPS - 1);
        table->jumps[place] = (struct jump){eip, code};
        note(&table->filled, place);
        kept = true;
    }
    return answer;
}

/* Stands for a block, from which functions are called in the same way; r15: see count_register.c. */
__attribute__((naked)) void kc_jump_is_new(void)
{
    __asm__("mov %r15, %rdi\n\t"
            "call kc_find_jump\n\t"
            "jmp *%rax");
}

bool kc_jumps_are_kept(void) { return kept; }

/* -- what changes -------------------------------------------------------------------------------- */

/* What drops blocks: all of them, one, those of a page, those of a range. And what takes pages out of the TLB. */
#define CHANGES(X) \
    X(tb_flush, (void *cpu), (cpu), true) \
    X(tb_phys_invalidate, (void *translation, void *block, uint64_t page), (translation, block, page), true) \
    X(tb_invalidate_phys_page_range, (void *uc, uint64_t start, uint64_t end), (uc, start, end), true) \
    X(tb_invalidate_phys_range, (void *uc, uint64_t start, uint64_t end), (uc, start, end), true) \
    X(tlb_flush_by_mmuidx, (void *cpu, uint16_t modes), (cpu, modes), false) \
    X(tb_flush_jmp_cache, (void *cpu, uint64_t address), (cpu, address), false)

#define CHANGE(name, parameters, arguments, blocks) \
    static void (*original_##name) parameters; \
    EXPORTED void name##_x86_64 parameters; \
    void name##_x86_64 parameters \
    { \
        changed(blocks, !(blocks)); \
        original_##name arguments; \
    }
CHANGES(CHANGE)

/* A store to a page with blocks: often to data beside them, which drops none. */
static size_t (*dropped)(void *translation);
static void (*original_store)(void *uc, void *pages, uint64_t start, int size, uintptr_t host_pc);
EXPORTED void tb_invalidate_phys_page_fast_x86_64(void *uc, void *pages, uint64_t start, int size, uintptr_t host_pc);
void tb_invalidate_phys_page_fast_x86_64(void *uc, void *pages, uint64_t start, int size, uintptr_t host_pc)
{
    kc *m = kc_running();
    void *translation = m ? m->jumps->translation : NULL;
    size_t before = translation ? dropped(translation) : 0;

    original_store(uc, pages, start, size, host_pc);
    if (!translation || dropped(translation) != before)
        changed(true, false);
}

static uint64_t (*ram_address)(void *uc, void *memory);

void kc_forget_code(kc *m, void *memory, uint32_t size)
{
    void *translation = m->jumps->translation;
    size_t before = translation ? dropped(translation) : 0;
    uint64_t start = ram_address(m->uc, memory);

    original_tb_invalidate_phys_range(m->uc, start, start + size);
    if (!translation || dropped(translation) != before)
        changed(true, false);
}

/* So the function above is left where the block that stores is dropped itself. */
static void (*original_exit)(void *cpu);
EXPORTED void cpu_loop_exit_noexc_x86_64(void *cpu);
void cpu_loop_exit_noexc_x86_64(void *cpu)
{
    changed(true, false);
    original_exit(cpu);
}

/* -- life ---------------------------------------------------------------------------------------- */

bool kc_jumps_load(void *unicorn)
{
    bool all = true; /* what is there is needed in any case, to be passed on to */

#define FIND(variable, name) all &= ((variable) = (__typeof__(variable))kc_find(unicorn, name "_x86_64")) != NULL
#define X(name, parameters, arguments, blocks) FIND(original_##name, #name);
    CHANGES(X)
#undef X
    FIND(original_store, "tb_invalidate_phys_page_fast");
    FIND(original_exit, "cpu_loop_exit_noexc");
    FIND(dropped, "tcg_tb_phys_invalidate_count");
    FIND(block_of, "tcg_tb_lookup");
    FIND(physical_of, "get_page_addr_code");
    FIND(lookup, "helper_lookup_tb_ptr");
    if (!all)
        lookup = NULL;
    FIND(ram_address, "qemu_ram_addr_from_host");
#undef FIND
    return ram_address && original_tb_invalidate_phys_range;
}

int kc_jumps_init(kc *m)
{
    if (KC_NEW(m->jumps))
        return -1;
    forget(m, true, true);
    return 0;
}

void kc_jumps_free(kc *m) { free(m->jumps); }
