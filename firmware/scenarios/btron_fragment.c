/*
 * Theory of operation
 *
 * Pages in a checkerboard: half of what was taken is free, and yet no two pages side by side are. Then the same with
 * kmem's bytes. Giving back the rest brings the runs back. A region needs no run: its pages are found one by one, so a
 * task's memory fits into the holes.
 *
 * Shortcomings
 *
 * The checkerboard lies in the lowest free pages; those after it are taken as one run, so that nothing else is free.
 */

#include "btron/space.h"
#include "btron/user_pages.h"
#include "common/physical.h"
#include "scenarios/btron.h"

#define REGION ((VP)0x20000000)
#define USABLE (VPROT_READ | VPROT_WRITE)

enum { DIRECTOR = 1, TASK = 2, DIRECTOR_PRIORITY = 10, URGENT = 5, SQUARES = 64, REGION_PAGES = 20, AREA_BYTES = 640 };

static VP squares[SQUARES];

static void idle(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
}

/* Gives every second square back, from the first or the second on. */
static ER free_every_second(INT first)
{
    ER result = E_OK;

    for (INT i = first; i < SQUARES; i += 2) {
        ER freed = pmem_free(squares[i], PAGE_SIZE);
        result = result != E_OK ? result : freed;
    }
    return result;
}

static void fragment_pages(void)
{
    W free_pages = pmem_free_pages();
    VP board = pmem_alloc(SQUARES * (W)PAGE_SIZE);
    W rest_bytes = (free_pages - SQUARES) * (W)PAGE_SIZE;
    VP rest = pmem_alloc(rest_bytes);

    section("Pages");
    check(board != NULL && rest != NULL && pmem_free_pages() == 0, "64 pages, and in one run all others");
    for (INT i = 0; i < SQUARES; i++) {
        squares[i] = bytes(board) + i * (W)PAGE_SIZE;
    }
    row("pmem_free(...), every second one of the 64", free_every_second(1), E_OK);
    check(pmem_free_pages() == SQUARES / 2, "32 pages are free");
    check(pmem_alloc(2 * PAGE_SIZE) == NULL, "no two of them are side by side");
    VP single = pmem_alloc(1);
    check(single == squares[1], "a single one is found in the lowest hole");
    ROW(E_OK, pmem_free(single, 1));
    ROW(E_OK, vcre_reg(TASK, REGION, 1, REGION_PAGES * PAGE_SIZE, USABLE, NULL));
    ROW(E_OK, vmap_reg(TASK, REGION, REGION_PAGES * PAGE_SIZE, USABLE));
    check(pmem_free_pages() == SQUARES / 2 - REGION_PAGES - 1, "a region of 20 pages fits, and its table");
    check((*user_entry(space_directory(TASK), (UW)REGION) & PAGE_ADDRESS) == physical_of(squares[3]),
          "its first page is in the second hole, after the table");
    ROW(E_OK, vdel_reg(TASK, REGION));
    row("pmem_free(...), the others of the 64", free_every_second(0), E_OK);
    check(pmem_alloc(SQUARES * PAGE_SIZE) == board, "the whole run of 64 is found again");
    ROW(E_OK, pmem_free(board, SQUARES * PAGE_SIZE));
    ROW(E_OK, pmem_free(rest, rest_bytes));
    check(pmem_free_pages() == free_pages, "all pages are back");
}

static void fragment_bytes(void)
{
    section("Bytes");
    for (INT i = 0; i < SQUARES; i++) {
        squares[i] = kmem_alloc(AREA_BYTES);
    }
    check(kmem_extent_count == 1 && kmem_free_list == NULL, "64 areas fill what kmem has");
    for (INT i = 1; i < SQUARES; i += 2) {
        kmem_free(squares[i], AREA_BYTES);
    }
    UW free_bytes, largest;
    kmem_measure(&free_bytes, &largest);
    kprintf("  %u bytes are free, the largest area has %u\n", free_bytes, largest);
    check(free_bytes == SQUARES / 2 * AREA_BYTES && largest == AREA_BYTES, "every second area");
    VP large = kmem_alloc(2 * AREA_BYTES);
    check(kmem_extents[0].size == 2 * KMEM_GROWTH, "an area of twice the size needs new pages");
    ROW(E_OK, kmem_free(large, 2 * AREA_BYTES));
    for (INT i = 0; i < SQUARES; i += 2) {
        kmem_free(squares[i], AREA_BYTES);
    }
    check(kmem_is_whole(), "the others are free, too: one area again");
}

static void direct(INT stacd, VP exinf)
{
    T_CTSK packet = {.tskatr = TA_HLNG, .task = idle, .itskpri = URGENT, .stksz = STACK_BYTES};

    (void)stacd;
    (void)exinf;
    check(cre_tsk(TASK, &packet) == E_OK, "a task is created, for its address space");
    fragment_pages();
    fragment_bytes();
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 fragment: half of the memory is free, and nothing fits\n");
    start_task(DIRECTOR, DIRECTOR_PRIORITY, direct, 0);
    tasks_run();
}
