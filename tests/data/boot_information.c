/*
 * Prints on COM1 what a Multiboot 1 boot loader and the BIOS have left in memory, one fact a line, and exits with 0.
 *
 * Addresses that loaders choose freely (of the information, of texts and lists) are not printed.
 */

#include "boot_printing.h"

__asm__(".section .text.0header, \"ax\"\n"
        ".balign 4\n"
        ".long 0x1badb002, 3, -(0x1badb002 + 3)\n"
        ".text\n");

static void line(const char *name, u32 value)
{
    text(name);
    hex(value);
    text("\n");
}

static void memory_map(const u32 *info)
{
    u32 end = info[12] + info[11];
    const u32 *entry;

    for (u32 at = info[12]; at < end; at += entry[0] + 4) {
        entry = (const u32 *)at;
        text("region");
        for (int i = 0; i < 6; i++)
            hex(entry[i]);
        text("\n");
    }
}

static void modules(const u32 *info)
{
    const u32 *module = (const u32 *)info[6];

    for (u32 i = 0; i < info[5]; i++, module += 4) {
        text("module");
        hex(module[0]);
        hex(module[1]);
        hex(*(const u8 *)module[0]);
        text(" ");
        text((const char *)module[2]);
        text("\n");
    }
}

/* Those that belong to the BIOS of the VGA are not printed: kmemu has none. */
static void vectors(void)
{
    for (u32 vector = 0; vector < 0x80; vector++)
        if (vector != 0x10 && vector != 0x1e && vector != 0x1f && vector != 0x43)
            line("vector", ((const u32 *)0)[vector]);
}

static void bios_data(void)
{
    static const struct {
        const char *name;
        u32 address, size;
    } facts[] = {
        {"vector ff", 0x3fc, 4}, {"iret", 0xfff53, 1},
        {"COM1, COM2", 0x400, 4},   {"COM3, COM4", 0x404, 4},   {"LPT1, LPT2", 0x408, 4}, {"LPT3", 0x40c, 2},
        {"equipment", 0x410, 2}, {"disks", 0x475, 1}, {"EBDA", 0x40e, 2},         {"KiB", 0x413, 2},          {"flags", 0x417, 2},     {"keys", 0x41a, 4},
        {"mode, columns", 0x449, 3}, {"page", 0x44c, 4},        {"cursor", 0x460, 2},    {"page", 0x462, 1},
        {"CRTC", 0x463, 2},         {"timeout", 0x47c, 4},      {"keys", 0x480, 4},      {"rows", 0x484, 1},
        {"height", 0x485, 2},       {"VGA", 0x487, 2},          {"keyboard", 0x496, 1},  {"EBDA size", 0x9fc00, 1},
        {"model", 0xffffe, 1},
    };

    for (u32 i = 0; i < sizeof facts / sizeof *facts; i++)
        line(facts[i].name, *(const u32 *)facts[i].address & (facts[i].size == 4 ? ~0u : (1u << facts[i].size * 8) - 1));
}

/* A table of ACPI by its signature; 0: there is none. */
static const u8 *acpi_table(u32 signature)
{
    for (const u32 *p = (const u32 *)0xe0000; (u32)p < 0x100000; p += 4) {
        if (p[0] != 0x20445352 || p[1] != 0x20525450) /* "RSD PTR " */
            continue;
        const u32 *root = (const u32 *)p[4];
        for (u32 i = 9; i < root[1] / 4; i++)
            if (*(const u32 *)root[i] == signature)
                return (const u8 *)root[i];
    }
    return 0;
}

static u32 sum(const u8 *table)
{
    u32 total = 0;

    for (u32 i = 0; i < ((const u32 *)table)[1]; i++)
        total += table[i];
    return total & 0xff;
}

/* Flags and the port for SMI are not printed: kmemu has neither HPET nor SMI. */
static void power_management(void)
{
    const u8 *fadt = acpi_table(0x50434146);
    const u8 *dsdt = *(const u8 **)(fadt + 40);

    line("FADT", ((const u32 *)fadt)[1]);
    line("sums", sum(fadt) << 8 | sum(dsdt));
    line("SCI", *(const unsigned short *)(fadt + 46));
    for (int at = 56; at < 100; at += 4)
        line("word", *(const u32 *)(fadt + at));
    line("century", fadt[108]);
    for (u32 i = 0; i + 11 <= ((const u32 *)dsdt)[1]; i++)
        if (*(const u32 *)(dsdt + i) == 0x5f35535f) { /* "_S5_" */
            line("before", dsdt[i - 1]);
            line("type", *(const u32 *)(dsdt + i + 4));
            line("values", *(const u32 *)(dsdt + i + 8) & 0xffffff);
        }
}

static void interrupt_controllers(void)
{
    const u8 *madt = acpi_table(0x43495041);

    line("MADT", ((const u32 *)madt)[1]);
    line("sum", sum(madt));
    for (u32 at = 36; at < ((const u32 *)madt)[1]; at += 4)
        line("word", *(const u32 *)(madt + at));
}

void start(u32 magic, const u32 *info)
{
    line("magic", magic);
    line("info", (u32)info);
    line("flags", info[0]);
    line("mem_lower", info[1]);
    line("mem_upper", info[2]);
    line("boot_device", info[3]);
    text("cmdline ");
    text((const char *)info[4]);
    text("\n");
    modules(info);
    memory_map(info);
    for (int i = 7; i < 29; i++)
        if (i != 11 && i != 12 && i != 16)
            line("word", info[i]);
    vectors();
    bios_data();
    power_management();
    interrupt_controllers();
    __asm__ volatile("outl %0, %1" : : "a"(0), "Nd"((unsigned short)0xf4));
    for (;;)
        __asm__ volatile("cli; hlt");
}
