/*
 * What a Multiboot 1 boot loader hands to the kernel (Multiboot 0.6.96, section 3.3), and the part
 * of it that these kernels keep.
 */

#ifndef COMMON_MULTIBOOT_H
#define COMMON_MULTIBOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MULTIBOOT_BOOT_MAGIC = 0x2BADB002,
    MULTIBOOT_INFO_MEMORY = 1 << 0,
    MULTIBOOT_INFO_COMMAND_LINE = 1 << 2,
    MULTIBOOT_INFO_MODULES = 1 << 3,
    MULTIBOOT_INFO_MEMORY_MAP = 1 << 6,
    MULTIBOOT_MEMORY_AVAILABLE = 1,
};

struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower; /* KiB from address 0 */
    uint32_t mem_upper; /* KiB from 1 MiB */
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t mods_count;
    uint32_t mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length; /* bytes */
    uint32_t mmap_addr;
};

struct multiboot_module {
    uint32_t mod_start;
    uint32_t mod_end; /* exclusive */
    uint32_t string;
    uint32_t reserved;
};

struct multiboot_mmap_entry {
    uint32_t size; /* bytes of the entry after this field */
    uint32_t addr_low;
    uint32_t addr_high;
    uint32_t len_low;
    uint32_t len_high;
    uint32_t type;
};

_Static_assert(offsetof(struct multiboot_info, cmdline) == 16, "multiboot_info.cmdline");
_Static_assert(offsetof(struct multiboot_info, mods_addr) == 24, "multiboot_info.mods_addr");
_Static_assert(offsetof(struct multiboot_info, mmap_length) == 44, "multiboot_info.mmap_length");
_Static_assert(sizeof(struct multiboot_module) == 16, "multiboot_module");
_Static_assert(sizeof(struct multiboot_mmap_entry) == 24, "multiboot_mmap_entry");

/* The loader's memory map, entry by entry; NULL after the last. For infos with MULTIBOOT_INFO_MEMORY_MAP. */
const struct multiboot_mmap_entry *multiboot_mmap_first(const struct multiboot_info *info);
const struct multiboot_mmap_entry *multiboot_mmap_next(const struct multiboot_info *info,
                                                       const struct multiboot_mmap_entry *entry);

enum { BOOT_COMMAND_LINE_SIZE = 256, BOOT_MODULES_MAX = 32 };

/* The kernel's own copy: it stays whole when the loader's blocks are overwritten. */
struct boot_info {
    uint32_t memory_top; /* end of the RAM that contains 1 MiB, at most 0xFFFFF000; 0 = unknown */
    uint32_t module_count;
    uint32_t modules_dropped; /* modules that did not fit in the table */
    struct {
        uint32_t start;
        uint32_t end;
    } modules[BOOT_MODULES_MAX];
    char command_line[BOOT_COMMAND_LINE_SIZE]; /* cut where it is longer */
};

/*
 * Copies what the loader passed into `boot`; `info` is a kernel pointer, pointers inside are physical. With any other
 * `magic` than Multiboot's, all is empty.
 */
void boot_info_read(struct boot_info *boot, uint32_t magic, const struct multiboot_info *info);

/*
 * Value of the first word `name=value` of the command line, not counting the kernel's name in front;
 * NULL if there is none. The value ends at a blank or at the end of the text.
 */
const char *boot_option(const struct boot_info *boot, const char *name);

/* The same as a number, or `otherwise` where the word is missing or is not a number. */
uint32_t boot_option_u32(const struct boot_info *boot, const char *name, uint32_t otherwise);

/*
 * Reads a decimal or 0x number at `*text` and moves `*text` past it. False, with nothing changed,
 * when there is no number or it does not fit in 32 bits.
 */
bool parse_u32(const char **text, uint32_t *value);

/* Does a word of the command line end at `text`? */
bool at_word_end(const char *text);

#endif
