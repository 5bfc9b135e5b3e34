/*
 * Theory of operation
 *
 * Eight bytes too many are written to a block, over the header of the next one. Blocks are found by going from
 * header to header, so the allocator loses the way there: what lies after it cannot be freed.
 *
 * Shortcomings
 *
 * The damage is never repaired; that is left to whoever has to find it.
 */

#include "scenarios/litecore.h"

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore overflow: eight bytes too many\n");

    section("Three blocks");
    char *name = kmalloc(24);
    char *victim = kmalloc(40);
    char *bystander = kmalloc(56);
    kprintf("  name %p, victim %p, bystander %p\n", (void *)name, (void *)victim, (void *)bystander);
    heap_draw();
    heap_print();

    section("32 bytes are written to the 24 of the first");
    memset(name, 'A', 32);
    heap_draw();
    heap_print();

    section("Then all three are freed");
    kfree(victim);
    check(heap_error_count == 1, "the victim is refused: its header is gone");
    kfree(bystander);
    check(heap_error_count == 2, "so is the bystander: no way leads to it");
    kfree(name);
    check(heap_error_count == 2, "the culprit itself is freed without a word");
    heap_print();
    check(kmalloc(24) == name, "and its bytes are handed out again");
    check(mem_has_space(MEM_TYPE_HEAP, 1000), "the rest of the heap is still of use");
    finish();
}
