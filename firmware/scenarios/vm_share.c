/*
 * Theory of operation
 *
 * Two tasks in ring 3 run the same program: text that is there once, data and stacks that each has for itself at the
 * same addresses, and a region that the director shares between them. Owners of pages are counted on the way. The
 * director, task 1, is less urgent, so that a program has run until it sleeps when the call that let it run returns.
 *
 * Shortcomings
 *
 * A region that grows after it was shared grows in one task only, so nothing is mapped in it later.
 */

#include "btron/space.h"
#include "btron/user.h"
#include "btron/user_pages.h"
#include "scenarios/btron.h"

#define BOARD  ((VP)0x20000000) /* the region that is shared */
#define TEXT   ((VP)0x00400000)
#define USABLE (VPROT_USER | VPROT_READ | VPROT_WRITE)

enum { DIRECTOR = 1, FIRST = 2, SECOND = 3, DIRECTOR_PRIORITY = 20, URGENT = 5, BOARD_BYTES = 2 * 4096 };

static W free_pages;

USER_DATA static UW secret = 0;
USER_DATA static UW seen[3] = {0, 0, 0};

/* Keeps its number to itself, then answers on the board what the other has written there. */
USER_TEXT static void talk(INT number, VP other)
{
    volatile UW *board = BOARD;
    volatile UW mine = (UW)number;

    secret = mine * 1000;
    user_slp_tsk();
    seen[0] = mine;
    seen[1] = board[0];
    board[0] = seen[1] * 10 + mine;
    board[1024] = (UW)number;
    user_wup_tsk((ID)other);
    user_slp_tsk();
    seen[2] = board[0];
    user_slp_tsk();
}

/* Owners of the page that a task has at an address; 0: it has none. */
static UW owners(ID tskid, VP address)
{
    UW entry = space_entry(tskid, address);

    return entry != 0 ? pmem_table[entry / PAGE_SIZE].refcount : 0;
}

static void show_owners(ID tskid, VP address, UW expected, const char *what)
{
    kprintf("  owners of the page of %s in task %d: %u\n", what, tskid, owners(tskid, address));
    if (owners(tskid, address) != expected) {
        kprintf("        expected: %u\n", expected);
        check(false, "owners");
    }
}

static UW word_of(ID tskid, VP address)
{
    UW word = 0;

    check(vget_reg(tskid, address, sizeof word, &word) == E_OK, "a word of its memory is read");
    return word;
}

static void show_word(ID tskid, VP address, UW expected, const char *what)
{
    UW word = word_of(tskid, address);

    kprintf("    task %d, %s: %u\n", tskid, what, word);
    if (word != expected) {
        kprintf("        expected: %u\n", expected);
        check(false, what);
    }
}

static void make(ID tskid, ID other)
{
    T_CTSK packet = {
        .exinf = (VP)other, .tskatr = TA_HLNG | TA_USER, .task = talk, .itskpri = URGENT, .stksz = USER_STACK_BYTES};

    check(cre_tsk(tskid, &packet) == E_OK, "a task is created");
}

static void show_text(void)
{
    section("Text is there once");
    make(FIRST, SECOND);
    show_owners(FIRST, TEXT, 2, "text");
    make(SECOND, FIRST);
    show_owners(FIRST, TEXT, 3, "text");
    show_owners(FIRST, &secret, 1, "data");
    check(user_is_mapped(space_directory(FIRST), (UW)TEXT, PAGE_USER) &&
              !user_is_mapped(space_directory(FIRST), (UW)TEXT, PAGE_WRITABLE),
          "it is read-only");
}

static void show_board(void)
{
    section("A region is shared");
    ROW(E_OK, vcre_reg(FIRST, BOARD, BOARD_BYTES, BOARD_BYTES, USABLE, NULL));
    ROW(E_OK, vmap_reg(FIRST, BOARD, BOARD_BYTES, USABLE));
    show_owners(FIRST, BOARD, 1, "the board");
    ROW(E_OK, vshr_reg(FIRST, SECOND, BOARD));
    show_owners(FIRST, BOARD, 2, "the board");
    show_owners(SECOND, BOARD, 2, "the board");
}

static void show_programs(void)
{
    section("At one address each has what is its own, and what they share");
    ROW(E_OK, sta_tsk(FIRST, 7));
    ROW(E_OK, sta_tsk(SECOND, 9));
    show_word(FIRST, &secret, 7000, "its secret");
    show_word(SECOND, &secret, 9000, "its secret");
    ROW(E_OK, wup_tsk(FIRST));
    show_word(FIRST, BOARD, 79, "the board: the first wrote 7, woke the second, and that added its 9");
    show_word(SECOND, &seen[1], 7, "what it had read there");
    show_word(SECOND, (VP)((UW)BOARD + 4096), 9, "the board's second page");
    show_word(FIRST, &seen[2], 79, "what it has read then");
    show_word(SECOND, &seen[0], 9, "its number");
    show_word(FIRST, &seen[0], 7, "its number");
}

static void show_end(void)
{
    section("One of them ends");
    ROW(E_OK, ter_tsk(FIRST));
    show_owners(SECOND, TEXT, 2, "text");
    show_owners(SECOND, BOARD, 1, "the board");
    show_word(SECOND, BOARD, 79, "the board");
    ROW(E_OK, wup_tsk(SECOND));
    ROW(E_OK, wup_tsk(SECOND));
    ROW(E_OBJ, wup_tsk(SECOND));
    ROW(E_OK, del_tsk(FIRST));
    ROW(E_OK, del_tsk(SECOND));
    check(pmem_free_pages() == free_pages, "all pages are back");
}

static void show_executable(void)
{
    T_REGION state;

    section("What can be executed is shared read-only");
    make(FIRST, SECOND);
    make(SECOND, FIRST);
    ROW(E_OK, vcre_reg(FIRST, BOARD, 4096, 4096, USABLE | VPROT_EXEC, NULL));
    ROW(E_OK, vmap_reg(FIRST, BOARD, 4096, USABLE | VPROT_EXEC));
    ROW(E_OK, vshr_reg(FIRST, SECOND, BOARD));
    ROW(E_OK, vsts_reg(SECOND, BOARD, &state));
    check(state.permission == (VPROT_USER | VPROT_READ | VPROT_EXEC), "the second may not write to it");
    check(user_is_mapped(space_directory(FIRST), (UW)BOARD, PAGE_WRITABLE) &&
              !user_is_mapped(space_directory(SECOND), (UW)BOARD, PAGE_WRITABLE),
          "nor can it");
    ROW(E_OK, del_tsk(FIRST));
    show_owners(SECOND, BOARD, 1, "the region");
    ROW(E_OK, del_tsk(SECOND));
    check(pmem_free_pages() == free_pages, "all pages are back");
}

static void direct(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    free_pages = pmem_free_pages();
    show_text();
    show_board();
    show_programs();
    show_end();
    show_executable();
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 vm_share: what tasks in ring 3 share, and what not\n");
    start_task(DIRECTOR, DIRECTOR_PRIORITY, direct, 0);
    tasks_run();
}
