/*
 * Theory of operation
 *
 * The average of as many samples as there are, which may be none: the division faults (SDM volume 3, 6.15, vector
 * 0). This kernel starts without litecore_boot() and so has no handlers: the CPU shuts down.
 *
 * Shortcomings
 *
 * What the boot loader says is not read.
 */

#include "litecore/memory.h"
#include "scenarios/litecore.h"

static uint32_t average(const uint32_t *samples, uint32_t count)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += samples[i];
    }
    if (CORRECT && count == 0) {
        return 0;
    }
    return sum / count; /* finding: kernel-died */
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    (void)magic;
    (void)info;
    console_init();
    memory_init();
    console_write("LiteCore bad_divide: the average of nothing\n");

    section("Samples");
    uint32_t *samples = kmalloc(4 * sizeof(*samples));
    memset(samples, 0, 4 * sizeof(*samples));
    kprintf("  average of four: %u\n", average(samples, 4));
    kprintf("  average of none: %u\n", average(samples, 0));
    kfree(samples);
    finish();
}
