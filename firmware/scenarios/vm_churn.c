/*
 * Theory of operation
 *
 * Tasks in ring 3 come and go by the thousand; the same for the same seed. In each round the director creates two, maps
 * a region in the first and shares it with the second. The first writes to the shared pages, maps and fills some of its
 * heap, goes down its stack, and sleeps; the second reads the shared pages, makes calls, and returns. The first is then
 * woken and returns, or is terminated, or touches an address that it has not. What the second has found in memory goes
 * into a checksum. Nothing depends on the tick, which goes on all the while.
 *
 * Command line: seed=N (1) and calls=N (3000), the number of rounds; a round is two tasks.
 *
 * Shortcomings
 *
 * All calls are made with good arguments: errors are the demo's business.
 */

#include "btron/space.h"
#include "btron/task_memory.h"
#include "btron/user.h"
#include "scenarios/btron.h"

#define DEFAULT_SEED   1u
#define DEFAULT_ROUNDS 3000u
#define SHARED         ((VP)0x20000000)
#define HEAP           ((VP)USER_HEAP)
#define USABLE         (VPROT_USER | VPROT_READ | VPROT_WRITE)

enum {
    DIRECTOR = 1,
    WRITER = 2,
    READER = 3,
    DIRECTOR_PRIORITY = 20,
    URGENT = 5,
    SHARED_PAGES_MAX = 4,
    HEAP_PAGES_MAX = 4,
    PAGE_WORDS = 1024,
    CALLS = 8,
    FAULTS = 1024, /* one round in so many ends by a fault, with a line on the console */
    PROGRESS_PARTS = 4,
};

static const struct boot_info *boot;
static UW random_state;
static UW checksum;
static UW unexpected;
static struct {
    UW created, returned, terminated, faulted, missing;
} counts;

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

USER_DATA static UW found = 1;

/* Fills the first words of each of its pages; `pages` pages are shared. */
USER_TEXT static void write_pages(INT random, VP pages)
{
    volatile UW *shared = SHARED;
    volatile UW *heap = HEAP;
    UW heap_pages = ((UW)random >> 8) % HEAP_PAGES_MAX + 1;
    volatile UW here = (UW)random;
    ID own;

    user_get_tid(&own);
    user_vmap_reg(own, HEAP, (W)(heap_pages * PAGE_SIZE), USABLE);
    for (UW page = 0; page < heap_pages; page++) {
        heap[page * PAGE_WORDS] = (UW)random + page;
    }
    for (UW page = 0; page < (UW)pages; page++) {
        shared[page * PAGE_WORDS] = heap[page % heap_pages * PAGE_WORDS] * 3 + page;
    }
    *(&here - (UW)random % 3 * PAGE_WORDS) = found;
    user_slp_tsk();
    if ((UW)random % FAULTS == 0) {
        heap[heap_pages * PAGE_WORDS] = here;
    }
}

USER_TEXT static void read_pages(INT random, VP pages)
{
    const volatile UW *shared = SHARED;
    ID own = 0;

    for (UW page = 0; page < (UW)pages; page++) {
        found = found * 31 + shared[page * PAGE_WORDS];
    }
    for (UW i = 0; i < CALLS; i++) {
        user_get_tid(&own);
        found += (UW)own;
    }
    found ^= (UW)random;
    user_slp_tsk();
}

static void create(ID tskid, FP program, UW pages)
{
    T_CTSK packet = {.exinf = (VP)pages,
                     .tskatr = TA_HLNG | TA_USER,
                     .task = program,
                     .itskpri = URGENT,
                     .stksz = USER_STACK_BYTES};

    expect(cre_tsk(tskid, &packet), E_OK);
    counts.created++;
}

/* Lets the writer end: by itself, by a fault, or by the director. */
static void end_writer(UW random)
{
    if (random % FAULTS == 0) {
        expect(wup_tsk(WRITER), E_OK);
        counts.faulted++;
    } else if (random % 2 == 0) {
        expect(wup_tsk(WRITER), E_OK);
        counts.returned++;
    } else {
        expect(ter_tsk(WRITER), E_OK);
        counts.terminated++;
    }
    expect(del_tsk(WRITER), E_OK);
}

static void run_round(UW random)
{
    UW pages = (random >> 16) % SHARED_PAGES_MAX + 1;
    UW value = 0;

    create(WRITER, write_pages, pages);
    create(READER, read_pages, pages);
    expect(vcre_reg(WRITER, SHARED, (W)PAGE_SIZE, SHARED_PAGES_MAX * (W)PAGE_SIZE, USABLE, NULL), E_OK);
    expect(vmap_reg(WRITER, SHARED, (W)(pages * PAGE_SIZE), USABLE), E_OK);
    expect(vshr_reg(WRITER, READER, SHARED), E_OK);
    expect(sta_tsk(WRITER, (INT)random), E_OK);
    expect(sta_tsk(READER, (INT)random), E_OK);
    expect(vget_reg(READER, &found, sizeof value, &value), E_OK);
    add_to_checksum(value);
    end_writer(random);
    expect(wup_tsk(READER), E_OK);
    expect(del_tsk(READER), E_OK);
    counts.returned++;
}

static void run_rounds(UW count, W free_pages)
{
    for (UW i = 0; i < count; i++) {
        run_round(next_random());
    }
    counts.missing += (UW)(free_pages - pmem_free_pages());
}

static void churn(INT stacd, VP exinf)
{
    UW seed = boot_option_u32(boot, "seed", DEFAULT_SEED);
    UW rounds = boot_option_u32(boot, "calls", DEFAULT_ROUNDS);
    W free_pages = pmem_free_pages();

    (void)stacd;
    (void)exinf;
    kprintf("BTRON/386 vm_churn: %u rounds of two tasks in ring 3, seed %u\n", rounds, seed);
    random_state = seed != 0 ? seed : DEFAULT_SEED;

    section("Running");
    for (UW part = 1; part <= PROGRESS_PARTS; part++) {
        UW share = rounds / PROGRESS_PARTS;
        run_rounds(part < PROGRESS_PARTS ? share : rounds - share * (PROGRESS_PARTS - 1), free_pages);
        kprintf("  %3u %%: checksum 0x%08x\n", 100 / PROGRESS_PARTS * part, checksum);
    }

    section("At the end");
    kprintf("  created %u; returned %u, terminated %u, ended by a fault %u\n", counts.created, counts.returned,
            counts.terminated, counts.faulted);
    kprintf("  checksum 0x%08x\n", checksum);
    check(counts.created == counts.returned + counts.terminated + counts.faulted, "every task has ended");
    check(unexpected == 0, "every call returned what it should");
    check(counts.missing == 0 && pmem_free_pages() == free_pages, "every page is back");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    boot = btron_boot(magic, info);
    start_task(DIRECTOR, DIRECTOR_PRIORITY, churn, 0);
    tasks_run();
}
