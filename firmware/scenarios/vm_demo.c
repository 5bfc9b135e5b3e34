/*
 * Theory of operation
 *
 * A tour through the calls for regions and for tasks in ring 3, and through every error that they can give: each row is
 * a call as it stands in this file and what it returned. The director, task 1, is a task of the kernel and less urgent
 * than the others, so a user program has run until it waits, or to its end, when the call that started it returns.
 *
 * A user program cannot print rows: its text in quotes would be the kernel's. It notes what its calls returned, and
 * sleeps; the director reads the notes out of its data.
 *
 * Shortcomings
 *
 * What a task may not do at all is vm_fault's business.
 */

#include "btron/space.h"
#include "btron/task_memory.h"
#include "btron/user.h"
#include "scenarios/btron.h"

#define EXTRA   ((VP)0x20000000) /* a region of the tour's own */
#define BELOW   ((VP)0x1FFFF000)
#define NOWHERE ((VP)0x30000000)
#define HEAP    ((VP)USER_HEAP)
#define LAST    ((VP)0x7FFFF000) /* the last page of user space */
#define IMAGE   ((VP)0x80101000)
#define TEXT    ((VP)0x00400000)
#define USABLE  (VPROT_USER | VPROT_READ | VPROT_WRITE)

enum { DIRECTOR = 1, TASK = 2, OTHER = 3, DIRECTOR_PRIORITY = 20, URGENT = 5 };
enum { HUGE = 0x7FFFFFFF };

static W free_pages;

/* Prints how many pages are in use since the last `free_pages`, and checks it. */
static void pages_in_use(W expected, const char *what)
{
    kprintf("  %d pages: ", free_pages - pmem_free_pages());
    console_write(what);
    console_write("\n");
    if (free_pages - pmem_free_pages() != expected) {
        kprintf("        expected: %d\n", expected);
        check(false, "pages in use");
    }
}

static W region_size(ID tskid, VP start)
{
    const struct region *region = region_at(tskid, (UW)start);

    return region != NULL ? region->size : -1;
}

static void idle(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
}

static void show_making(void)
{
    T_REGION state;

    section("A region is made and deleted: vcre_reg, vsts_reg, vdel_reg");
    ROW(E_ID, vcre_reg(0, EXTRA, 1, 1, USABLE, NULL));
    ROW(E_PAR, vcre_reg(TASK, EXTRA, 0, 1, USABLE, NULL));
    ROW(E_PAR, vcre_reg(TASK, EXTRA, 8193, 8192, USABLE, NULL));
    ROW(E_PAR, vcre_reg(TASK, LAST, 1, 4097, USABLE, NULL));
    ROW(E_PAR, vcre_reg(TASK, EXTRA, 1, HUGE, USABLE, NULL));
    ROW(E_PAR, vcre_reg(TASK, IMAGE, 1, 1, USABLE, NULL));
    ROW(E_PAR, vcre_reg(TASK, EXTRA, 1, 1, VPROT_USER, NULL));
    ROW(E_PAR, vcre_reg(TASK, EXTRA, 1, 1, USABLE | 8, NULL));
    ROW(E_PAR, vcre_reg(TASK, EXTRA, 1, 1, USABLE, (FP)TEXT));
    ROW(E_NOEXS, vcre_reg(OTHER, EXTRA, 1, 1, USABLE, NULL));
    ROW(E_OK, vcre_reg(TASK, bytes(EXTRA) + 5, 5000, 9000, USABLE, NULL));
    ROW(E_OBJ, vcre_reg(TASK, bytes(EXTRA) + 8192, 1, 1, USABLE, NULL));
    ROW(E_OBJ, vcre_reg(TASK, BELOW, 1, 4097, USABLE, NULL));
    ROW(E_OK, vsts_reg(TASK, bytes(EXTRA) + 12287, &state));
    check(state.start_addr == EXTRA && state.min_size == 8192 && state.max_size == 12288 &&
              state.permission == USABLE && state.handle == NULL,
          "5 bytes off a page: the start is rounded down, the ends up");
    ROW(E_PAR, vsts_reg(TASK, bytes(EXTRA) + 12288, &state));
    ROW(E_PAR, vsts_reg(TASK, EXTRA, EXTRA));
    ROW(E_ID, vsts_reg(33, EXTRA, &state));
    ROW(E_NOEXS, vsts_reg(OTHER, EXTRA, &state));
    for (UW i = 1; i < REGION_MAX; i++) {
        vcre_reg(TASK, bytes(NOWHERE) + i * PAGE_SIZE, 1, 1, VPROT_READ, NULL);
    }
    ROW(E_NOMEM, vcre_reg(TASK, LAST, 1, 1, USABLE, NULL));
    ROW(E_PAR, vdel_reg(TASK, NOWHERE));
    ROW(E_ID, vdel_reg(-1, EXTRA));
    ROW(E_NOEXS, vdel_reg(OTHER, EXTRA));
    ER result = E_OK;
    for (UW i = 1; i < REGION_MAX; i++) {
        ER deleted = vdel_reg(TASK, bytes(NOWHERE) + i * PAGE_SIZE);
        result = result != E_OK ? result : deleted;
    }
    row("vdel_reg(TASK, ...), seven times", result, E_OK);
}

static void show_mapping(void)
{
    section("It is given pages: vmap_reg, vunm_reg");
    ROW(E_ID, vmap_reg(0, EXTRA, 1, USABLE));
    ROW(E_PAR, vmap_reg(TASK, EXTRA, 0, USABLE));
    ROW(E_PAR, vmap_reg(TASK, EXTRA, 12289, USABLE));
    ROW(E_PAR, vmap_reg(TASK, NOWHERE, 1, USABLE));
    ROW(E_PAR, vmap_reg(TASK, EXTRA, 1, VPROT_EXEC));
    ROW(E_NOEXS, vmap_reg(OTHER, EXTRA, 1, USABLE));
    VP all = pmem_alloc((pmem_free_pages() - 2) * (W)PAGE_SIZE);
    check(all != NULL, "all pages but two are taken");
    ROW(E_NOMEM, vmap_reg(TASK, EXTRA, 12288, USABLE));
    check(pmem_free_pages() == 2, "the two pages are free again");
    ROW(E_OK, vmap_reg(TASK, EXTRA, 1, USABLE));
    ROW(E_NOMEM, vmap_reg(TASK, bytes(EXTRA) + 4096, 1, USABLE));
    pmem_free(all, (free_pages - 2) * (W)PAGE_SIZE);
    ROW(E_OBJ, vmap_reg(TASK, EXTRA, 8192, USABLE));
    ROW(E_OK, vmap_reg(TASK, bytes(EXTRA) + 4100, 4096, USABLE));
    check(region_size(TASK, EXTRA) == 12288, "its size is 12288 bytes");
    pages_in_use(4, "three, and a table");
    ROW(E_ID, vunm_reg(0, EXTRA, 1));
    ROW(E_PAR, vunm_reg(TASK, EXTRA, -1));
    ROW(E_PAR, vunm_reg(TASK, NOWHERE, 1));
    ROW(E_NOEXS, vunm_reg(OTHER, EXTRA, 1));
    ROW(E_OK, vunm_reg(TASK, bytes(EXTRA) + 8192, 4096));
    ROW(E_OBJ, vunm_reg(TASK, bytes(EXTRA) + 4096, 8192));
    check(region_size(TASK, EXTRA) == 8192, "its size is 8192 bytes");
}

static void show_copies(void)
{
    char text[16] = "from the kernel";
    char copy[16] = "";

    section("Copies, and protection: vput_reg, vget_reg, vprt_reg");
    ROW(E_OK, vput_reg(TASK, bytes(EXTRA) + 4090, sizeof text, text));
    ROW(E_OK, vget_reg(TASK, bytes(EXTRA) + 4090, sizeof copy, copy));
    check(memcmp(text, copy, sizeof text) == 0, "across two pages");
    ROW(E_ID, vget_reg(0, EXTRA, 1, copy));
    ROW(E_PAR, vget_reg(TASK, EXTRA, 0, copy));
    ROW(E_PAR, vget_reg(TASK, EXTRA, 1, EXTRA));
    ROW(E_NOEXS, vget_reg(OTHER, EXTRA, 1, copy));
    ROW(E_MACV, vget_reg(TASK, bytes(EXTRA) + 8190, 3, copy));
    ROW(E_ID, vput_reg(0, EXTRA, 1, text));
    ROW(E_PAR, vput_reg(TASK, EXTRA, -1, text));
    ROW(E_NOEXS, vput_reg(OTHER, EXTRA, 1, text));
    ROW(E_MACV, vput_reg(TASK, NOWHERE, 1, text));
    ROW(E_ID, vprt_reg(0, EXTRA, VPROT_READ));
    ROW(E_PAR, vprt_reg(TASK, EXTRA, 0));
    ROW(E_PAR, vprt_reg(TASK, NOWHERE, VPROT_READ));
    ROW(E_NOEXS, vprt_reg(OTHER, EXTRA, VPROT_READ));
    ROW(E_OK, vprt_reg(TASK, EXTRA, VPROT_READ));
    ROW(E_MACV, vput_reg(TASK, EXTRA, 1, text));
    ROW(E_OK, vget_reg(TASK, EXTRA, 1, copy));
}

static void show_sharing(void)
{
    T_CTSK packet = {.tskatr = TA_HLNG, .task = idle, .itskpri = URGENT, .stksz = STACK_BYTES};
    char copy[16];

    section("It is shared: vshr_reg");
    ROW(E_NOEXS, vshr_reg(TASK, OTHER, EXTRA));
    ROW(E_OK, cre_tsk(OTHER, &packet));
    ROW(E_ID, vshr_reg(TASK, 0, EXTRA));
    ROW(E_PAR, vshr_reg(TASK, TASK, EXTRA));
    ROW(E_PAR, vshr_reg(TASK, OTHER, NOWHERE));
    ROW(E_OK, vshr_reg(TASK, OTHER, EXTRA));
    ROW(E_OBJ, vshr_reg(TASK, OTHER, EXTRA));
    ROW(E_OK, vget_reg(OTHER, bytes(EXTRA) + 4090, sizeof copy, copy));
    check(memcmp(copy, "from the kernel", sizeof copy) == 0, "the other task has the same contents");
    pages_in_use(6, "two and a table; of the other a stack, a directory and a table");
    ROW(E_OK, vdel_reg(TASK, EXTRA));
    pages_in_use(5, "the pages have an owner still");
    ROW(E_OK, del_tsk(OTHER));
    pages_in_use(0, "now they have none");
}

static void show_regions(void)
{
    T_CTSK packet = {.tskatr = TA_HLNG, .task = idle, .itskpri = URGENT, .stksz = STACK_BYTES};

    cre_tsk(TASK, &packet);
    free_pages = pmem_free_pages();
    show_making();
    show_mapping();
    show_copies();
    show_sharing();
    del_tsk(TASK);
}

/* The life of a user program, which the director follows. */
USER_DATA static UW numbers[3] = {1, 2, 3};

USER_TEXT static void live(INT stacd, VP exinf)
{
    ID own;

    user_get_tid(&own);
    numbers[0] += (UW)stacd + (UW)exinf;
    user_slp_tsk();
    user_vmap_reg(own, HEAP, 3 * PAGE_SIZE, USABLE);
    *(volatile UW *)HEAP = numbers[0];
    user_slp_tsk();
    *(volatile UW *)((UW)&own - 2 * PAGE_SIZE) = numbers[0];
    user_slp_tsk();
}

static void show_number(UW expected)
{
    UW number = 0;

    vget_reg(TASK, numbers, sizeof number, &number);
    check(number == expected, expected == 1 ? "its data are as in the image" : "it has changed its data");
}

static void show_life(void)
{
    T_CTSK packet = {.exinf = (VP)30, .tskatr = TA_HLNG | TA_USER, .task = live, .itskpri = URGENT, .stksz = 3 * 4096};

    section("The memory of a task in ring 3, from its beginning to its end");
    free_pages = pmem_free_pages();
    ROW(E_OK, cre_tsk(TASK, &packet));
    pages_in_use(6, "kernel stack, directory, two tables, data, user stack; the text was there");
    show_number(1);
    ROW(E_OK, sta_tsk(TASK, 200));
    show_number(231);
    pages_in_use(6, "it sleeps");
    ROW(E_OK, wup_tsk(TASK));
    pages_in_use(10, "it has mapped three pages of heap, and their table");
    ROW(E_OK, wup_tsk(TASK));
    pages_in_use(11, "its stack has grown by the page that it touched");
    ROW(E_OK, wup_tsk(TASK));
    pages_in_use(2, "it has ended; kernel stack and directory stay");
    ROW(E_MACV, vget_reg(TASK, numbers, 1, &packet));
    ROW(E_OK, sta_tsk(TASK, 0));
    show_number(31);
    ROW(E_OK, ter_tsk(TASK));
    pages_in_use(2, "it has been terminated in its second life");
    ROW(E_OK, del_tsk(TASK));
    pages_in_use(0, "nothing is left");
}

static void show_tasks(void)
{
    T_CTSK packet = {.tskatr = TA_HLNG | TA_USER, .task = live, .itskpri = URGENT, .stksz = 3 * 4096};
    T_CTSK bad_attribute = {.tskatr = 0x200, .task = live, .itskpri = URGENT, .stksz = 4096};
    T_CTSK not_text = {.tskatr = TA_USER, .task = idle, .itskpri = URGENT, .stksz = 4096};
    T_CTSK large_stack = {.tskatr = TA_USER, .task = live, .itskpri = URGENT, .stksz = USER_STACK_MAX + 1};

    section("Tasks in ring 3: cre_tsk, sta_tsk");
    ROW(E_RSATR, cre_tsk(TASK, &bad_attribute));
    ROW(E_PAR, cre_tsk(TASK, &not_text));
    ROW(E_PAR, cre_tsk(TASK, &large_stack));
    VP all = pmem_alloc((free_pages - 5) * (W)PAGE_SIZE);
    ROW(E_NOMEM, cre_tsk(TASK, &packet));
    check(pmem_free_pages() == 5, "five pages were not enough, and are free again");
    pmem_free(all, (free_pages - 5) * (W)PAGE_SIZE);
    ROW(E_OK, cre_tsk(TASK, &packet));
    ROW(E_OK, sta_tsk(TASK, 0));
    ROW(E_OK, ter_tsk(TASK));
    ROW(E_OK, vcre_reg(TASK, HEAP, 1, 1, USABLE, NULL));
    ROW(E_OBJ, sta_tsk(TASK, 0));
    check(region_size(TASK, HEAP) == 0 && region_size(TASK, TEXT) == -1, "the region in its heap's way is as it was");
    ROW(E_OK, vdel_reg(TASK, HEAP));
    all = pmem_alloc((free_pages - 5) * (W)PAGE_SIZE);
    ROW(E_NOMEM, sta_tsk(TASK, 0));
    check(pmem_free_pages() == 3, "three pages were not enough, and are free again");
    pmem_free(all, (free_pages - 5) * (W)PAGE_SIZE);
    ROW(E_OK, sta_tsk(TASK, 0));
    ROW(E_OBJ, del_tsk(TASK));
    ROW(E_OK, ter_tsk(TASK));
    ROW(E_OK, del_tsk(TASK));
    ROW(E_OK, cre_tsk(TASK, &packet));
    ROW(E_OK, vunm_reg(TASK, (VP)(USER_STACK_END - PAGE_SIZE), 1));
    ROW(E_MACV, sta_tsk(TASK, 0));
    ROW(E_OK, del_tsk(TASK));
    pages_in_use(0, "nothing is left");
}

enum { NOTES_MAX = 48 };

USER_DATA static ER notes[NOTES_MAX] = {E_SYS};
USER_DATA static ID own_id = 0;
USER_DATA static T_REGION state_seen = {0};
USER_DATA static char greeting[] = "    (printed in ring 3)\n";


/* The calls that the program makes, and what each should return. */
#define CALLS(CALL)                                                            \
    CALL(E_RSFN, user_call_with(0, NULL))                                      \
    CALL(E_RSFN, user_call_with(USER_VSTS_REG + 1, NULL))                      \
    CALL(E_RSFN, user_call_with(0xFFFFFFFF, NULL))                             \
    CALL(E_MACV, user_call_with(USER_WUP_TSK, NULL))                           \
    CALL(E_MACV, user_call_with(USER_WUP_TSK, IMAGE))                          \
    CALL(E_OK, user_get_tid(&own_id))                                          \
    CALL(E_MACV, user_get_tid(NULL))                                           \
    CALL(E_MACV, user_get_tid(TEXT))                                           \
    CALL(E_MACV, user_get_tid(IMAGE))                                          \
    CALL(E_MACV, user_get_tid((VP)0x7FFFEFFD))                                 \
    CALL(E_OK, user_put_con(greeting, sizeof greeting - 1))                    \
    CALL(E_PAR, user_put_con(greeting, 0))                                     \
    CALL(E_PAR, user_put_con(greeting, PUT_CON_MAX + 1))                       \
    CALL(E_MACV, user_put_con(IMAGE, 1))                                       \
    CALL(E_MACV, user_put_con(NOWHERE, 1))                                     \
    CALL(E_OBJ, user_wup_tsk(own_id))                                          \
    CALL(E_OK, user_wup_tsk(DIRECTOR))                                         \
    CALL(E_ID, user_wup_tsk(33))                                               \
    CALL(E_OK, user_vcre_reg(own_id, EXTRA, 1, 8192, USABLE, NULL))            \
    CALL(E_OBJ, user_vcre_reg(own_id, EXTRA, 1, 8192, USABLE, NULL))           \
    CALL(E_OACV, user_vcre_reg(DIRECTOR, EXTRA, 1, 1, USABLE, NULL))           \
    CALL(E_PAR, user_vcre_reg(own_id, NOWHERE, 1, 1, USABLE, (FP)IMAGE))       \
    CALL(E_OACV, user_vmap_reg(DIRECTOR, EXTRA, 1, USABLE))                    \
    CALL(E_OK, user_vmap_reg(own_id, EXTRA, 1, USABLE))                        \
    CALL(E_OACV, user_vprt_reg(own_id, TEXT, USABLE))                          \
    CALL(E_OK, user_vprt_reg(own_id, EXTRA, VPROT_USER | VPROT_READ))          \
    CALL(E_MACV, user_get_tid(EXTRA))                                          \
    CALL(E_OK, user_vsts_reg(own_id, EXTRA, &state_seen))                      \
    CALL(E_OACV, user_vsts_reg(DIRECTOR, EXTRA, &state_seen))                  \
    CALL(E_MACV, user_vsts_reg(own_id, EXTRA, EXTRA))                          \
    CALL(E_PAR, user_vsts_reg(own_id, NOWHERE, &state_seen))                   \
    CALL(E_OACV, user_vunm_reg(DIRECTOR, EXTRA, 1))                            \
    CALL(E_OK, user_vunm_reg(own_id, EXTRA, 1))                                \
    CALL(E_OACV, user_vdel_reg(DIRECTOR, EXTRA))                               \
    CALL(E_OACV, user_vdel_reg(own_id, TEXT))                                  \
    CALL(E_OK, user_vdel_reg(own_id, EXTRA))                                   \
    CALL(E_OK, user_slp_tsk())                                                 \
    CALL(E_RLWAI, user_slp_tsk())

USER_TEXT static void make_calls(INT stacd, VP exinf)
{
    UW count = 0;

    (void)stacd;
    (void)exinf;
#define NOTE(expected, call) notes[count++] = call;
    CALLS(NOTE)
    user_slp_tsk();
    user_ext_tsk();
}

static const struct {
    const char *call;
    ER expected;
} calls[] = {
#define NAME(expected, call) {#call, expected},
    CALLS(NAME)};

static void show_calls(void)
{
    ER results[NOTES_MAX];
    T_REGION seen;

    section("Calls from ring 3: int 0x40");
    start_user_task(TASK, URGENT, make_calls, 0);
    ROW(E_OK, wup_tsk(TASK));
    ROW(E_OK, rel_wai(TASK));
    ROW(E_OK, vget_reg(TASK, notes, sizeof results, results));
    for (UW i = 0; i < sizeof calls / sizeof *calls; i++) {
        row(calls[i].call, results[i], calls[i].expected);
    }
    ROW(E_OK, vget_reg(TASK, &state_seen, sizeof seen, &seen));
    check(seen.start_addr == EXTRA && seen.min_size == 4096 && seen.max_size == 8192 &&
              seen.permission == (VPROT_USER | VPROT_READ),
          "vsts_reg has written to the program's data");
    ROW(E_OK, wup_tsk(TASK));
    ROW(E_OK, del_tsk(TASK));
    pages_in_use(0, "nothing is left");
}

static void direct(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    show_regions();
    show_life();
    show_tasks();
    show_calls();
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 vm_demo: regions, and tasks in ring 3, checked on the way\n");
    start_task(DIRECTOR, DIRECTOR_PRIORITY, direct, 0);
    tasks_run();
}
