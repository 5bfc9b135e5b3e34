/* The entry of kernels that call start(EAX, EBX), and what they print with on COM1. */

typedef unsigned int u32;
typedef unsigned char u8;

__asm__(".text\n"
        ".globl _start\n"
        "_start: movl $stack_end, %esp\n"
        " pushl %ebx\n"
        " pushl %eax\n"
        " call start\n"
        ".bss\n"
        ".balign 16\n"
        " .skip 8192\n"
        "stack_end:\n"
        ".text\n");

static void out(unsigned short port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void text(const char *s)
{
    while (*s)
        out(0x3f8, (u8)*s++);
}

static void hex(u32 value)
{
    out(0x3f8, ' ');
    for (int shift = 28; shift >= 0; shift -= 4)
        out(0x3f8, (u8)"0123456789abcdef"[value >> shift & 15]);
}
