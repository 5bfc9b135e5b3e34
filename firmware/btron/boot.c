/*
 * Theory of operation
 *
 * Physical memory, from below:
 *
 *     0           0x00100000                                                                end of RAM
 *     | first MiB | kernel image | pmem_table (page boundary) | modules, free pages ........ |
 *                                __end
 *
 * The order matters: the boot loader's blocks are read before pmem_table may overwrite them, then everything
 * that is in use is written down for pmem_init(). Modules are not in the table's way: it moves up after those
 * that are.
 *
 * Shortcomings
 *
 * Ranges of RAM beyond the first BOOT_RANGES_MAX are not used. The memory map is trusted not to call a page of RAM
 * reserved as well. RAM above 2 GiB is out of the kernel's sight.
 */

#include "btron/boot.h"

#include "btron/interrupts.h"
#include "btron/kmem.h"
#include "btron/paging_bits.h"
#include "btron/pmem.h"
#include "btron/segments.h"
#include "btron/task.h"
#include "btron/task_memory.h"
#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "common/physical.h"

#define FIRST_MIB   0x00100000u
#define MEMORY_LIMIT KERNEL_SPACE /* physical; what lies above has no kernel address */

extern uint8_t __end[];               /* kernel.ld */
extern uint32_t page_directory[1024]; /* start.S */

static __attribute__((noreturn)) void panic(const char *why)
{
    kprintf("boot: %s\n", why);
    debug_exit(EXIT_CHECK_FAILED);
}

/* Drops the identity map and what is mapped beyond the end of RAM, so that stray pointers fault. */
static void paging_trim(uint32_t ram_end)
{
    page_directory[0] = 0;
    for (uint32_t i = (ram_end + LARGE_PAGE_SIZE - 1) / LARGE_PAGE_SIZE; i < KERNEL_DIRECTORY_INDEX; i++) {
        page_directory[KERNEL_DIRECTORY_INDEX + i] = 0;
    }
    cpu_set_page_directory(physical_of(page_directory));
}

/* Remembers the whole pages of RAM in `size` bytes from `start`. */
static void add_ram(uint32_t start, uint64_t size)
{
    uint64_t limit = start + size < MEMORY_LIMIT ? start + size : MEMORY_LIMIT;
    uint32_t end = (uint32_t)limit & ~(PAGE_SIZE - 1);

    if (start < MEMORY_LIMIT && round_up(start, PAGE_SIZE) < end && boot_range_count < BOOT_RANGES_MAX) {
        boot_ranges[boot_range_count++] = (struct boot_range){.start = round_up(start, PAGE_SIZE), .end = end};
    }
}

static void find_ram(const struct multiboot_info *info)
{
    if ((info->flags & MULTIBOOT_INFO_MEMORY_MAP) != 0) {
        for (const struct multiboot_mmap_entry *entry = multiboot_mmap_first(info); entry != NULL;
             entry = multiboot_mmap_next(info, entry)) {
            if (entry->type == MULTIBOOT_MEMORY_AVAILABLE && entry->addr_high == 0) {
                add_ram(entry->addr_low, (uint64_t)entry->len_high << 32 | entry->len_low);
            }
        }
    } else if ((info->flags & MULTIBOOT_INFO_MEMORY) != 0) {
        add_ram(0, (uint64_t)info->mem_lower * 1024);
        add_ram(FIRST_MIB, (uint64_t)info->mem_upper * 1024);
    }
}

static uint32_t ram_end(void)
{
    uint32_t end = 0;

    for (UW i = 0; i < boot_range_count; i++) {
        end = boot_ranges[i].end > end ? boot_ranges[i].end : end;
    }
    return end;
}

/* Remembers that [start, end), rounded outwards to pages, is in use. False when there is no room to remember it. */
static bool reserve(uint32_t start, uint32_t end)
{
    if (boot_reserved_count == BOOT_RANGES_MAX) {
        return false;
    }
    boot_reserved[boot_reserved_count++] = (struct boot_range){
        .start = start & ~(PAGE_SIZE - 1),
        .end = round_up(end, PAGE_SIZE),
    };
    return true;
}

static void reserve_modules(const struct boot_info *boot)
{
    uint32_t dropped = boot->modules_dropped;

    for (uint32_t i = 0; i < boot->module_count; i++) {
        dropped += !reserve(boot->modules[i].start, boot->modules[i].end);
    }
    if (dropped != 0) {
        kprintf("boot: %u modules too many are not reserved\n", dropped);
    }
}

/* First address for `size` bytes from `start` up that no module touches. */
static uint32_t behind_modules(const struct boot_info *boot, uint32_t start, uint32_t size)
{
    for (uint32_t i = 0; i < boot->module_count; i++) {
        if (boot->modules[i].start < start + size && start < boot->modules[i].end) {
            return behind_modules(boot, round_up(boot->modules[i].end, PAGE_SIZE), size);
        }
    }
    return start;
}

static bool is_ram(uint32_t start, uint32_t end)
{
    for (UW i = 0; i < boot_range_count; i++) {
        if (boot_ranges[i].start <= start && end <= boot_ranges[i].end) {
            return true;
        }
    }
    return false;
}

static void place_table(const struct boot_info *boot)
{
    pmem_pages = ram_end() / PAGE_SIZE;
    uint32_t size = pmem_pages * sizeof(struct pmem_entry);
    uint32_t start = behind_modules(boot, round_up(physical_of(__end), PAGE_SIZE), size);
    if (pmem_pages == 0 || !is_ram(start, start + size)) {
        panic("no memory for the page table of pmem");
    }
    pmem_table = at_physical(start);
    reserve(start, start + size);
}

const struct boot_info *btron_boot(uint32_t magic, const struct multiboot_info *physical_info)
{
    static struct boot_info boot;
    const struct multiboot_info *info = at_physical((uint32_t)physical_info);

    console_init();
    segments_init();
    interrupts_init();
    boot_info_read(&boot, magic, info);
    if (magic == MULTIBOOT_BOOT_MAGIC) {
        find_ram(info);
    }
    reserve(0, FIRST_MIB);
    reserve(FIRST_MIB, physical_of(__end));
    place_table(&boot);
    reserve_modules(&boot);
    paging_trim(ram_end());
    if (pmem_init() != E_OK) {
        panic("no free page");
    }
    if (user_text_init() != E_OK) {
        panic("no memory for the text of user programs");
    }
    kmem_init();
    tasks_init();
    return &boot;
}
