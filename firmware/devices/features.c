/*
 * Instructions that not every CPU has: each is executed, or raises #UD.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/debug_exit.h"
#include "devices/traps.h"

/* Machine code as text of hexadecimal digits; a memory operand is at EAX. */
static const struct {
    const char *name, *code;
} instructions[] = {
    {"cmov", "0f44c1"},
    {"fcmov", "dac1"},
    {"cmpxchg8b", "0fc708"},
    {"nopl", "0f1f00"},
    {"endbr32", "f30f1efb"},
    {"pause", "f390"},
    {"prefetch", "0f1808"},
    {"MMX paddb", "0ffcc1"},
    {"SSE addps", "0f58c1"},
    {"SSE sfence", "0faef8"},
    {"SSE2 addpd", "660f58c1"},
    {"SSE2 paddq", "660fd4c1"},
    {"SSE2 mfence", "0faef0"},
    {"SSE2 movnti", "0fc308"},
    {"SSE2 movq2dq", "f30fd6c1"},
    {"SSE3 haddps", "f20f7cc1"},
    {"SSE3 movsldup", "f30f12c1"},
    {"SSE3 lddqu", "f20ff000"},
    {"SSE3 fisttp", "df08"},
    {"SSSE3 pshufb of MMX", "0f3800c1"},
    {"SSSE3 pshufb", "660f3800c1"},
    {"SSSE3 pabsb", "660f381cc1"},
    {"SSSE3 palignr", "660f3a0fc101"},
    {"SSE4.1 pmulld", "660f3840c1"},
    {"SSE4.1 ptest", "660f3817c1"},
    {"SSE4.1 pmulld of memory", "660f384000"},
    {"SSE4.1 pextrd", "660f3a16c001"},
    {"SSE4.1 roundss", "660f3a0ac100"},
    {"SSE4.1 blendvps", "660f3814c1"},
    {"SSE4.1 phminposuw", "660f3841c1"},
    {"SSE4.2 pcmpgtq", "660f3837c1"},
    {"SSE4.2 pcmpistri", "660f3a63c100"},
    {"SSE4.2 crc32", "f20f38f1c1"},
    {"SSE4.2 crc32 of memory", "f20f38f000"},
    {"popcnt", "f30fb8c1"},
    {"popcnt, 16 bits", "66f30fb8c1"},
    {"popcnt, prefixes swapped", "f3660fb8c1"},
    {"movbe", "0f38f000"},
    {"movbe, stores", "0f38f100"},
    {"aesenc", "660f38dcc1"},
    {"pclmulqdq", "660f3a44c100"},
    {"sha1msg1", "0f38c9c1"},
    {"gf2p8mulb", "660f38cfc1"},
    {"adcx", "660f38f6c1"},
    {"adox", "f30f38f6c1"},
    {"andn", "c4e270f2c1"},
    {"rorx", "c4e37bf0c101"},
    {"AVX vaddps", "c5f058c1"},
    {"AVX vaddps of memory", "c5f05800"},
    {"AVX vzeroupper", "c5f877"},
    {"AVX vmovups", "c5fc1000"},
    {"AVX2 vpaddd", "c5f5fec1"},
    {"AVX-512 vaddps", "62f1744858c1"},
    {"FMA", "c4e27198c1"},
    {"les of a register", "c4c8"},
    {"lds of a register", "c5c8"},
    {"bound of a register", "62c8"},
    {"SSE4A extrq", "660f79c1"},
    {"SSE4A insertq", "f20f79c1"},
    {"SSE4A movntss", "f30f2b00"},
    {"SSE4A movntsd", "f20f2b00"},
    {"3DNow! femms", "0f0e"},
    {"3DNow! pfadd", "0f0fc19e"},
    {"prefetchw", "0f0d08"},
    {"rdrand", "0fc7f0"},
    {"rdseed", "0fc7f8"},
    {"rdpid", "f30fc7f8"},
    {"rdtscp", "0f01f9"},
    {"rdfsbase", "f30faec0"},
    {"clflush", "0fae38"},
    {"clflushopt", "660fae38"},
    {"clwb", "660fae30"},
    {"xsave", "0fae20"},
    {"xrstor", "0fae28"},
    {"xsaveopt", "0fae30"},
    {"xsavec", "0fc720"},
    {"xgetbv", "0f01d0"},
    {"xsetbv", "0f01d1"},
    {"monitor", "0f01c8"},
    {"mwait", "0f01c9"},
    {"clac", "0f01ca"},
    {"stac", "0f01cb"},
    {"xend", "0f01d5"},
    {"xtest", "0f01d6"},
    {"rdpkru", "0f01ee"},
    {"invpcid", "660f388200"},
    {"vmcall", "0f01c1"},
    {"vmlaunch", "0f01c2"},
    {"vmptrld", "0fc730"},
    {"vmxon", "f30fc730"},
    {"vmread", "0f78c1"},
    {"invept", "660f388000"},
    {"vmrun", "0f01d8"},
    {"vmmcall", "0f01d9"},
    {"vmload", "0f01da"},
    {"stgi", "0f01dc"},
    {"skinit", "0f01de"},
    {"getsec", "0f37"},
    {"rsm", "0faa"},
    {"syscall", "0f05"},
    {"rdsspd", "f30f1ec8"},
    {"bndmk", "f30f1b00"},
    {"ud0", "0fffc0"},
    {"ud1", "0fb9c0"},
    {"wbnoinvd", "f30f09"},
};

enum { COUNT = sizeof instructions / sizeof *instructions, RETURN = 0xC3, UNDEFINED = 6 };

static uint8_t code[32], operand[1024] __attribute__((aligned(64)));

static uint8_t digit(char character)
{
    return (uint8_t)(character <= '9' ? character - '0' : character - 'a' + 10);
}

static void run(void)
{
    uint32_t eax = (uint32_t)operand, ecx = 1;

    __asm__ volatile("call *%2" : "+a"(eax), "+c"(ecx) : "r"(code) : "ebx", "edx", "esi", "memory", "cc");
}

static void execute(const char *name, const char *text)
{
    uint32_t size = 0;

    for (; text[0] != '\0'; text += 2) {
        code[size++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
    }
    code[size] = RETURN;
    if (!raises(run)) {
        kprintf("%s: executed\n", name);
    } else if (last_trap.vector == UNDEFINED) {
        kprintf("%s: undefined%s\n", name, last_trap.eip == (uint32_t)code ? "" : ", at another instruction");
    } else {
        kprintf("%s: vector %x\n", name, last_trap.vector);
    }
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    traps_init();
    __asm__ volatile("movl %%cr4, %%eax; orl $0x600, %%eax; movl %%eax, %%cr4; movl %%cr0, %%eax; andl $~4, %%eax;"
                     "orl $2, %%eax; movl %%eax, %%cr0; fninit" ::: "eax");
    for (uint32_t i = 0; i < COUNT; i++) {
        execute(instructions[i].name, instructions[i].code);
    }
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
