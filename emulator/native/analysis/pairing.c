/*
 * Which birth and which death belong together, for blocks that each have an address of their own.
 *
 * Theory. The events are followed in order. A hash table knows by address the block that was made there last: its
 * number and how many owners it has. A birth makes a block with one owner, a share adds one, a death takes one away;
 * the block dies with its last owner, or when its address is handed out again, or is forgotten. A deferred death is one
 * that comes once more, when the allocator takes the block.
 */

#include <stdlib.h>

#include "analysis/analysis.h"

enum { BIRTH = 1, DEATH = 2, SHARE = 3, DEFERRED = 4 };

typedef struct {
    uint32_t address, block; /* the block's number, from 1; 0: the entry is free */
    int64_t owners;
    uint32_t deferred; /* deaths that come once more */
} entry;

typedef struct {
    entry *entries;
    uint32_t bits, used;
} table;

static entry *find(const table *t, uint32_t address)
{
    uint32_t mask = (1u << t->bits) - 1, at = address * 2654435769u >> (32 - t->bits);

    while (t->entries[at].block && t->entries[at].address != address)
        at = (at + 1) & mask;
    return &t->entries[at];
}

static bool grow(table *t)
{
    table larger = {NULL, t->bits + 1, t->used};

    larger.entries = calloc(1ull << larger.bits, sizeof(entry));
    if (!larger.entries)
        return false;
    for (uint64_t i = 0; i < 1ull << t->bits; i++)
        if (t->entries[i].block)
            *find(&larger, t->entries[i].address) = t->entries[i];
    free(t->entries);
    *t = larger;
    return true;
}

static bool follow(const kc_block_events *c, table *t, uint32_t *died, uint8_t *taken)
{
    uint32_t block = 0;

    for (uint32_t event = 0; event < c->count; event++) {
        if (!c->kinds[event])
            continue;
        entry *e = find(t, c->address[event]);
        if (c->kinds[event] == BIRTH) {
            if (!e->block) {
                if (t->used >= 1u << (t->bits - 1)) {
                    if (!grow(t))
                        return false;
                    e = find(t, c->address[event]);
                }
                t->used++;
            } else if (died[e->block - 1] > event) {
                died[e->block - 1] = event;
            }
            *e = (entry){c->address[event], ++block, 1, 0};
        } else if (c->kinds[event] == DEATH && e->deferred) {
            e->deferred--;
            taken[event] = 1;
        } else if (e->block && died[e->block - 1] > event) {
            if (c->kinds[event] == SHARE) {
                e->owners++;
                continue;
            }
            taken[event] = 1;
            e->deferred += c->kinds[event] == DEFERRED;
            if (--e->owners == 0)
                died[e->block - 1] = event;
        }
    }
    return true;
}

int kc_pair(const kc_block_events *changes, uint32_t *died, uint8_t *taken)
{
    table t = {calloc(1 << 12, sizeof(entry)), 12, 0};
    bool good = t.entries && follow(changes, &t, died, taken);

    free(t.entries);
    return good ? 0 : -1;
}
