/*
 * Theory of operation
 *
 * The order matters: the boot loader's blocks are read before memory_init() may overwrite them, the window is
 * chosen from what they said, and the modules are reserved before the first frame is handed out.
 *
 * Shortcomings
 *
 * A module that the loader put right after the image loses the part that the bitmap and the heap take. Its frames are
 * reserved all the same.
 */

#include "litecore/boot.h"

#include "common/console.h"
#include "common/exceptions.h"
#include "common/string.h"
#include "litecore/memmap.h"
#include "litecore/memory.h"

static _Alignas(4) struct gate idt[EXCEPTION_COUNT]; /* no more: interrupts stay off */

/* Reads `0xSTART-0xEND`. False, with nothing changed, when it is anything else. */
static bool parse_range(const char *text, uint32_t *start, uint32_t *end)
{
    uint32_t first;
    uint32_t limit;

    if (!parse_u32(&text, &first) || *text++ != '-' || !parse_u32(&text, &limit) || !at_word_end(text) ||
        limit <= first) {
        return false;
    }
    *start = first;
    *end = limit;
    return true;
}

static void choose_window(const struct boot_info *boot)
{
    const char *ram = boot_option(boot, "ram");
    bool all = ram != NULL && strncmp(ram, "all", 3) == 0 && at_word_end(ram + 3);

    if (boot->memory_top != 0 && (all || boot->memory_top < memory_window_end)) {
        memory_window_end = boot->memory_top;
    }
    if (ram != NULL && !all && !parse_range(ram, &memory_window_start, &memory_window_end)) {
        console_write("boot: ram= wants `all` or `0xSTART-0xEND`; ignored\n");
    }
}

void litecore_reserve_modules(const struct boot_info *boot)
{
    for (uint32_t i = 0; i < boot->module_count; i++) {
        memmap_reserve(boot->modules[i].start, boot->modules[i].end);
    }
}

const struct boot_info *litecore_boot(uint32_t magic, const struct multiboot_info *info)
{
    static struct boot_info boot;

    console_init();
    exceptions_init(idt, EXCEPTION_COUNT, NULL);
    boot_info_read(&boot, magic, info);
    choose_window(&boot);
    heap_bytes = boot_option_u32(&boot, "heap", heap_bytes);
    memory_init();
    litecore_reserve_modules(&boot);
    if (boot.modules_dropped != 0) {
        kprintf("boot: %u modules too many are not reserved\n", boot.modules_dropped);
    }
    return &boot;
}
