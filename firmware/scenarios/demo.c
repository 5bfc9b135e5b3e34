/*
 * Theory of operation
 *
 * A tour through every call of the memory subsystems. Each result is checked, so the exit value says whether
 * the subsystems work: 0, or 1 after a failed check.
 *
 * Shortcomings
 *
 * One CPU, interrupts off: the locks are shown to be taken and given back, never fought over.
 */

#include "common/vga_text.h"
#include "litecore/memory.h"
#include "scenarios/litecore.h"

extern uint8_t __end[]; /* kernel.ld */

#define EFLAGS_IF 0x200u

/* What the tour takes at most. */
enum { FRAMES_NEEDED = 96, HEAP_BYTES_NEEDED = 4096 };

static void show_screen(void)
{
    vga_clear();
    vga_write_row(0, VGA_WHITE_ON_BLUE, " LiteCore demo: frames, heap, locks. The report is on COM1.");
    debug_port_write("LiteCore demo: hello from port 0xE9\n");
}

static void show_boot(void)
{
    const memmap_t *map = memmap_get();
    uint32_t bitmap = (uint32_t)map->bitmap;
    uint32_t bitmap_bytes = bitmap_size(map->max_frames);

    section("Boot: memory_init has placed everything");
    kprintf("  managed memory 0x%08x-0x%08x  %u frames\n", map->start_addr, map->end_addr, map->max_frames);
    kprintf("  kernel image   0x%08x-%p\n", KERNEL_BASE, (void *)__end);
    kprintf("  bitmap         0x%08x-0x%08x  %u bytes\n", bitmap, bitmap + bitmap_bytes, bitmap_bytes);
    kprintf("  heap           0x%08x-0x%08x  %u bytes\n", heap_start, heap_end, heap_end - heap_start);
    kprintf("  free frames    %u\n", memmap_free_count());
    check(bitmap >= (uint32_t)__end && heap_start >= bitmap + bitmap_bytes && heap_start % FRAME_SIZE == 0,
          "image, bitmap and heap follow each other");
    check(heap_is_whole(), "the heap is one free block");
}

static void show_single_frames(uint32_t free_frames_at_boot)
{
    section("Frames, one at a time: alloc_frame, free_frame");
    uint32_t first = alloc_frame();
    uint32_t second = alloc_frame();
    kprintf("  alloc_frame() = 0x%05x, then 0x%05x\n", first, second);
    check(first >= heap_end / FRAME_SIZE, "nothing of image, bitmap or heap is handed out");
    check(second > first, "lowest frame first");
    check(memmap_free_count() == free_frames_at_boot - 2, "two frames fewer are free");
    check(free_frame(first) == 0, "free_frame gives one back");
    check(alloc_frame() == first, "and the next alloc_frame takes it again");
    check(free_frame(first) == 0 && free_frame(second) == 0, "both go back");
    check(free_frame(second) == -1, "a second time is refused: -1");
    check(free_frame(memmap.start_frame - 1) == -1, "so is a frame below the window");
    check(free_frame(memmap.start_frame + memmap.max_frames) == -1, "and one above it");
    check(memmap_free_count() == free_frames_at_boot, "as many are free as before");
}

static void show_runs(uint32_t free_frames_at_boot)
{
    section("Frames, side by side: alloc_frames, free_frames");
    uint32_t one = alloc_frames(1);
    uint32_t run = alloc_frames(40);
    uint32_t behind = alloc_frames(3);
    kprintf("  alloc_frames(1, 40, 3) = 0x%05x, 0x%05x, 0x%05x\n", one, run, behind);
    check(run == one + 1 && behind == run + 40, "runs lie back to back");
    check(free_frames(run, 40) == 0, "the run in the middle goes back");
    check(alloc_frames(41) == behind + 3, "41 frames do not fit in the hole of 40");
    check(alloc_frames(40) == run, "40 do");
    check(alloc_frames(0) == FRAME_NONE, "no frames is no request: FRAME_NONE");
    check(alloc_frames(memmap.max_frames + 1) == FRAME_NONE, "more than there are: FRAME_NONE");
    check(free_frames(one, 0) == -1, "nor can none be given back: -1");
    check(free_frames(one, 1 + 40 + 3 + 41) == 0, "all 85 go back at once");
    check(free_frames(one, 2) == -1, "free frames are refused: -1");
    check(memmap_free_count() == free_frames_at_boot, "as many are free as before");
}

static void show_reserve(uint32_t free_frames_at_boot)
{
    section("Frames kept out of the way: memmap_reserve");
    uint32_t frame = alloc_frame();
    free_frame(frame);
    uint32_t address = frame * FRAME_SIZE;
    memmap_reserve(address + 100, address + FRAME_SIZE + 1);
    check(memmap_free_count() == free_frames_at_boot - 2, "a range is rounded outwards to whole frames");
    memmap_reserve(address + 100, address + FRAME_SIZE + 1);
    check(memmap_free_count() == free_frames_at_boot - 2, "reserving twice changes nothing");
    memmap_reserve(address, address);
    memmap_reserve(0, memmap.start_addr);
    check(memmap_free_count() == free_frames_at_boot - 2, "nor does an empty range or one outside");
    uint32_t next = alloc_frame();
    check(next == frame + 2, "alloc_frame goes past them");
    check(free_frames(frame, 3) == 0, "all three go back");
    check(memmap_free_count() == free_frames_at_boot, "as many are free as before");
}

static void show_heap(void)
{
    section("Heap: kmalloc, kfree");
    uint8_t *name = kmalloc(13);
    uint8_t *table = kmalloc(256);
    uint8_t *buffer = kmalloc(1000);
    kprintf("  kmalloc(13, 256, 1000) = %p, %p, %p\n", (void *)name, (void *)table, (void *)buffer);
    check((uint32_t)name % 8 == 0 && (uint32_t)table % 8 == 0, "blocks are aligned to 8");
    check(table == name + 16 + 8 && buffer == table + 256 + 8, "sizes are rounded up to 8; a header is 8 bytes");
    memset(name, 0x11, 13);
    memset(table, 0x22, 256);
    memset(buffer, 0x33, 1000);
    check(name[12] == 0x11 && table[0] == 0x22 && table[255] == 0x22 && buffer[0] == 0x33,
          "what is written stays apart");
    heap_print();
    check(heap_measure().live_blocks == 3 && heap_measure().live_bytes == 16 + 256 + 1000, "a walk finds all three");
    kfree(table);
    check(kmalloc(200) == table, "first fit: a smaller block takes the hole");
    kfree(table);
    kfree(name);
    kfree(buffer);
    check(heap_is_whole(), "everything freed: one block again");
    check(kmalloc(0) == NULL, "kmalloc(0) is NULL");
    check(kmalloc(heap_end - heap_start) == NULL, "so is more than the heap");
    check(kmalloc(0xFFFFFFFC) == NULL, "and a size whose rounding wraps");
    kfree(NULL);
    check(heap_error_count == 0, "kfree(NULL) is allowed");
}

static void show_refusals(void)
{
    section("Heap: what kfree refuses");
    uint8_t *block = kmalloc(64);
    uint8_t *wall = kmalloc(8);
    memset(block, 0, 64);
    kfree(block + 8);
    kfree(block + 3);
    kfree((void *)(heap_end + 8));
    check(heap_error_count == 3, "inside a block, off alignment, outside the heap: counted, not done");
    kfree(block);
    kfree(block);
    check(heap_error_count == 4, "a double free is the fourth");
    kfree(wall);
    check(heap_is_whole(), "the heap took no harm");
}

static void show_space(void)
{
    uint32_t body = heap_end - heap_start - 8;

    section("Asking first: mem_has_space");
    check(mem_has_space(MEM_TYPE_HEAP, body), "the heap has room for one block of all its bytes");
    check(!mem_has_space(MEM_TYPE_HEAP, body + 1), "but for no byte more");
    check(!mem_has_space(MEM_TYPE_HEAP, 0) && !mem_has_space(MEM_TYPE_HEAP, 0xFFFFFFFF),
          "0 and 0xffffffff bytes never fit");
    check(mem_has_space(MEM_TYPE_FRAME, 1) && mem_has_space(MEM_TYPE_FRAME, 8 * FRAME_SIZE + 1),
          "frames have room for 1 byte and for 9 frames");
    check(!mem_has_space(MEM_TYPE_FRAME, 0), "0 bytes need no frame");
    check(!mem_has_space(MEM_TYPE_FRAME, 0xFFFFFFFF), "4 GiB of frames are never there");
    check(!mem_has_space((mem_type_t)2, 8), "an unknown type has no room");
}

/* The worked example of the specification (1.5), in a 64 KiB heap at another address. */
static void show_vectors(void)
{
    static const uint16_t sizes[] = {128, 1, 8, 9, 100};
    static const uint16_t offsets[] = {0x008, 0x090, 0x0a0, 0x0b0, 0x0c8};
    uint32_t saved_start = heap_start;
    uint32_t saved_end = heap_end;
    uint32_t frames = alloc_frames(16);

    section("The specification's example, in a heap of its own: mem_init");
    if (frames == FRAME_NONE) {
        console_write("  skipped: no 16 frames side by side\n");
        return;
    }
    uint32_t base = frames * FRAME_SIZE;
    mem_init(base, base + 0x10000);
    bool placed = true;
    console_write("  kmalloc(128, 1, 8, 9, 100) = heap +");
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t offset = (uint32_t)kmalloc(sizes[i]) - base;
        kprintf(" 0x%03x", offset);
        placed = placed && offset == offsets[i];
    }
    console_write("\n");
    check(placed, "each block is where the specification says");
    check((uint32_t)heap_free_list == base + 0x130 && heap_free_list->size == 65224, "65224 bytes are left");
    kfree((void *)(base + 0x090));
    kfree((void *)(base + 0x0b0));
    kfree((void *)(base + 0x0a0));
    check((uint32_t)heap_free_list == base + 0x088 && heap_free_list->size == 48,
          "three neighbours freed become one block of 48 bytes");
    kfree((void *)(base + 0x008));
    kfree((void *)(base + 0x0c8));
    void *all = kmalloc(65528);
    check((uint32_t)all == base + 8 && kmalloc(1) == NULL, "kmalloc(65528) takes all of it");
    kfree(all);
    check(heap_is_whole() && heap_error_count == 0, "and gives all of it back");
    mem_init(base, base + 15);
    check(heap_free_list == NULL && kmalloc(1) == NULL, "15 bytes are too few for a heap");
    mem_init(saved_start, saved_end);
    check(free_frames(frames, 16) == 0, "back to the kernel's own heap");
}

static void show_new_window(void)
{
    memmap_t before = memmap;

    section("Another window: memmap_init");
    memmap_init(before.end_addr, before.start_addr);
    check(memcmp(&before, &memmap, sizeof(before)) == 0, "an empty window changes nothing");
    memmap_init(before.start_addr + 1, before.start_addr + 35 * FRAME_SIZE + 1);
    check(memmap.start_addr == before.start_addr + FRAME_SIZE && memmap.max_frames == 34,
          "a window is rounded inwards to whole frames");
    check(memmap_free_count() == 34, "all its frames are free");
    check((memmap.bitmap[4] & 0xFC) == 0xFC, "bits without a frame are set");
    memory_init();
    check(memcmp(&before, &memmap, sizeof(before)) == 0, "memory_init brings the kernel's own back");
}

static void show_locks(void)
{
    static spinlock_t lock;

    section("Locks: spin_lock_irqsave, spin_unlock_irqrestore");
    uint32_t before = cpu_flags();
    uint32_t flags = spin_lock_irqsave(&lock);
    check(lock.locked == 1 && (cpu_flags() & EFLAGS_IF) == 0, "held: the word is 1, interrupts are off");
    spin_unlock_irqrestore(&lock, flags);
    check(lock.locked == 0 && ((cpu_flags() ^ before) & EFLAGS_IF) == 0, "free: the word is 0, IF as it was");
    check(heap_lock.locked == 0 && memmap_lock.locked == 0, "every call has given its lock back");
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    const struct boot_info *boot = litecore_boot(magic, info);
    uint32_t free_frames_at_boot = memmap_free_count();

    console_write("LiteCore demo: every call of the memory subsystems, checked on the way\n");
    show_screen();
    show_boot();
    if (free_frames_at_boot < FRAMES_NEEDED || heap_end - heap_start < HEAP_BYTES_NEEDED) {
        check(false, "the tour needs 96 free frames and a heap of 4096 bytes");
        finish();
    }
    show_single_frames(free_frames_at_boot);
    show_runs(free_frames_at_boot);
    show_reserve(free_frames_at_boot);
    show_heap();
    show_refusals();
    show_space();
    show_vectors();
    show_new_window();
    litecore_reserve_modules(boot); /* memory_init() has just made their frames free */
    show_locks();
    check(memmap_free_count() == free_frames_at_boot, "at the end as many frames are free as at boot");
    finish();
}
