/* The start of a kernel in C++ or Rust, and the functions that their compilers call. */

typedef __SIZE_TYPE__ size_t;

__asm__(".section .multiboot, \"a\"\n"
        ".align 4\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".text\n"
        ".global _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "    mov $stack + 16384, %esp\n"
        "    mov %cr4, %eax\n"
        "    or $0x600, %eax\n" /* SSE, which Rust's libraries use */
        "    mov %eax, %cr4\n"
        "    call kmain\n"
        "    xor %eax, %eax\n"
        "    out %al, $0xf4\n"
        "1:  cli\n"
        "    hlt\n"
        "    jmp 1b\n"
        ".size _start, . - _start\n"
        ".lcomm stack, 16384\n");

void *memcpy(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    if (to < from)
        return memcpy(to, from, size);
    while (size--)
        ((volatile char *)to)[size] = ((const char *)from)[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((volatile char *)to)[i] = (char)byte;
    return to;
}

int memcmp(const void *one, const void *other, size_t size)
{
    const unsigned char *a = one, *b = other;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}
