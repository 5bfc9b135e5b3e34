/*
 * Theory of operation
 *
 * A long random run, the same for the same seed. The main task picks a slot of one of three tables (kmem, pools
 * with blocks of any size, pools with blocks of one size): an empty slot takes memory and fills it with a
 * pattern of its own, a full one is verified and given back. Beside it four more urgent tasks wait for blocks
 * of the same pools; the main task wakes them so that they give back what they got. Now and then a pool is
 * deleted under all of them and made anew, or a wait is cancelled. Nobody waits for time, so the run does not
 * depend on the tick, which goes on all the while. All that the calls return goes into a checksum.
 *
 * Command line: seed=N (1) and calls=N (1500000), the number of steps; each step is one call at least.
 *
 * Shortcomings
 *
 * Every call is made with valid arguments: errors are the demo's business.
 */

#include "scenarios/btron.h"

#define DEFAULT_SEED  1u
#define DEFAULT_STEPS 1500000u

enum {
    MAIN = 1,
    FIRST_WAITER = 2,
    WAITERS = 4,
    MAIN_PRIORITY = 20,
    WAITER_PRIORITY = 10, /* and one less urgent for each further waiter */
    POOLS = 3,            /* of each kind; ids 1.. */
    POOL_BYTES = 4096,
    POOL_BLOCKS = 12,
    BLOCK_BYTES_MAX = 600,
    FIXED_BYTES = 52,
    KMEM_BYTES_MAX = 1500,
    SLOTS = 64, /* of each kind */
    PROGRESS_PARTS = 4,
};

enum kind { KMEM, ANY, FIXED, KINDS };

/* Memory that somebody holds. */
struct slot {
    UW *words; /* NULL: none */
    UW count_words;
    UW pattern;
    W size;
    ID pool;
};

static const struct boot_info *boot;
static struct slot slots[KINDS][SLOTS];
static UW random_state;
static UW checksum;
static UW spoilt;
static UW unexpected;
static UW base; /* of all memory of kmem */
static UW generation[KINDS][POOLS + 1]; /* changes when a pool is deleted */
static bool ending;
static struct {
    UW kmem_alloc, kmem_free, got, not_got, released, waits, served, cancelled, deleted;
} calls;

/* Marsaglia's xorshift32 ("Xorshift RNGs", 2003). The state is never 0. */
static inline UW next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static inline void add_to_checksum(UW value)
{
    checksum = (checksum << 5 | checksum >> 27) ^ value;
}

static void expect(ER result, ER expected)
{
    unexpected += result != expected;
}

static void fill(struct slot *slot, VP p, W size, ID pool, UW pattern)
{
    *slot = (struct slot){.words = p, .count_words = (UW)size / 4, .pattern = pattern, .size = size, .pool = pool};
    add_to_checksum((UW)p - base);
    for (UW i = 0; i < slot->count_words; i++) {
        slot->words[i] = pattern + i;
    }
}

static void verify(const struct slot *slot)
{
    UW differences = 0;

    for (UW i = 0; i < slot->count_words; i++) {
        differences |= slot->words[i] ^ (slot->pattern + i);
    }
    spoilt += differences != 0;
}

static ER get(enum kind kind, ID pool, W size, VP *p)
{
    return kind == ANY ? get_blk(p, pool, size) : get_blf(p, pool);
}

static ER release(enum kind kind, ID pool, VP p)
{
    return kind == ANY ? rel_blk(pool, p) : rel_blf(pool, p);
}

static void take(enum kind kind, struct slot *slot)
{
    UW random = next_random();
    ID pool = (ID)(random % POOLS) + 1;
    W size = FIXED_BYTES;
    VP p = NULL;
    ER result = E_OK;

    if (kind == KMEM) {
        size = (W)((random >> 8) % KMEM_BYTES_MAX) + 1;
        p = kmem_alloc(size);
        calls.kmem_alloc++;
        expect(p != NULL ? E_OK : E_NOMEM, E_OK);
    } else if (kind == ANY) {
        size = (W)((random >> 8) % BLOCK_BYTES_MAX) + 1;
        result = pget_blk(&p, pool, size);
    } else {
        result = pget_blf(&p, pool);
    }
    add_to_checksum((UW)result);
    if (p != NULL) {
        fill(slot, p, size, pool, random);
        calls.got += kind != KMEM;
    } else {
        expect(result, E_TMOUT);
        calls.not_got++;
    }
}

static void give(enum kind kind, struct slot *slot)
{
    VP p = slot->words;

    verify(slot);
    slot->words = NULL; /* before a waiting task runs */
    if (kind == KMEM) {
        expect(kmem_free(p, slot->size), E_OK);
        calls.kmem_free++;
    } else {
        expect(release(kind, slot->pool, p), E_OK);
        calls.released++;
    }
}

static void step_slot(enum kind kind, struct slot *slot)
{
    if (slot->words == NULL) {
        take(kind, slot);
    } else {
        give(kind, slot);
    }
}

static void create(enum kind kind, ID pool)
{
    T_CMPL any = {.mplatr = (ATR)pool % 2, .mplsz = POOL_BYTES};
    T_CMPF fixed = {.mpfatr = (ATR)pool % 2, .mpfcnt = POOL_BLOCKS, .blfsz = FIXED_BYTES};

    expect(kind == ANY ? cre_mpl(pool, &any) : cre_mpf(pool, &fixed), E_OK);
}

/* Deletes a pool; with it goes what the main task holds of it. Waiting tasks run before this returns. */
static void delete(enum kind kind, ID pool)
{
    for (INT i = 0; i < SLOTS; i++) {
        struct slot *slot = &slots[kind][i];
        if (slot->words != NULL && slot->pool == pool) {
            verify(slot);
            slot->words = NULL;
        }
    }
    generation[kind][pool]++;
    expect(kind == ANY ? del_mpl(pool) : del_mpf(pool), E_OK);
    calls.deleted++;
}

/* Waits for a block, keeps it until wup_tsk, and gives it back if its pool is still there. */
static void wait_once(enum kind kind, ID pool, UW random)
{
    W size = kind == ANY ? (W)((random >> 8) % (3 * BLOCK_BYTES_MAX)) + 1 : FIXED_BYTES;
    UW my_generation = generation[kind][pool];
    struct slot mine;
    VP p;

    calls.waits++;
    ER result = get(kind, pool, size, &p);
    add_to_checksum((UW)result);
    if (result != E_OK) {
        expect(result, my_generation == generation[kind][pool] ? E_RLWAI : E_DLT);
        calls.cancelled++;
        expect(slp_tsk(), E_OK);
        return;
    }
    calls.served++;
    fill(&mine, p, size, pool, random);
    expect(slp_tsk(), E_OK);
    if (my_generation == generation[kind][pool]) {
        verify(&mine);
        expect(release(kind, pool, p), E_OK);
    }
}

static void wait_for_blocks(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    while (!ending) {
        UW random = next_random();
        wait_once(random % 2 ? ANY : FIXED, (ID)(random % POOLS) + 1, random);
    }
}

/* Lets a waiting task go on: one that sleeps by wup_tsk, one in a pool's queue by rel_wai. */
static void let_go(ID waiter)
{
    if (tcb_table[waiter].wait_kind == WAIT_SLEEP) {
        expect(wup_tsk(waiter), E_OK);
    } else {
        expect(rel_wai(waiter), E_OK);
    }
}

static void step(UW random)
{
    enum kind kind = (random >> 4) % KINDS;
    ID pool = (ID)((random >> 8) % POOLS) + 1;
    ID waiter = FIRST_WAITER + (ID)((random >> 8) % WAITERS);

    if (random % 4096 == 0 && kind != KMEM) {
        delete(kind, pool);
        create(kind, pool);
    } else if (random % 16 == 1 && (tcb_table[waiter].wait_kind == WAIT_SLEEP || random >> 28 == 0)) {
        let_go(waiter);
    } else {
        step_slot(kind, &slots[kind][(random >> 8) % SLOTS]);
    }
}

static void run_steps(UW count)
{
    for (UW i = 0; i < count; i++) {
        step(next_random());
    }
}

static UW count_held(void)
{
    UW count = 0;

    for (INT kind = 0; kind < KINDS; kind++) {
        for (INT i = 0; i < SLOTS; i++) {
            count += slots[kind][i].words != NULL;
        }
    }
    return count;
}

static void give_everything(void)
{
    ending = true;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (INT i = 0; i < SLOTS; i++) {
            if (slots[kind][i].words != NULL) {
                give(kind, &slots[kind][i]);
            }
        }
    }
    for (ID waiter = FIRST_WAITER; waiter < FIRST_WAITER + WAITERS; waiter++) {
        while (tcb_table[waiter].state == TASK_WAIT) {
            let_go(waiter);
        }
        expect(del_tsk(waiter), E_OK);
    }
}

static bool pools_are_whole(void)
{
    bool whole = true;

    for (ID pool = 1; pool <= POOLS; pool++) {
        T_RMPL any;
        T_RMPF fixed;
        whole = whole && ref_mpl(&any, pool) == E_OK && any.maxsz == POOL_BYTES && ref_mpf(&fixed, pool) == E_OK &&
                fixed.frbcnt == POOL_BLOCKS;
        delete(ANY, pool);
        delete(FIXED, pool);
    }
    return whole;
}

static void print_calls(void)
{
    kprintf("  kmem_alloc %u, kmem_free %u\n", calls.kmem_alloc, calls.kmem_free);
    kprintf("  blocks got without waiting %u (%u without success), released %u\n", calls.got, calls.not_got,
            calls.released);
    kprintf("  calls that may wait %u: served %u, cancelled %u\n", calls.waits, calls.served, calls.cancelled);
    kprintf("  pools deleted %u\n", calls.deleted);
}

static void stress(INT stacd, VP exinf)
{
    UW seed = boot_option_u32(boot, "seed", DEFAULT_SEED);
    UW steps = boot_option_u32(boot, "calls", DEFAULT_STEPS);

    (void)stacd;
    (void)exinf;
    kprintf("BTRON/386 stress: %u random steps, seed %u\n", steps, seed);
    random_state = seed != 0 ? seed : DEFAULT_SEED;
    W free_pages = pmem_free_pages();
    for (ID pool = 1; pool <= POOLS; pool++) {
        create(ANY, pool);
        create(FIXED, pool);
    }
    base = kmem_extents[0].start;
    for (INT i = 0; i < WAITERS; i++) {
        start_task(FIRST_WAITER + i, WAITER_PRIORITY + i, wait_for_blocks, 0);
    }

    section("Running");
    for (UW part = 1; part <= PROGRESS_PARTS; part++) {
        UW share = steps / PROGRESS_PARTS;
        run_steps(part < PROGRESS_PARTS ? share : steps - share * (PROGRESS_PARTS - 1));
        kprintf("  %3u %%: %u blocks held, checksum 0x%08x\n", 100 / PROGRESS_PARTS * part, count_held(), checksum);
    }

    section("Giving everything back");
    give_everything();
    print_calls();
    kprintf("  checksum 0x%08x\n", checksum);
    check(calls.kmem_alloc == calls.kmem_free, "all of kmem's memory was given back");
    check(calls.waits == calls.served + calls.cancelled, "every wait has ended");
    check(spoilt == 0, "every pattern was found as it was written");
    check(unexpected == 0, "every call returned what it should");
    check(pools_are_whole(), "every pool was whole before it was deleted");
    check(kmem_is_whole(), "kmem has all its memory back");
    W kmem_pages = 0;
    for (UW i = 0; i < kmem_extent_count; i++) {
        kmem_pages += (W)(kmem_extents[i].size / PAGE_SIZE);
    }
    check(pmem_free_pages() == free_pages - kmem_pages, "no other pages are missing");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    boot = btron_boot(magic, info);
    start_task(MAIN, MAIN_PRIORITY, stress, 0);
    tasks_run();
}
