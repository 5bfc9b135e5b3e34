/*
 * Theory of operation
 *
 * Every call of LiteCore's virtual memory, with every way in which it fails: before there is a page directory, after, and once
 * paging is on. Then memory is read through the page tables, which shows that the CPU sees what the calls say. In the end
 * everything is given back, and heap and frames have to be what they were.
 *
 * Frames are named by their distance from the first free one, so the text is the same wherever the kernel ends.
 *
 * Shortcomings
 *
 * What faults is not tried: an exception ends this kernel.
 */

#include "litecore/paging.h"
#include "litecore/vmalloc.h"
#include "litecore/vspace.h"
#include "scenarios/litecore.h"

#define VIRT     0xE0000000u /* above RAM of any size, and above what vspace_alloc() hands out */
#define RW       (PAGE_PRESENT | PAGE_RW)
#define WORD(at) (*(volatile uint32_t *)(at))

static uint32_t first_free; /* frame that alloc_frame() hands out first */

/* The result of a call that is a frame's address, as a distance in frames. */
static void print_frame(uint32_t phys)
{
    if (phys == PHYS_NONE) {
        console_write("PHYS_NONE\n");
    } else {
        kprintf("frame +%u, byte %u\n", phys / FRAME_SIZE - first_free, phys % FRAME_SIZE);
    }
}

static void try_map(const char *what, uint32_t phys, uint32_t virt, uint32_t flags, int expected)
{
    int result = map_page(phys, virt, flags);

    kprintf("  map_page(%s, 0x%08x, 0x%x) = %d\n", what, virt, flags, result);
    if (result != expected) {
        check(false, "map_page");
    }
}

static void try_unmap(uint32_t virt, int expected)
{
    int result = unmap_page(virt);

    kprintf("  unmap_page(0x%08x) = %d\n", virt, result);
    if (result != expected) {
        check(false, "unmap_page");
    }
}

static void try_translate(uint32_t virt)
{
    kprintf("  virt_to_phys(0x%08x) = ", virt);
    print_frame(virt_to_phys(virt));
}

static uint32_t try_range(uint32_t pages)
{
    uint32_t start = vspace_alloc(pages);

    kprintf("  vspace_alloc(0x%x) = 0x%08x\n", pages, start);
    return start;
}

static void try_range_free(uint32_t addr, int expected)
{
    int result = vspace_free(addr);

    kprintf("  vspace_free(0x%08x) = %d\n", addr, result);
    if (result != expected) {
        check(false, "vspace_free");
    }
}

static uint32_t *try_vmalloc(uint32_t size)
{
    uint32_t *p = vmalloc(size);

    kprintf("  vmalloc(0x%x) = 0x%08x\n", size, (uint32_t)p);
    return p;
}

static void try_vfree(void *p)
{
    kprintf("  vfree(0x%08x)\n", (uint32_t)p);
    vfree(p);
}

/* Frames side by side that are only held; this is in the first of them. */
struct held_run {
    struct held_run *next;
    uint32_t count_frames;
};

/* Takes frames until `left` are free, in runs as long as there are. */
static struct held_run *hold_frames(uint32_t left)
{
    struct held_run *runs = NULL;
    uint32_t wanted = memmap_free_count() - left;

    for (uint32_t count = wanted; wanted > 0; count = count < wanted ? count : wanted) {
        uint32_t first = alloc_frames(count);
        if (first == FRAME_NONE) {
            count /= 2;
            continue;
        }
        struct held_run *run = (struct held_run *)(first * FRAME_SIZE);
        *run = (struct held_run){.next = runs, .count_frames = count};
        runs = run;
        wanted -= count;
    }
    return runs;
}

/* Gives back what hold_frames() took. */
static void give_frames(struct held_run *runs)
{
    while (runs != NULL) {
        struct held_run run = *runs;
        free_frames((uint32_t)runs / FRAME_SIZE, run.count_frames);
        runs = run.next;
    }
}

static void without_directory(void)
{
    uint32_t free = memmap_free_count();

    section("Before paging_init()");
    kprintf("  paging_enable() = %d\n", paging_enable());
    try_map("frame", first_free * FRAME_SIZE, VIRT, RW, -1);
    try_unmap(VIRT, -1);
    try_translate(VIRT);
    check(try_vmalloc(PAGE_SIZE) == NULL && vspace_ranges == NULL, "vmalloc keeps no range");
    struct held_run *held = hold_frames(2);
    kprintf("  with 2 free frames: paging_init() = %d\n", paging_init());
    check(memmap_free_count() == 2 && page_directory == NULL, "it took nothing");
    give_frames(held);
    check(memmap_free_count() == free && heap_is_whole(), "nothing has changed");
}

/* Number of tables that a directory entry leads to. */
static uint32_t count_tables(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < 1024; i++) {
        count += page_directory[i] & PAGE_PRESENT;
    }
    return count;
}

static void identity(void)
{
    uint32_t free = memmap_free_count();

    section("paging_init()");
    int result = paging_init();
    kprintf("  paging_init() = %d, then %d; tables: %u\n", result, paging_init(), count_tables());
    check(memmap_free_count() == free - 1 - count_tables(), "a frame for the directory and one for each table");
    check(virt_to_phys(0) == PHYS_NONE && virt_to_phys(0xFFF) == PHYS_NONE, "null pointers lead nowhere");
    check(virt_to_phys(0x000B8004) == 0x000B8004, "the first MiB is mapped to itself");
    check(virt_to_phys((uint32_t)&memmap) == (uint32_t)&memmap, "so is the kernel");
    check(virt_to_phys(memmap.end_addr - 1) == memmap.end_addr - 1, "so is the window up to its last byte");
    check(virt_to_phys(memmap.end_addr) == PHYS_NONE, "and no byte more");
}

static void refused(uint32_t phys)
{
    uint32_t free = memmap_free_count();

    section("What is refused");
    try_map("frame", phys, VIRT, 0, -1);
    try_map("frame", phys, VIRT, PAGE_RW | PAGE_USER, -1);
    try_map("frame", phys, VIRT, PAGE_PRESENT | 8, -1);
    try_map("frame", phys, VIRT, 0x80000001, -1);
    try_map("frame + 4", phys + 4, VIRT, RW, -1);
    try_map("frame", phys, VIRT + 4, RW, -1);
    try_map("frame", phys, 0x00001000, RW, -1);
    try_map("frame", phys, 0x00100000, RW, -1);
    try_map("frame", phys, memmap.end_addr - PAGE_SIZE, RW, -1);
    try_unmap(VIRT, -1);
    try_unmap(VIRT + 4, -1);
    try_unmap(0x00001000, -1);
    try_unmap(0x00100000, -1);
    try_unmap(memmap.end_addr - PAGE_SIZE, -1);
    try_translate(VIRT);
    struct held_run *held = hold_frames(0);
    try_map("no frame for a table", phys, VIRT, RW, -1);
    give_frames(held);
    check(memmap_free_count() == free, "no frame was taken");
}

static void mapped(uint32_t one, uint32_t two)
{
    uint32_t free = memmap_free_count();

    section("Pages");
    kprintf("  paging_enable() = %d\n", paging_enable());
    WORD(one) = 0x11111111;
    WORD(two) = 0x22222222;
    try_map("first", one, VIRT, RW, 0);
    try_map("second", two, VIRT + PAGE_SIZE, PAGE_PRESENT | PAGE_USER, 0);
    try_map("first", one, 0xFFFFF000, RW, 0);
    try_map("second", two, VIRT, RW, -1);
    check(memmap_free_count() == free - 2, "two tables were taken");
    try_translate(VIRT + 0x123);
    try_translate(VIRT + PAGE_SIZE);
    try_translate(0xFFFFFFFC);
    kprintf("  read: 0x%08x 0x%08x 0x%08x\n", WORD(VIRT), WORD(VIRT + PAGE_SIZE), WORD(0xFFFFF000));
    WORD(VIRT) = 0x33333333;
    check(WORD(0xFFFFF000) == 0x33333333 && WORD(one) == 0x33333333, "two pages show one frame");
    try_unmap(VIRT, 0);
    try_map("second", two, VIRT, RW, 0);
    check(WORD(VIRT) == 0x22222222, "mapped again, a page shows its new frame");
    try_unmap(VIRT, 0);
    try_unmap(VIRT, -1);
    try_unmap(VIRT + PAGE_SIZE, 0);
    try_unmap(0xFFFFF000, 0);
    check(memmap_free_count() == free, "the tables are back");
}

static void ranges(void)
{
    section("Ranges of address space");
    try_range(0);
    uint32_t first = try_range(2);
    uint32_t second = try_range(3);
    uint32_t third = try_range(1);
    check(second == first + 2 * PAGE_SIZE && third == second + 3 * PAGE_SIZE, "side by side");
    check(virt_to_phys(first) == PHYS_NONE, "nothing is mapped");
    try_range_free(second, 0);
    try_range_free(second, -1);
    try_range_free(first + PAGE_SIZE, -1);
    check(try_range(4) == third + PAGE_SIZE, "too many pages for the gap: after it");
    check(try_range(3) == second, "as many pages as the gap has: into it");
    try_range((vspace_end - vspace_start) / PAGE_SIZE);
    try_range(0xFFFFFFFF);
    try_range_free(third + PAGE_SIZE, 0);
    try_range_free(first, 0);
    try_range_free(third, 0);
    try_range_free(second, 0);
    check(vspace_ranges == NULL && heap_is_whole(), "all given back");
}

/* Are all words of a range what fill() put there? */
static bool is_filled(const uint32_t *words, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes / 4; i++) {
        if (words[i] != seed + i) {
            return false;
        }
    }
    return true;
}

static void fill(uint32_t *words, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes / 4; i++) {
        words[i] = seed + i;
    }
}

static void both(void)
{
    uint32_t free = memmap_free_count();
    uint32_t tables = count_tables();

    section("vmalloc()");
    try_vmalloc(0);
    try_vmalloc(0xFFFFFFFF);
    try_vmalloc(vspace_end - vspace_start);
    check(memmap_free_count() == free && vspace_ranges == NULL, "nothing is left of them");
    uint32_t hole = alloc_frame();
    uint32_t *small = try_vmalloc(1);
    free_frame(hole);
    uint32_t *large = try_vmalloc(3 * PAGE_SIZE + 1);
    try_translate((uint32_t)small);
    try_translate((uint32_t)large);
    try_translate((uint32_t)large + PAGE_SIZE);
    *(uint8_t *)small = 1;
    fill(large, 3 * PAGE_SIZE, 1000000);
    check(*(uint8_t *)small == 1 && is_filled(large, 3 * PAGE_SIZE, 1000000), "they keep what is written");
    check(memmap_free_count() + count_tables() - tables == free - 5, "five frames, besides those of new tables");
    try_vfree((uint8_t *)large + PAGE_SIZE);
    try_vfree((uint8_t *)small + 4);
    try_range_free((uint32_t)large, -1);
    uint32_t range = try_range(1);
    try_vfree((void *)range);
    try_range_free(range, 0);
    try_vfree(small);
    try_vfree(small);
    try_vfree(large);
    try_vfree(NULL);
    check(vspace_error_count == 4, "four were not allocated");
    check(memmap_free_count() == free && heap_is_whole(), "all given back");
}

static void exhausted(void)
{
    uint32_t free = memmap_free_count();

    section("When memory runs out");
    struct held_run *held = hold_frames(4);
    check(try_vmalloc(5 * PAGE_SIZE) == NULL, "four frames are not enough for five pages");
    check(memmap_free_count() == 4 && vspace_ranges == NULL && heap_is_whole(), "nothing is left of it");
    void *fits = try_vmalloc(3 * PAGE_SIZE);
    check(fits != NULL, "for three and a table they are");
    try_vfree(fits);
    give_frames(held);
    void *all = kmalloc(heap_end - heap_start - sizeof(struct block_header));
    check(all != NULL && try_range(1) == 0 && try_vmalloc(1) == NULL, "without heap no range, and no frame taken");
    kfree(all);
    check(memmap_free_count() == free && heap_is_whole(), "all given back");
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore paging: every call of the virtual memory\n");
    uint32_t free = memmap_free_count();
    first_free = alloc_frame();
    free_frame(first_free);
    without_directory();
    identity();
    uint32_t one = alloc_frame();
    uint32_t two = alloc_frame();
    refused(one * FRAME_SIZE);
    mapped(one * FRAME_SIZE, two * FRAME_SIZE);
    ranges();
    both();
    exhausted();
    free_frame(one);
    free_frame(two);
    section("In the end");
    check(memmap_free_count() == free - 1 - count_tables(), "only the page directory and its tables are in use");
    finish();
}
