/*
 * Theory of operation
 *
 * Bulk work is left to the string instructions, a word at a time and the last bytes one by one.
 *
 * Shortcomings
 *
 * Nothing is aligned first: correct on x86, slower where source or destination is odd.
 */

#include "common/string.h"

#include <stdint.h>

void *memset(void *destination, int value, size_t size)
{
    void *to = destination;
    uint32_t word = (uint8_t)value * 0x01010101u;
    uint32_t words = size / 4;
    uint32_t bytes = size % 4;

    __asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(word) : "memory");
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(word) : "memory");
    return destination;
}

void *memcpy(void *restrict destination, const void *restrict source, size_t size)
{
    void *to = destination;
    uint32_t words = size / 4;
    uint32_t bytes = size % 4;

    __asm__ volatile("rep movsl" : "+D"(to), "+S"(source), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(source), "+c"(bytes) : : "memory");
    return destination;
}

void *memmove(void *destination, const void *source, size_t size)
{
    if ((uintptr_t)destination - (uintptr_t)source >= size) {
        return memcpy(destination, source, size); /* copying upwards never meets its own output */
    }
    uint8_t *to = destination;
    const uint8_t *from = source;
    while (size > 0) {
        size--;
        to[size] = from[size];
    }
    return destination;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const uint8_t *a = left;
    const uint8_t *b = right;

    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return a[i] - b[i];
        }
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t size = 0;

    while (text[size] != '\0') {
        size++;
    }
    return size;
}

int strncmp(const char *left, const char *right, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i] || left[i] == '\0') {
            return (uint8_t)left[i] - (uint8_t)right[i];
        }
    }
    return 0;
}
