/*
 * Theory of operation
 *
 * Each section makes a pool, takes all of it, and lets tasks ask for more: they wait. Then something happens: a
 * block comes back, time passes, a wait is cancelled, the pool is deleted. A task prints what it got as soon as
 * it runs, with the offset of its block, so two orders can be read off: tasks run by priority, but blocks were
 * given out in the order of the queue. Each section says beforehand what its tasks will print; whatever differs is a
 * failed check.
 *
 * The director, task 1, is less urgent than all others: while it runs, each of them waits or is dormant.
 * Moments are ticks counted from the beginning of the section, at least 40 apart; every deadline is computed
 * from the moment it stands for, so a slow host may delay a call but not exchange two events.
 *
 * Shortcomings
 *
 * A host that stops the machine for 40 ms between two instructions of the same section can still disturb it.
 */

#include "scenarios/btron.h"

enum {
    DIRECTOR = 1,
    FIRST_TASK = 2,
    TASKS_MAX = 5,
    DIRECTOR_PRIORITY = 30,
    ANY = 1,   /* the pool with blocks of any size */
    FIXED = 2, /* the pool with blocks of one size */
    CLOCK = 3, /* a fixed-size pool without blocks, to wait for time */
    POOL_BYTES = 256,
    FIXED_BYTES = 24,
    FOR_EVER = -1,
};

/* What a task asks for, once. */
struct request {
    const char *name;
    PRI priority;
    ID pool;
    INT size;   /* of a block of any size */
    INT until;  /* moment when it gives up, or FOR_EVER */
    INT hold;   /* moment when it gives the block back; 0: it keeps the block */
};

/* What a task prints. */
struct outcome {
    const char *name; /* NULL: nothing more is printed */
    ER result;
    INT place; /* of the block in the pool's area, if it got one; GIVEN_BACK: the task gives it back */
};

enum { GIVEN_BACK = -1 };

/* What will be printed in this section, in this order. */
#define EXPECT(...) expect((const struct outcome[]){__VA_ARGS__, {.name = NULL}})

static struct request requests[TASKS_MAX];
static const struct outcome *expected;
static UW section_start; /* value of sys_tick */

static TMO ticks_until(INT moment)
{
    TMO ticks = (TMO)(section_start + (UW)moment - sys_tick);

    return ticks > 0 ? ticks : 1;
}

static void wait_until(INT moment)
{
    VP never;

    tget_blf(&never, CLOCK, ticks_until(moment));
}

static INT place_in(ID pool, VP blk)
{
    VP area = pool == ANY ? mpl_table[ANY].area : mpf_table[FIXED].area;

    return bytes(blk) - bytes(area);
}

static void expect(const struct outcome *outcomes)
{
    expected = outcomes;
}

static void print_outcome(const struct outcome *outcome)
{
    if (outcome->name == NULL) {
        console_write("nothing");
    } else if (outcome->place == GIVEN_BACK) {
        kprintf("%s: gives it back", outcome->name);
    } else if (outcome->result == E_OK) {
        kprintf("%s: E_OK, block at +%d", outcome->name, outcome->place);
    } else {
        kprintf("%s: %s", outcome->name, error_name(outcome->result));
    }
}

static bool is_expected(const struct outcome *outcome)
{
    return expected->name != NULL && *outcome->name == *expected->name && outcome->result == expected->result &&
           outcome->place == expected->place;
}

/* Prints what a task got or did, and checks that this is what comes next. */
static void report(struct outcome outcome)
{
    console_write("    ");
    print_outcome(&outcome);
    console_write("\n");
    if (!is_expected(&outcome)) {
        console_write("        expected: ");
        print_outcome(expected);
        console_write("\n");
        check(false, "who is served, with what, and when");
    }
    if (expected->name != NULL) {
        expected++;
    }
}

static void ask(INT index, VP exinf)
{
    const struct request *request = &requests[index];
    TMO tmout = request->until == FOR_EVER ? TMO_FEVR : ticks_until(request->until);
    VP blk;

    (void)exinf;
    ER result = request->pool == ANY ? tget_blk(&blk, ANY, request->size, tmout) : tget_blf(&blk, FIXED, tmout);
    if (result != E_OK) {
        report((struct outcome){request->name, result, 0});
        return;
    }
    report((struct outcome){request->name, E_OK, place_in(request->pool, blk)});
    if (request->hold != 0) {
        wait_until(request->hold);
        report((struct outcome){request->name, E_OK, GIVEN_BACK});
        if (request->pool == ANY) {
            rel_blk(ANY, blk);
        } else {
            rel_blf(FIXED, blk);
        }
    }
}

/* Starts a task for each request; all of them run until they wait. */
static void start_requests(const struct request *list, INT count)
{
    memcpy(requests, list, (size_t)count * sizeof(*list));
    for (INT i = 0; i < count; i++) {
        kprintf("  %s, priority %d, asks", list[i].name, list[i].priority);
        if (list[i].pool == ANY) {
            kprintf(" for %d bytes", list[i].size);
        }
        if (list[i].until != FOR_EVER) {
            kprintf(" until tick %d", list[i].until);
        }
        console_write("\n");
        start_task(FIRST_TASK + i, list[i].priority, ask, i);
    }
}

static void show_first_waiter(ID wtsk, const char *first)
{
    const char *name = wtsk != 0 ? requests[wtsk - FIRST_TASK].name : "nobody";

    kprintf("  first in the queue: %s\n", name);
    if (*name != *first) {
        kprintf("        expected: %s\n", first);
        check(false, "who is first in the queue");
    }
}

/* Prints what is left of the pool, all of it in one block, and who waits; checks both. */
static void show_any(INT free, const char *first)
{
    T_RMPL state;

    ER result = ref_mpl(&state, ANY);
    kprintf("  free: %d bytes, largest %d\n", state.frsz, state.maxsz);
    if (result != E_OK || state.frsz != free || state.maxsz != free) {
        kprintf("        expected: %d bytes, in one block\n", free);
        check(false, "what is free");
    }
    show_first_waiter(state.wtsk, first);
}

static void show_fixed(INT free, const char *first)
{
    T_RMPF state;

    ER result = ref_mpf(&state, FIXED);
    kprintf("  free: %d blocks\n", state.frbcnt);
    if (result != E_OK || state.frbcnt != free) {
        kprintf("        expected: %d blocks\n", free);
        check(false, "what is free");
    }
    show_first_waiter(state.wtsk, first);
}

static void begin(const char *title)
{
    section(title);
    section_start = sys_tick;
}

static void begin_any(const char *title, ATR order, VP *all)
{
    T_CMPL pool = {.mplatr = order, .mplsz = POOL_BYTES};

    begin(title);
    check(cre_mpl(ANY, &pool) == E_OK && pget_blk(all, ANY, POOL_BYTES) == E_OK,
          "a pool of 256 bytes, all of it taken");
}

static void begin_fixed(const char *title, ATR order, VP blocks[2])
{
    T_CMPF pool = {.mpfatr = order, .mpfcnt = 2, .blfsz = FIXED_BYTES};

    begin(title);
    check(cre_mpf(FIXED, &pool) == E_OK && pget_blf(&blocks[0], FIXED) == E_OK && pget_blf(&blocks[1], FIXED) == E_OK,
          "a pool of 2 blocks, both taken");
}

/* Deletes pool and tasks. Tasks that still wait learn it from E_DLT. */
static void end(INT count, ID pool)
{
    if (mpl_table[ANY].first_waiter != 0 || mpf_table[FIXED].first_waiter != 0) {
        console_write("  the pool is deleted\n");
    }
    ER result = pool == ANY ? del_mpl(ANY) : del_mpf(FIXED);
    for (INT i = 0; i < count; i++) {
        ER deleted = del_tsk(FIRST_TASK + i);
        result = result != E_OK ? result : deleted;
    }
    check(expected->name == NULL, "everybody got what was due, in the right order");
    check(result == E_OK, "no pool and no task is left");
}

static const struct request four_sizes[] = {
    {"A", 20, ANY, 100, FOR_EVER, 0},
    {"B", 10, ANY, 40, FOR_EVER, 0},
    {"C", 15, ANY, 200, FOR_EVER, 0},
    {"D", 10, ANY, 16, FOR_EVER, 0},
};

static void show_arrival(void)
{
    VP all;

    begin_any("First come, first served: TA_TFIFO", TA_TFIFO, &all);
    EXPECT({"B", E_OK, 120}, {"D", E_OK, 168}, {"A", E_OK, 8}, {"C", E_DLT, 0});
    start_requests(four_sizes, 4);
    show_any(0, "A");
    console_write("  all 256 bytes come back\n");
    rel_blk(ANY, all);
    show_any(72, "C");
    end(4, ANY);
}

static void show_priority(void)
{
    VP all;

    begin_any("The most urgent first: TA_TPRI", TA_TPRI, &all);
    EXPECT({"B", E_OK, 8}, {"D", E_OK, 56}, {"A", E_OK, 80}, {"C", E_DLT, 0});
    start_requests(four_sizes, 4);
    show_any(0, "B");
    console_write("  all 256 bytes come back\n");
    rel_blk(ANY, all);
    show_any(72, "C");
    end(4, ANY);
}

static void show_passing_over(void)
{
    static const struct request list[] = {
        {"A", 10, ANY, 120, FOR_EVER, 0},
        {"B", 10, ANY, 200, FOR_EVER, 0},
        {"C", 10, ANY, 120, FOR_EVER, 0},
        {"D", 10, ANY, 64, FOR_EVER, 0},
        {"E", 10, ANY, 16, FOR_EVER, 0},
    };
    VP all, low, middle, high;

    begin_any("Passed over: what is not smaller than a request that failed", TA_TFIFO, &all);
    rel_blk(ANY, all);
    pget_blk(&low, ANY, 96);
    pget_blk(&middle, ANY, 80);
    pget_blk(&high, ANY, 64);
    console_write("  taken again as 96, 80 and 64 bytes\n");
    EXPECT({"D", E_OK, 8}, {"E", E_OK, 80}, {"A", E_OK, 112}, {"B", E_DLT, 0}, {"C", E_DLT, 0});
    start_requests(list, 5);
    show_any(0, "A");
    console_write("  the 96 bytes come back\n");
    rel_blk(ANY, low);
    show_any(0, "A");
    console_write("  the 64 bytes come back\n");
    rel_blk(ANY, high);
    show_any(64, "A");
    console_write("  the 80 bytes come back\n");
    rel_blk(ANY, middle);
    show_any(24, "B");
    end(5, ANY);
}

static void show_time_outs(void)
{
    static const struct request list[] = {
        {"A", 10, ANY, 200, 50, 0},
        {"B", 10, ANY, 200, 150, 0},
        {"C", 10, ANY, 200, 100, 0},
        {"D", 10, ANY, 200, 250, 0},
        {"E", 10, ANY, 200, 300, 0},
    };
    VP all;

    begin_any("Time-outs", TA_TFIFO, &all);
    EXPECT({"A", E_TMOUT, 0}, {"C", E_TMOUT, 0}, {"B", E_TMOUT, 0}, {"D", E_OK, 8}, {"E", E_TMOUT, 0});
    start_requests(list, 5);
    wait_until(200);
    console_write("  tick 200\n");
    show_any(0, "D");
    console_write("  all 256 bytes come back\n");
    rel_blk(ANY, all);
    show_any(48, "E");
    wait_until(350);
    console_write("  tick 350\n");
    show_any(48, "nobody");
    end(5, ANY);
}

static void show_one_moment(void)
{
    static const struct request list[] = {
        {"A", 20, ANY, 200, 100, 0},
        {"B", 10, ANY, 200, 100, 0},
        {"C", 20, ANY, 200, 100, 0},
        {"D", 10, ANY, 200, 100, 0},
    };
    VP all;

    begin_any("Time-outs in the same tick", TA_TPRI, &all);
    EXPECT({"B", E_TMOUT, 0}, {"D", E_TMOUT, 0}, {"A", E_TMOUT, 0}, {"C", E_TMOUT, 0});
    start_requests(list, 4);
    wait_until(150);
    show_any(0, "nobody");
    end(4, ANY);
}

static void show_release(void)
{
    VP all;

    begin_any("Released: rel_wai", TA_TFIFO, &all);
    EXPECT({"C", E_RLWAI, 0}, {"A", E_RLWAI, 0}, {"B", E_OK, 8}, {"D", E_OK, 56});
    start_requests(four_sizes, 4);
    console_write("  rel_wai of C, then of A\n");
    check(rel_wai(FIRST_TASK + 2) == E_OK, "C was waiting");
    check(rel_wai(FIRST_TASK + 0) == E_OK, "A was waiting");
    check(rel_wai(FIRST_TASK + 0) == E_OBJ, "A is not any more");
    show_any(0, "B");
    console_write("  all 256 bytes come back\n");
    rel_blk(ANY, all);
    show_any(184, "nobody");
    end(4, ANY);
}

static void show_termination(void)
{
    VP all;

    begin_any("Terminated: ter_tsk", TA_TPRI, &all);
    EXPECT({"D", E_OK, 8}, {"C", E_OK, 32}, {"A", E_DLT, 0});
    start_requests(four_sizes, 4);
    console_write("  ter_tsk of B\n");
    check(ter_tsk(FIRST_TASK + 1) == E_OK, "it leaves the queue without a word");
    show_any(0, "D");
    console_write("  all 256 bytes come back\n");
    rel_blk(ANY, all);
    show_any(24, "A");
    end(4, ANY);
}

static void show_deletion(void)
{
    VP all;

    begin_any("Deleted under waiting tasks: del_mpl", TA_TPRI, &all);
    EXPECT({"B", E_DLT, 0}, {"D", E_DLT, 0}, {"C", E_DLT, 0}, {"A", E_DLT, 0});
    start_requests(four_sizes, 4);
    show_any(0, "B");
    end(4, ANY);
}

static void show_handing_on(void)
{
    static const struct request list[] = {
        {"A", 20, ANY, 200, FOR_EVER, 100},
        {"B", 15, ANY, 200, 150, 0},
        {"C", 10, ANY, 200, FOR_EVER, 200},
        {"D", 5, ANY, 200, FOR_EVER, 300},
    };
    VP all;

    begin_any("Handed on: each keeps the block for a while", TA_TFIFO, &all);
    EXPECT({"B", E_RLWAI, 0}, {"A", E_OK, 8}, {"A", E_OK, GIVEN_BACK}, {"C", E_OK, 8}, {"C", E_OK, GIVEN_BACK},
           {"D", E_OK, 8}, {"D", E_OK, GIVEN_BACK});
    start_requests(list, 4);
    rel_wai(FIRST_TASK + 1);
    wait_until(50);
    console_write("  tick 50: all 256 bytes come back\n");
    rel_blk(ANY, all);
    wait_until(350);
    show_any(256, "nobody");
    end(4, ANY);
}

static const struct request four_fixed[] = {
    {"A", 20, FIXED, 0, FOR_EVER, 0},
    {"B", 10, FIXED, 0, FOR_EVER, 0},
    {"C", 20, FIXED, 0, FOR_EVER, 0},
    {"D", 10, FIXED, 0, FOR_EVER, 0},
};

static void show_fixed_arrival(void)
{
    VP blocks[2];

    begin_fixed("Fixed size, first come, first served: TA_TFIFO", TA_TFIFO, blocks);
    EXPECT({"A", E_OK, 40}, {"B", E_OK, 8}, {"D", E_DLT, 0}, {"C", E_DLT, 0});
    start_requests(four_fixed, 4);
    show_fixed(0, "A");
    console_write("  the second block comes back, then the first\n");
    rel_blf(FIXED, blocks[1]);
    rel_blf(FIXED, blocks[0]);
    show_fixed(0, "C");
    end(4, FIXED);
}

static void show_fixed_priority(void)
{
    VP blocks[2];

    begin_fixed("Fixed size, the most urgent first: TA_TPRI", TA_TPRI, blocks);
    EXPECT({"B", E_OK, 40}, {"D", E_OK, 8}, {"A", E_DLT, 0}, {"C", E_DLT, 0});
    start_requests(four_fixed, 4);
    show_fixed(0, "B");
    console_write("  the second block comes back, then the first\n");
    rel_blf(FIXED, blocks[1]);
    rel_blf(FIXED, blocks[0]);
    show_fixed(0, "A");
    end(4, FIXED);
}

static void show_fixed_time_outs(void)
{
    static const struct request list[] = {
        {"A", 10, FIXED, 0, 50, 0},
        {"B", 10, FIXED, 0, 200, 0},
        {"C", 10, FIXED, 0, FOR_EVER, 0},
        {"D", 10, FIXED, 0, FOR_EVER, 250},
        {"E", 10, FIXED, 0, 300, 0},
    };
    VP blocks[2];

    begin_fixed("Fixed size: time-out, rel_wai, a block that is handed on", TA_TFIFO, blocks);
    EXPECT({"A", E_TMOUT, 0}, {"C", E_RLWAI, 0}, {"B", E_OK, 8}, {"D", E_OK, 40}, {"D", E_OK, GIVEN_BACK},
           {"E", E_OK, 40});
    start_requests(list, 5);
    wait_until(100);
    console_write("  tick 100: rel_wai of C, then a block comes back, and the other\n");
    check(rel_wai(FIRST_TASK + 2) == E_OK, "C was waiting");
    rel_blf(FIXED, blocks[0]);
    rel_blf(FIXED, blocks[1]);
    show_fixed(0, "E");
    wait_until(350);
    show_fixed(0, "nobody");
    end(5, FIXED);
}

static void direct(INT stacd, VP exinf)
{
    T_CMPF clock = {.mpfatr = TA_TFIFO, .mpfcnt = 1, .blfsz = 4};
    VP block;

    (void)stacd;
    (void)exinf;
    check(cre_mpf(CLOCK, &clock) == E_OK && pget_blf(&block, CLOCK) == E_OK, "a pool to wait for time");
    W free_pages = pmem_free_pages();

    show_arrival();
    show_priority();
    show_passing_over();
    show_time_outs();
    show_one_moment();
    show_release();
    show_termination();
    show_deletion();
    show_handing_on();
    show_fixed_arrival();
    show_fixed_priority();
    show_fixed_time_outs();

    section("At the end");
    check(del_mpf(CLOCK) == E_OK && kmem_is_whole(), "no pool holds memory");
    check(pmem_free_pages() == free_pages, "every stack has been given back");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 pools_wait: who waits, who is served, who is told what\n");
    start_task(DIRECTOR, DIRECTOR_PRIORITY, direct, 0);
    tasks_run();
}
