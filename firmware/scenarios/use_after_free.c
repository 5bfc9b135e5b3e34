/*
 * Theory of operation
 *
 * A freed block's body begins with the free list's link. Who still writes there aims the list at nowhere. The
 * write itself goes unnoticed; the calls that follow show the damage, and none of them hangs.
 *
 * Shortcomings
 *
 * The heap stays as it is at the end: with a broken list nothing can be given back.
 */

#include "scenarios/litecore.h"

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore use_after_free: a write that comes too late\n");

    section("Three blocks, the middle one is freed");
    char *first = kmalloc(64);
    char *message = kmalloc(64);
    char *last = kmalloc(64);
    kprintf("  first %p, message %p, last %p\n", (void *)first, (void *)message, (void *)last);
    kfree(message);
    heap_print();
    check(mem_has_space(MEM_TYPE_HEAP, 1000), "there is room for 1000 bytes");

    section("Somebody still writes to it");
    memcpy(message, "too late", 8);
    kprintf("  the link in the freed block is now 0x%08x\n", *(uint32_t *)message);
    heap_print();

    section("What the next calls see");
    check(!mem_has_space(MEM_TYPE_HEAP, 1000), "the rest of the heap is out of reach");
    check(kmalloc(1000) == NULL, "kmalloc(1000) is NULL");
    check(kmalloc(64) == message, "kmalloc(64) still finds the freed block itself");
    check((uint32_t)heap_free_list == 0x206f6f74, "and the free list now begins with the text that was written");
    check(kmalloc(8) == NULL, "nothing can be had any more");
    kfree(first);
    kfree(last);
    check(heap_error_count == 2, "nor given back: kfree does not follow such a list");
    heap_print();
    finish();
}
