/*
 * What a Multiboot 1 boot loader hands over (Multiboot 0.6.96, section 3.3), and the state in which it leaves the CPU.
 * Names of boot loaders differ, so theirs is not printed.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "common/multiboot.h"

__attribute__((noreturn)) void kmain(uint32_t magic, const struct multiboot_info *info);

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    uint32_t cr0, cr2, cr3, cr4;

    __asm__ volatile("movl %%cr0, %0; movl %%cr2, %1; movl %%cr3, %2; movl %%cr4, %3"
                     : "=r"(cr0), "=r"(cr2), "=r"(cr3), "=r"(cr4));
    console_init();
    kprintf("magic %08x, flags %08x\n", magic, info->flags);
    kprintf("cr0 %08x, cr2 %08x, cr3 %08x, cr4 %08x\n", cr0, cr2, cr3, cr4);
    kprintf("memory %u KiB, %u KiB, boot device %08x\n", info->mem_lower, info->mem_upper, info->boot_device);
    kprintf("command line '%s'\n", (const char *)info->cmdline);
    kprintf("modules %u\n", info->mods_count);
    const struct multiboot_module *module = (const struct multiboot_module *)info->mods_addr;
    for (uint32_t i = 0; i < info->mods_count; i++, module++) {
        kprintf("module at %08x, %u bytes, '%s'\n", module->mod_start, module->mod_end - module->mod_start,
                (const char *)module->string);
    }
    for (const struct multiboot_mmap_entry *entry = multiboot_mmap_first(info); entry != 0;
         entry = multiboot_mmap_next(info, entry)) {
        if (entry->type == MULTIBOOT_MEMORY_AVAILABLE) { /* what a BIOS keeps for itself differs */
            kprintf("RAM from %08x%08x, %08x%08x bytes\n", entry->addr_high, entry->addr_low, entry->len_high,
                    entry->len_low);
        }
    }
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
