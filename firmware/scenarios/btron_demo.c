/*
 * Theory of operation
 *
 * A tour through every call of the kernel, and through every error that its layers can give: each row is a call
 * as it stands in this file and what it returned. What a row cannot show is checked in words. The first half
 * runs before there are tasks; the second half is a task (1), with helpers that are more urgent and so run
 * whenever they can.
 *
 * Shortcomings
 *
 * No addresses and no counts are printed that depend on the size of RAM, so some of what happens is not seen.
 * Regions and user tasks are vm_demo's.
 */

#include "scenarios/btron.h"

#define OUTSIDE ((VP)0xF0000000) /* kernel space, but no RAM */
#define IMAGE   ((VP)0x80100000) /* the kernel itself: reserved */

enum { MAIN = 1, HELPER = 2, MAIN_PRIORITY = 10, URGENT = 5, LAZY = 20 };
enum { HUGE = 0x7FFFFFFF };

static W free_pages_at_boot;
static W free_pages_before_tasks;

static void show_pmem(void)
{
    UW ranges = boot_range_count;

    section("Pages: pmem");
    boot_range_count = 0;
    ROW(E_NOMEM, pmem_init());
    boot_range_count = ranges;
    ROW(E_OK, pmem_init());
    free_pages_at_boot = pmem_free_pages();

    VP one = pmem_alloc(1);
    VP three = pmem_alloc(2 * PAGE_SIZE + 1);
    check(one != NULL && bytes(three) > bytes(one), "pmem_alloc(1), pmem_alloc(8193): the lowest pages first");
    check(pmem_free_pages() == free_pages_at_boot - 4, "pmem_free_pages: four fewer");
    check(pmem_alloc(0) == NULL && pmem_alloc(-1) == NULL && pmem_alloc(HUGE) == NULL,
          "pmem_alloc of 0, -1 and 0x7fffffff bytes: NULL");
    ROW(E_PAR, pmem_free(bytes(one) + 1, PAGE_SIZE));
    ROW(E_PAR, pmem_free(one, 0));
    ROW(E_PAR, pmem_free(OUTSIDE, PAGE_SIZE));
    ROW(E_PAR, pmem_free(IMAGE, PAGE_SIZE));
    ROW(E_PAR, pmem_free(three, 4 * PAGE_SIZE));
    ROW(E_OK, pmem_share(three, PAGE_SIZE));
    ROW(E_OK, pmem_free(three, 3 * PAGE_SIZE));
    check(pmem_free_pages() == free_pages_at_boot - 2, "the shared page has still an owner");
    ROW(E_PAR, pmem_share(three, 2 * PAGE_SIZE));
    ROW(E_OK, pmem_free(three, PAGE_SIZE));
    ROW(E_PAR, pmem_free(three, PAGE_SIZE));
    ROW(E_OK, pmem_free(one, PAGE_SIZE));
    check(pmem_free_pages() == free_pages_at_boot, "all pages are back");
}

static void show_kmem(void)
{
    section("Bytes: kmem");
    ROW(E_OK, kmem_init());
    VP high = kmem_alloc(100);
    VP low = kmem_alloc(1);
    check(bytes(high) == bytes(kmem_free_list) + KMEM_GROWTH - 104,
          "kmem_alloc(100) takes 40960 bytes and cuts off their end");
    check(bytes(low) == bytes(high) - 8, "kmem_alloc(1) takes the 8 bytes below");
    check(kmem_free_list->size == KMEM_GROWTH - 112 && kmem_free_list->next == NULL, "the rest is one area");
    check(kmem_alloc(0) == NULL && kmem_alloc(-1) == NULL && kmem_alloc(HUGE) == NULL,
          "kmem_alloc of 0, -1 and 0x7fffffff bytes: NULL");
    ROW(E_PAR, kmem_free(high, 0));
    ROW(E_PAR, kmem_free(bytes(high) + 4, 100));
    ROW(E_PAR, kmem_free(high, 112));
    ROW(E_PAR, kmem_free(bytes(low) - 8, 16));
    ROW(E_PAR, kmem_free(OUTSIDE, 8));
    ROW(E_OK, kmem_free(high, 100));
    ROW(E_PAR, kmem_free(high, 100));
    ROW(E_OK, kmem_free(low, 1));
    check(kmem_is_whole(), "both neighbours merge: one area");
    VP all = kmem_alloc(KMEM_GROWTH);
    check(kmem_free_list == NULL, "kmem_alloc(40960): an exact fit leaves no area");
    VP more = kmem_alloc(100000);
    check(bytes(more) == bytes(all) + KMEM_GROWTH + 2400, "kmem_alloc(100000) takes 25 pages more");
    check(kmem_extent_count == 1, "which touch the first ones");
    ROW(E_OK, kmem_free(all, KMEM_GROWTH));
    ROW(E_OK, kmem_free(more, 100000));
    check(kmem_is_whole(), "one area again");
}

static void show_mpl(void)
{
    T_CMPL pool = {.exinf = OUTSIDE, .mplatr = TA_TFIFO, .mplsz = 250};
    T_CMPL bad_order = {.mplatr = 2, .mplsz = 250};
    T_CMPL no_size = {.mplatr = TA_TPRI, .mplsz = 0};
    T_CMPL too_large = {.mplatr = TA_TPRI, .mplsz = HUGE};
    T_RMPL state;
    VP a, b, c;

    section("Pools with blocks of any size: cre_mpl, del_mpl, get_blk, pget_blk, tget_blk, rel_blk, ref_mpl");
    ROW(E_ID, cre_mpl(0, &pool));
    ROW(E_ID, cre_mpl(101, &pool));
    ROW(E_ID, cre_mpl(TMPL_OS, &pool));
    ROW(E_RSATR, cre_mpl(1, &bad_order));
    ROW(E_PAR, cre_mpl(1, &no_size));
    ROW(E_PAR, cre_mpl(1, NULL));
    ROW(E_NOMEM, cre_mpl(1, &too_large));
    ROW(E_OK, cre_mpl(1, &pool));
    ROW(E_OBJ, cre_mpl(1, &pool));
    ROW(E_ID, pget_blk(&a, -1, 100));
    ROW(E_PAR, pget_blk(&a, 1, 0));
    ROW(E_PAR, pget_blk(NULL, 1, 100));
    ROW(E_PAR, tget_blk(&a, 1, 100, -2));
    ROW(E_CTX, get_blk(&a, 1, 100));
    ROW(E_CTX, tget_blk(&a, 1, 100, 1));
    ROW(E_NOEXS, pget_blk(&a, 2, 100));
    ROW(E_OK, pget_blk(&a, 1, 100));
    ROW(E_OK, tget_blk(&b, 1, 1, TMO_POL));
    ROW(E_OK, pget_blk(&c, 1, 100));
    check(bytes(b) == bytes(a) + 104 + 8 && bytes(c) == bytes(b) + 8 + 8,
          "blocks lie behind each other, 8 bytes apart");
    ROW(E_TMOUT, pget_blk(&a, 1, 100));
    ROW(E_OK, ref_mpl(&state, 1));
    check(state.exinf == OUTSIDE && state.wtsk == 0 && state.frsz == 16 && state.maxsz == 16, "16 bytes are free");
    ROW(E_ID, ref_mpl(&state, 0));
    ROW(E_PAR, ref_mpl(NULL, 1));
    ROW(E_NOEXS, ref_mpl(&state, 2));
    ROW(E_ID, rel_blk(0, a));
    ROW(E_NOEXS, rel_blk(2, a));
    ROW(E_PAR, rel_blk(1, NULL));
    ROW(E_PAR, rel_blk(1, bytes(a) + 8));
    ROW(E_OK, rel_blk(1, a));
    ROW(E_PAR, rel_blk(1, a));
    ROW(E_OK, rel_blk(1, b));
    ROW(E_PAR, rel_blk(1, b));
    ref_mpl(&state, 1);
    check(state.frsz == 136 && state.maxsz == 120, "neighbours merge: 120 bytes in one block, 16 in another");
    ROW(E_ID, del_mpl(TMPL_OS));
    ROW(E_OK, del_mpl(1));
    ROW(E_NOEXS, del_mpl(1));
    check(kmem_is_whole(), "a pool is deleted with a block still out: all its memory is back");
}

static void show_mpf(void)
{
    T_CMPF pool = {.mpfatr = TA_TPRI, .mpfcnt = 2, .blfsz = 10};
    T_CMPF bad_order = {.mpfatr = 2, .mpfcnt = 2, .blfsz = 10};
    T_CMPF no_blocks = {.mpfatr = TA_TFIFO, .mpfcnt = 0, .blfsz = 10};
    T_CMPF no_size = {.mpfatr = TA_TFIFO, .mpfcnt = 2, .blfsz = -10};
    T_CMPF too_large = {.mpfatr = TA_TFIFO, .mpfcnt = HUGE, .blfsz = HUGE};
    T_RMPF state;
    VP a, b, c;

    section("Pools with blocks of one size: cre_mpf, del_mpf, get_blf, pget_blf, tget_blf, rel_blf, ref_mpf");
    ROW(E_ID, cre_mpf(101, &pool));
    ROW(E_RSATR, cre_mpf(1, &bad_order));
    ROW(E_PAR, cre_mpf(1, &no_blocks));
    ROW(E_PAR, cre_mpf(1, &no_size));
    ROW(E_PAR, cre_mpf(1, NULL));
    ROW(E_NOMEM, cre_mpf(1, &too_large));
    ROW(E_OK, cre_mpf(1, &pool));
    ROW(E_OBJ, cre_mpf(1, &pool));
    ROW(E_ID, pget_blf(&a, TMPL_OS));
    ROW(E_PAR, pget_blf(NULL, 1));
    ROW(E_PAR, tget_blf(&a, 1, -2));
    ROW(E_CTX, get_blf(&a, 1));
    ROW(E_CTX, tget_blf(&a, 1, 1));
    ROW(E_NOEXS, pget_blf(&a, 2));
    ROW(E_OK, pget_blf(&a, 1));
    ROW(E_OK, tget_blf(&b, 1, TMO_POL));
    check(bytes(b) == bytes(a) + 24, "10 bytes become 12, and 24 with record and alignment");
    ROW(E_TMOUT, pget_blf(&c, 1));
    ROW(E_PAR, rel_blf(1, bytes(a) + 8));
    ROW(E_OK, rel_blf(1, a));
    ROW(E_PAR, rel_blf(1, a));
    ROW(E_OK, ref_mpf(&state, 1));
    check(state.wtsk == 0 && state.frbcnt == 1, "one block is free");
    ROW(E_ID, ref_mpf(&state, 0));
    ROW(E_PAR, ref_mpf(NULL, 1));
    ROW(E_NOEXS, ref_mpf(&state, 2));
    ROW(E_ID, rel_blf(0, b));
    ROW(E_NOEXS, rel_blf(2, b));
    ROW(E_OK, del_mpf(1));
    ROW(E_NOEXS, del_mpf(1));
    ROW(E_ID, del_mpf(0));
    check(kmem_is_whole(), "all its memory is back");
}

static void show_strangers(void)
{
    T_CMPL any_size = {.mplatr = TA_TFIFO, .mplsz = 16};
    T_CMPF one_size = {.mpfatr = TA_TFIFO, .mpfcnt = 1, .blfsz = 16};
    VP a, b;

    section("A block goes back to its own pool only");
    ROW(E_OK, cre_mpl(1, &any_size));
    ROW(E_OK, cre_mpl(2, &any_size));
    ROW(E_OK, cre_mpf(1, &one_size));
    ROW(E_OK, pget_blk(&a, 1, 16));
    ROW(E_OK, pget_blf(&b, 1));
    ROW(E_PAR, rel_blk(2, a));
    ROW(E_PAR, rel_blf(1, a));
    ROW(E_PAR, rel_blk(1, b));
    ROW(E_PAR, rel_blk(TMPL_OS, a));
    ROW(E_OK, rel_blk(1, a));
    ROW(E_OK, rel_blf(1, b));
    ROW(E_OK, del_mpl(1));
    ROW(E_OK, del_mpl(2));
    ROW(E_OK, del_mpf(1));
}

static void show_kernel_pool(void)
{
    T_RMPL before;
    T_RMPL after;
    VP a;

    section("The kernel's own pool: TMPL_OS");
    ROW(E_OK, ref_mpl(&before, TMPL_OS));
    ROW(E_OK, get_blk(&a, TMPL_OS, 100));
    ROW(E_OK, ref_mpl(&after, TMPL_OS));
    check(after.frsz == before.frsz - 112 && after.maxsz == before.maxsz - 112 && after.wtsk == 0,
          "112 bytes fewer: 104 and their record");
    ROW(E_TMOUT, pget_blk(&a, TMPL_OS, HUGE));
    ROW(E_NOMEM, get_blk(&a, TMPL_OS, HUGE));
    ROW(E_PAR, rel_blk(TMPL_OS, bytes(a) + 8));
    ROW(E_OK, rel_blk(TMPL_OS, a));
    ROW(E_PAR, rel_blk(TMPL_OS, a));
    check(kmem_is_whole(), "all of it is back");
}

static void sleep_once(INT expected, VP exinf)
{
    (void)exinf;
    row("    task 2: slp_tsk()", slp_tsk(), expected);
}

static void get_block(INT expected, VP exinf)
{
    VP a;

    (void)exinf;
    row("    task 2: get_blk(&a, 1, 8)", get_blk(&a, 1, 8), expected);
    if (expected == E_OK) {
        rel_blk(1, a);
    }
}

static void get_block_in_time(INT expected, VP exinf)
{
    VP a;

    (void)exinf;
    row("    task 2: tget_blk(&a, 1, 8, 20)", tget_blk(&a, 1, 8, 20), expected);
    wup_tsk(MAIN);
}

static void get_fixed_block(INT expected, VP exinf)
{
    VP a;

    (void)exinf;
    row("    task 2: get_blf(&a, 1)", get_blf(&a, 1), expected);
    if (expected == E_OK) {
        rel_blf(1, a);
    }
}

static void get_fixed_block_in_time(INT expected, VP exinf)
{
    VP a;

    (void)exinf;
    row("    task 2: tget_blf(&a, 1, 20)", tget_blf(&a, 1, 20), expected);
    wup_tsk(MAIN);
}

static INT runs;

static void count_runs(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    runs++;
}

static void show_tasks(void)
{
    T_CTSK task = {.tskatr = TA_HLNG, .task = count_runs, .itskpri = URGENT, .stksz = STACK_BYTES};
    T_CTSK bad_language = {.tskatr = 2, .task = count_runs, .itskpri = URGENT, .stksz = STACK_BYTES};
    T_CTSK bad_priority = {.tskatr = TA_HLNG, .task = count_runs, .itskpri = 32, .stksz = STACK_BYTES};
    T_CTSK bad_stack = {.tskatr = TA_HLNG, .task = count_runs, .itskpri = URGENT, .stksz = 0};
    T_CTSK large_stack = {.tskatr = TA_HLNG, .task = count_runs, .itskpri = URGENT, .stksz = HUGE};
    T_CTSK no_code = {.tskatr = TA_HLNG, .itskpri = URGENT, .stksz = STACK_BYTES};

    section("Tasks: cre_tsk, del_tsk, sta_tsk, ext_tsk, ter_tsk, dis_dsp, ena_dsp");
    ROW(E_ID, cre_tsk(33, &task));
    ROW(E_RSATR, cre_tsk(HELPER, &bad_language));
    ROW(E_PAR, cre_tsk(HELPER, &bad_priority));
    ROW(E_PAR, cre_tsk(HELPER, &bad_stack));
    ROW(E_PAR, cre_tsk(HELPER, &no_code));
    ROW(E_NOMEM, cre_tsk(HELPER, &large_stack));
    ROW(E_NOEXS, sta_tsk(HELPER, 0));
    ROW(E_OK, cre_tsk(HELPER, &task));
    ROW(E_OBJ, cre_tsk(HELPER, &task));
    ROW(E_ID, sta_tsk(0, 0));
    ROW(E_OBJ, sta_tsk(MAIN, 0));
    ROW(E_OBJ, ter_tsk(HELPER));
    ROW(E_OK, sta_tsk(HELPER, 0));
    check(runs == 1, "it is more urgent: it has run, and ended by ext_tsk");
    ROW(E_OK, dis_dsp());
    ROW(E_OK, sta_tsk(HELPER, 0));
    check(runs == 1, "started again, but not dispatched");
    ROW(E_CTX, slp_tsk());
    ROW(E_OK, ter_tsk(HELPER));
    ROW(E_OK, ena_dsp());
    check(runs == 1, "terminated before it could run");
    ROW(E_OK, dis_dsp());
    ROW(E_OK, sta_tsk(HELPER, 0));
    ROW(E_OK, ena_dsp());
    check(runs == 2, "ena_dsp lets it run");
    ROW(E_OBJ, ter_tsk(MAIN));
    ROW(E_ID, ter_tsk(-1));
    ROW(E_NOEXS, ter_tsk(3));
    ROW(E_OBJ, del_tsk(MAIN));
    ROW(E_OK, del_tsk(HELPER));
    ROW(E_NOEXS, del_tsk(HELPER));
}

static void show_sleep(void)
{
    section("Sleeping: slp_tsk, wup_tsk, rel_wai");
    start_task(HELPER, URGENT, sleep_once, E_OK);
    ROW(E_OK, wup_tsk(HELPER));
    ROW(E_OBJ, wup_tsk(HELPER));
    ROW(E_OBJ, rel_wai(HELPER));
    ROW(E_OK, sta_tsk(HELPER, E_RLWAI));
    ROW(E_OK, rel_wai(HELPER));
    ROW(E_OBJ, rel_wai(MAIN));
    ROW(E_ID, rel_wai(0));
    ROW(E_NOEXS, rel_wai(3));
    ROW(E_ID, wup_tsk(33));
    ROW(E_NOEXS, wup_tsk(3));
    ROW(E_OBJ, wup_tsk(MAIN));
    ROW(E_OK, sta_tsk(HELPER, E_OK));
    ROW(E_OK, ter_tsk(HELPER));
    ROW(E_OK, del_tsk(HELPER));

    start_task(HELPER, LAZY, sleep_once, E_OK);
    ER result = E_OK;
    for (INT i = 0; i < WAKEUPS_MAX; i++) {
        result = result != E_OK ? result : wup_tsk(HELPER);
    }
    row("wup_tsk(HELPER), 255 times before it sleeps", result, E_OK);
    ROW(E_QOVR, wup_tsk(HELPER));
    ROW(E_OK, ter_tsk(HELPER));
    ROW(E_OK, del_tsk(HELPER));
}

static void show_waiting_for_blocks(void)
{
    T_CMPL pool = {.mplatr = TA_TFIFO, .mplsz = 8};
    T_RMPL state;
    VP a;

    section("Waiting for a block of any size: time-out, rel_wai, rel_blk, del_mpl");
    ROW(E_OK, cre_mpl(1, &pool));
    ROW(E_OK, get_blk(&a, 1, 8));
    start_task(HELPER, URGENT, get_block_in_time, E_TMOUT);
    ROW(E_OK, slp_tsk());
    del_tsk(HELPER);
    start_task(HELPER, URGENT, get_block, E_RLWAI);
    ROW(E_OK, ref_mpl(&state, 1));
    check(state.wtsk == HELPER && state.frsz == 0 && state.maxsz == 0, "task 2 waits, nothing is free");
    ROW(E_OK, rel_wai(HELPER));
    ROW(E_OK, sta_tsk(HELPER, E_OK));
    ROW(E_OK, rel_blk(1, a));
    ROW(E_OK, get_blk(&a, 1, 8));
    ROW(E_OK, sta_tsk(HELPER, E_DLT));
    ROW(E_OK, del_mpl(1));
    ROW(E_OK, del_tsk(HELPER));
}

static void show_waiting_for_fixed_blocks(void)
{
    T_CMPF pool = {.mpfatr = TA_TPRI, .mpfcnt = 1, .blfsz = 8};
    T_RMPF state;
    VP a;

    section("Waiting for a block of one size: time-out, rel_wai, rel_blf, del_mpf");
    ROW(E_OK, cre_mpf(1, &pool));
    ROW(E_OK, get_blf(&a, 1));
    start_task(HELPER, URGENT, get_fixed_block_in_time, E_TMOUT);
    ROW(E_OK, slp_tsk());
    del_tsk(HELPER);
    start_task(HELPER, URGENT, get_fixed_block, E_RLWAI);
    ROW(E_OK, ref_mpf(&state, 1));
    check(state.wtsk == HELPER && state.frbcnt == 0, "task 2 waits, nothing is free");
    ROW(E_OK, rel_wai(HELPER));
    ROW(E_OK, sta_tsk(HELPER, E_OK));
    ROW(E_OK, rel_blf(1, a));
    ROW(E_OK, get_blf(&a, 1));
    ROW(E_OK, sta_tsk(HELPER, E_DLT));
    ROW(E_OK, del_mpf(1));
    ROW(E_OK, del_tsk(HELPER));
}

static void show_disabled_dispatch(void)
{
    T_CMPL pool = {.mplatr = TA_TFIFO, .mplsz = 8};
    VP a;

    section("What may wait is refused while dispatching is disabled");
    ROW(E_OK, cre_mpl(1, &pool));
    ROW(E_OK, dis_dsp());
    ROW(E_CTX, get_blk(&a, 1, 8));
    ROW(E_CTX, get_blk(&a, 2, 8));
    ROW(E_CTX, get_blf(&a, 1));
    ROW(E_OK, pget_blk(&a, 1, 8));
    ROW(E_OK, ena_dsp());
    ROW(E_OK, rel_blk(1, a));
    ROW(E_OK, del_mpl(1));
}

static void tour_with_tasks(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    show_tasks();
    show_sleep();
    show_waiting_for_blocks();
    show_waiting_for_fixed_blocks();
    show_disabled_dispatch();

    section("At the end");
    check(kmem_is_whole(), "no pool holds memory");
    check(pmem_free_pages() == free_pages_before_tasks - 2,
          "no pages are in use but kmem's and the stack and page directory of task 1");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 demo: every call, every error, checked on the way\n");
    show_pmem();
    show_kmem();
    show_mpl();
    show_mpf();
    show_strangers();
    show_kernel_pool();
    free_pages_before_tasks = pmem_free_pages();

    section("Before there are tasks");
    ROW(E_CTX, slp_tsk());
    ROW(E_CTX, dis_dsp());
    ROW(E_CTX, ena_dsp());
    start_task(MAIN, MAIN_PRIORITY, tour_with_tasks, 0);
    tasks_run();
}
