/*
 * Theory of operation
 *
 * Two pools of the kernel's own, one for requests and one for replies, each a chain of free boxes. A request is put
 * into the pool of the replies. Nobody can notice, and the next reply is made of a box that belongs to the requests.
 *
 * Shortcomings
 *
 * What the kernel uses besides is LiteCore's; profile arena.toml names the functions of the pools.
 */

#include "scenarios/litecore.h"

enum { REQUESTS, REPLIES, POOLS };
enum { BOX_BYTES = 64, BOXES = FRAME_SIZE / BOX_BYTES };

struct box {
    struct box *next;
};

static struct box *free_boxes[POOLS];

void box_give(uint32_t pool, void *p)
{
    struct box *box = p;

    box->next = free_boxes[pool];
    free_boxes[pool] = box;
}

void *box_take(uint32_t pool)
{
    struct box *box = free_boxes[pool];

    if (box != NULL) {
        free_boxes[pool] = box->next;
    }
    return box;
}

static void fill_pool(uint32_t pool)
{
    char *frame = (char *)(alloc_frame() * FRAME_SIZE);

    for (uint32_t i = BOXES; i-- > 0;) {
        struct box *box = (struct box *)(frame + i * BOX_BYTES);
        box->next = free_boxes[pool];
        free_boxes[pool] = box;
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_pool: a box in the wrong pool\n");

    section("A request comes and goes, then a reply");
    fill_pool(REQUESTS);
    fill_pool(REPLIES);
    void *request = box_take(REQUESTS);
    box_give(CORRECT ? REQUESTS : REPLIES, request); /* finding: wrong-pool-free */
    void *reply = box_take(REPLIES);
    kprintf("  request %p, reply %p\n", request, reply);
    box_give(REPLIES, reply);
    finish();
}
