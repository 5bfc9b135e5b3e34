/*
 * Theory of operation
 *
 * The loader may put its blocks anywhere in RAM that the image does not use; QEMU puts the command line
 * right after the image, where the tables of the memory subsystems will be. So everything of interest is copied first.
 *
 * Shortcomings
 *
 * Memory above 4 GiB is ignored, the command line is cut at 255 characters, and only the first 32 modules
 * are remembered. The loader's block is trusted to be well formed.
 */

#include "common/multiboot.h"

#include "common/physical.h"
#include "common/string.h"

#define UPPER_MEMORY  0x00100000u
#define HIGHEST_LIMIT 0xFFFFF000u /* last page-aligned limit that 32 bits can hold */

/* `start` + `size`, at most HIGHEST_LIMIT. */
static uint32_t limit_of(uint32_t start, uint64_t size)
{
    uint64_t limit = start + size;

    return limit < HIGHEST_LIMIT ? (uint32_t)limit : HIGHEST_LIMIT;
}

static bool holds_upper_memory(const struct multiboot_mmap_entry *entry)
{
    return entry->type == MULTIBOOT_MEMORY_AVAILABLE && entry->addr_high == 0 &&
           entry->addr_low <= UPPER_MEMORY &&
           (entry->len_high != 0 || entry->len_low > UPPER_MEMORY - entry->addr_low);
}

const struct multiboot_mmap_entry *multiboot_mmap_first(const struct multiboot_info *info)
{
    return info->mmap_length != 0 ? at_physical(info->mmap_addr) : NULL;
}

const struct multiboot_mmap_entry *multiboot_mmap_next(const struct multiboot_info *info,
                                                       const struct multiboot_mmap_entry *entry)
{
    uint32_t position = physical_of(entry) + entry->size + sizeof(entry->size) - info->mmap_addr;

    return position < info->mmap_length ? at_physical(info->mmap_addr + position) : NULL;
}

static uint32_t memory_top(const struct multiboot_info *info)
{
    if ((info->flags & MULTIBOOT_INFO_MEMORY_MAP) != 0) {
        for (const struct multiboot_mmap_entry *entry = multiboot_mmap_first(info); entry != NULL;
             entry = multiboot_mmap_next(info, entry)) {
            if (holds_upper_memory(entry)) {
                return limit_of(entry->addr_low, (uint64_t)entry->len_high << 32 | entry->len_low);
            }
        }
    }
    if ((info->flags & MULTIBOOT_INFO_MEMORY) != 0) {
        return limit_of(UPPER_MEMORY, (uint64_t)info->mem_upper * 1024);
    }
    return 0;
}

static void copy_modules(struct boot_info *boot, const struct multiboot_info *info)
{
    const struct multiboot_module *modules = at_physical(info->mods_addr);

    for (uint32_t i = 0; i < info->mods_count; i++) {
        if (i == BOOT_MODULES_MAX) {
            boot->modules_dropped = info->mods_count - i;
            return;
        }
        boot->modules[i].start = modules[i].mod_start;
        boot->modules[i].end = modules[i].mod_end;
        boot->module_count++;
    }
}

static void copy_command_line(struct boot_info *boot, const char *text)
{
    size_t size = strlen(text);

    if (size >= BOOT_COMMAND_LINE_SIZE) {
        size = BOOT_COMMAND_LINE_SIZE - 1;
    }
    memcpy(boot->command_line, text, size); /* the rest is zero already */
}

void boot_info_read(struct boot_info *boot, uint32_t magic, const struct multiboot_info *info)
{
    memset(boot, 0, sizeof(*boot));
    if (magic != MULTIBOOT_BOOT_MAGIC) {
        return;
    }
    boot->memory_top = memory_top(info);
    if ((info->flags & MULTIBOOT_INFO_COMMAND_LINE) != 0) {
        copy_command_line(boot, at_physical(info->cmdline));
    }
    if ((info->flags & MULTIBOOT_INFO_MODULES) != 0) {
        copy_modules(boot, info);
    }
}

bool at_word_end(const char *text)
{
    return *text == ' ' || *text == '\0';
}

/* Start of the word after the one that `text` points into; the end of the text if it was the last. */
static const char *next_word(const char *text)
{
    while (!at_word_end(text)) {
        text++;
    }
    while (*text == ' ') {
        text++;
    }
    return text;
}

const char *boot_option(const struct boot_info *boot, const char *name)
{
    size_t size = strlen(name);

    for (const char *word = next_word(boot->command_line); *word != '\0'; word = next_word(word)) {
        if (strncmp(word, name, size) == 0 && word[size] == '=') {
            return word + size + 1;
        }
    }
    return NULL;
}

uint32_t boot_option_u32(const struct boot_info *boot, const char *name, uint32_t otherwise)
{
    const char *text = boot_option(boot, name);
    uint32_t value;

    return text != NULL && parse_u32(&text, &value) && at_word_end(text) ? value : otherwise;
}

/* Value of a digit in any base up to 16; 16 for any other character. */
static uint32_t digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0');
    }
    c = (char)(c | 0x20); /* lower case */
    return c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10 : 16;
}

bool parse_u32(const char **text, uint32_t *value)
{
    const char *next = *text;
    uint32_t base = 10;
    uint32_t number = 0;

    if (next[0] == '0' && (next[1] == 'x' || next[1] == 'X')) {
        base = 16;
        next += 2;
    }
    if (digit_value(*next) >= base) {
        return false;
    }
    for (; digit_value(*next) < base; next++) {
        uint32_t digit = digit_value(*next);
        if (number > (UINT32_MAX - digit) / base) {
            return false;
        }
        number = number * base + digit;
    }
    *text = next;
    *value = number;
    return true;
}
