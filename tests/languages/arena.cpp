/* The operators new and delete of a kernel in C++, which write each call to port 0xE9. */

#include "new.hpp"

namespace {

void out(unsigned short port, unsigned char byte)
{
    __asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"(port));
}

void write(size_t word)
{
    out(0xe9, ' ');
    for (int digit = 7; digit >= 0; digit--)
        out(0xe9, "0123456789abcdef"[word >> (4 * digit) & 15]);
}

void log(char letter, size_t a, size_t b, size_t c)
{
    out(0xe9, letter);
    write(a);
    write(b);
    write(c);
    out(0xe9, '\n');
}

}

namespace mm {

class Arena {
public:
    void *alloc(size_t size, size_t align);
    void release(void *block, size_t size, size_t align);

private:
    size_t used = 0;
    alignas(64) char memory[65536];
};

__attribute__((noinline)) void *Arena::alloc(size_t size, size_t align)
{
    size_t start = (used + align - 1) & -align;
    used = start + (size ? size : 1);
    log('A', size, align, (size_t)&memory[start]);
    return &memory[start];
}

__attribute__((noinline)) void Arena::release(void *block, size_t size, size_t align)
{
    if (block != nullptr)
        log('F', (size_t)block, size, align);
}

Arena arena;

}

void *operator new(size_t size) { return mm::arena.alloc(size, 8); }
void *operator new[](size_t size) { return mm::arena.alloc(size, 8); }
void *operator new(size_t size, const nothrow_t &) noexcept { return mm::arena.alloc(size, 8); }
void *operator new(size_t size, align_val_t align) { return mm::arena.alloc(size, (size_t)align); }
void operator delete(void *block) noexcept { mm::arena.release(block, 0, 0); }
void operator delete[](void *block) noexcept { mm::arena.release(block, 0, 0); }
void operator delete(void *block, size_t size) noexcept { mm::arena.release(block, size, 0); }
void operator delete[](void *block, size_t size) noexcept { mm::arena.release(block, size, 0); }
void operator delete(void *block, align_val_t align) noexcept { mm::arena.release(block, 0, (size_t)align); }
void operator delete(void *block, size_t size, align_val_t align) noexcept
{
    mm::arena.release(block, size, (size_t)align);
}
