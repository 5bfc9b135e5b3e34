/*
 * Theory of operation
 *
 * A program in ring 3 calls itself deeper and deeper: its stack grows by the page touched, up to the size that it was
 * created with; one step further ends the task. Another touches the far end of its stack first. A third uses a region
 * whose handler, a function of the kernel, maps one page for each fault, until it has given away what it may. The
 * kernel, and whoever else runs, goes on.
 *
 * Shortcomings
 *
 * How deep a call goes for a page depends on the compiler, so pages are counted and not calls.
 */

#include "btron/space.h"
#include "btron/task_memory.h"
#include "btron/user.h"
#include "scenarios/btron.h"

#define LAZY    ((VP)0x20000000) /* a region with a handler */
#define USABLE  (VPROT_USER | VPROT_READ | VPROT_WRITE)
#define STACK   ((VP)(USER_STACK_END - 4))

enum { DIRECTOR = 1, TASK = 2, DIRECTOR_PRIORITY = 20, URGENT = 5, LAZY_PAGES = 4, STEP_WORDS = 1000 };

static UW faults_handled;
static UW pages_left;

/* Uses less than a page of stack at each depth, and sleeps when it has come down to `depth`. */
USER_TEXT static __attribute__((noinline)) UW descend(UW depth)
{
    volatile UW words[STEP_WORDS];

    words[0] = depth;
    if (depth == 0) {
        user_slp_tsk();
        return 0;
    }
    return descend(depth - 1) + words[0];
}

USER_DATA static UW sum = 0;

USER_TEXT static void go_down(INT depth, VP exinf)
{
    (void)exinf;
    sum = descend((UW)depth);
    user_slp_tsk();
}

/* The last address that its stack may have, before anything between. */
USER_TEXT static void touch_the_end(INT stack_size, VP exinf)
{
    (void)exinf;
    *(volatile UW *)(USER_STACK_END - (UW)stack_size) = 1;
    user_slp_tsk();
    *(volatile UW *)(USER_STACK_END - (UW)stack_size - 4) = 1;
}

USER_TEXT static void use_lazily(INT count, VP exinf)
{
    volatile UW *words = LAZY;

    (void)exinf;
    for (INT page = 0; page < count; page++) {
        words[page * 1024] = (UW)page;
    }
    user_slp_tsk();
    words[count * 1024] = 1;
}

static ER give_a_page(ID tskid, VP address, UW error_code)
{
    faults_handled++;
    kprintf("    handler: task %d, page %u, error code %u\n", tskid, ((UW)address - (UW)LAZY) / PAGE_SIZE, error_code);
    if (pages_left == 0) {
        return E_NOMEM;
    }
    pages_left--;
    return vmap_reg(tskid, address, 1, USABLE);
}

static W stack_pages(void)
{
    return region_at(TASK, (UW)STACK)->size / (W)PAGE_SIZE;
}

static void create(FP task, INT stack_size)
{
    T_CTSK packet = {.tskatr = TA_HLNG | TA_USER, .task = task, .itskpri = URGENT, .stksz = stack_size};

    check(cre_tsk(TASK, &packet) == E_OK, "a task is created");
}

static void show_depth(INT depth, W pages)
{
    ROW(E_OK, sta_tsk(TASK, depth));
    kprintf("  depth of calls %d, pages of stack %d\n", depth, stack_pages());
    check(stack_pages() == pages, "a page for each call");
    ROW(E_OK, ter_tsk(TASK));
}

static void show_growth(void)
{
    UW result = 0;

    section("A stack of up to 8 pages");
    create(go_down, 8 * (INT)PAGE_SIZE);
    show_depth(0, 1);
    show_depth(1, 2);
    show_depth(3, 4);
    show_depth(6, 7);
    ROW(E_OK, sta_tsk(TASK, 6));
    ROW(E_OK, wup_tsk(TASK));
    ROW(E_OK, vget_reg(TASK, &sum, sizeof result, &result));
    check(result == 21, "what lay on the stack is found on the way back");
    check(stack_pages() == 7, "a stack does not shrink");
    ROW(E_OK, ter_tsk(TASK));
    console_write("  12 calls deep, and there is no room:\n");
    ROW(E_OK, sta_tsk(TASK, 12));
    ROW(E_OBJ, wup_tsk(TASK));
    ROW(E_OK, del_tsk(TASK));
}

static void show_order(void)
{
    section("The far end is touched first");
    create(touch_the_end, 5 * (INT)PAGE_SIZE);
    ROW(E_OK, sta_tsk(TASK, 5 * (INT)PAGE_SIZE));
    check(stack_pages() == 2, "nothing is mapped between it and the beginning");
    console_write("  a word further:\n");
    ROW(E_OK, wup_tsk(TASK));
    ROW(E_OK, del_tsk(TASK));
}

static void show_no_page(void)
{
    section("No page is free");
    create(touch_the_end, 5 * (INT)PAGE_SIZE);
    W size = pmem_free_pages() * (W)PAGE_SIZE;
    VP all = pmem_alloc(size);
    check(all != NULL, "all pages are taken");
    ROW(E_OK, sta_tsk(TASK, 5 * (INT)PAGE_SIZE));
    ROW(E_OK, pmem_free(all, size));
    ROW(E_OK, del_tsk(TASK));
}

static void show_handler(void)
{
    section("A region's handler is asked");
    create(use_lazily, (INT)PAGE_SIZE);
    ROW(E_OK, vcre_reg(TASK, LAZY, 1, 8 * PAGE_SIZE, USABLE, (FP)(VP)give_a_page));
    pages_left = LAZY_PAGES;
    ROW(E_OK, sta_tsk(TASK, LAZY_PAGES));
    check(faults_handled == LAZY_PAGES && region_at(TASK, (UW)LAZY)->size == LAZY_PAGES * (W)PAGE_SIZE,
          "once for each page");
    console_write("  it gives no more:\n");
    ROW(E_OK, wup_tsk(TASK));
    ROW(E_OBJ, wup_tsk(TASK));
    ROW(E_OK, del_tsk(TASK));
}

static void direct(INT stacd, VP exinf)
{
    W free_pages = pmem_free_pages();

    (void)stacd;
    (void)exinf;
    show_growth();
    show_order();
    show_no_page();
    show_handler();

    section("At the end");
    check(pmem_free_pages() == free_pages, "all pages are back");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 vm_stack_growth: memory that comes by touch\n");
    start_task(DIRECTOR, DIRECTOR_PRIORITY, direct, 0);
    tasks_run();
}
