/*
 * Prints on COM1 what a Multiboot 2 boot loader has left in memory, one tag a line, and exits with 0.
 */

#include "boot_printing.h"

__asm__(".section .text.0header, \"ax\"\n"
        ".balign 8\n"
        "header: .long 0xe85250d6, 0, header_end - header, -(0xe85250d6 + header_end - header)\n"
        " .short 1, 0\n"
        " .long 24, 6, 9, 14, 8\n"
        " .short 6, 0\n"
        " .long 8\n"
        " .short 10, 0\n"
        " .long 24, 0x100000, 0x1000000, 4096, 1\n"
        " .short 0, 0\n"
        " .long 8\n"
        "header_end:\n"
        ".text\n");

static void words(const char *name, const u32 *values, u32 count)
{
    text(name);
    for (u32 i = 0; i < count; i++)
        hex(values[i]);
    text("\n");
}

static void module(const u32 *tag)
{
    text("module");
    hex(tag[2]);
    hex(tag[3]);
    hex(*(const u8 *)tag[2]);
    text(" ");
    text((const char *)(tag + 4));
    text("\n");
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* The address of `start` according to the kernel's own symbol table. */
static u32 find_start(const u32 *tag)
{
    const u32 *sections = tag + 5;

    for (u32 i = 0; i < tag[2]; i++) {
        const u32 *section = sections + i * 10;
        if (section[1] != 2)
            continue;
        const char *names = (const char *)sections[section[6] * 10 + 3];
        for (const u32 *symbol = (const u32 *)section[3]; (u32)symbol < section[3] + section[5]; symbol += 4)
            if (same(names + symbol[0], "start"))
                return symbol[1];
    }
    return 0;
}

void start(u32 magic, const u32 *info);

static void elf_sections(const u32 *tag)
{
    const u32 *names = tag + 5 + tag[4] * 10;

    words("entry size", tag + 3, 1);
    text("first section ");
    text((const char *)names[3] + tag[5 + 10]);
    text(find_start(tag) == (u32)start ? "\nsymbols are there\n" : "\nsymbols are not there\n");
}

void start(u32 magic, const u32 *info)
{
    words("magic", &magic, 1);
    words("reserved, alignment", (u32[]){info[1], (u32)info & 7}, 2);
    for (const u32 *tag = info + 2; ; tag += (tag[1] + 7) / 8 * 2) {
        switch (tag[0]) {
        case 0:
            words("end", (u32[]){tag[1], (u32)tag + 8 - (u32)info - info[0]}, 2);
            __asm__ volatile("outl %0, %1" : : "a"(0), "Nd"((unsigned short)0xf4));
            for (;;)
                __asm__ volatile("cli; hlt");
        case 1:
        case 2:
            text(tag[0] == 1 ? "cmdline " : "loader ");
            text((const char *)(tag + 2));
            text("\n");
            break;
        case 3:
            module(tag);
            break;
        case 6:
            words("memory map", tag + 2, 2);
            for (u32 at = 4; at < tag[1] / 4; at += 6)
                words("region", tag + at, 6);
            break;
        case 9:
            elf_sections(tag);
            break;
        default:
            hex(tag[0]);
            words(" tag", tag + 1, (tag[1] + 3) / 4 - 1);
        }
    }
}
