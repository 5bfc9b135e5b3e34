/* Blocks of memory: see blocks.h. */
#include <stdlib.h>

#include "record/blocks.h"

struct blocks {
    kc_block_function *functions; /* NULL: blocks are not followed */
};

int kc_blocks_open(kc *m, const kc_checking *checks)
{
    kc_block_function *functions = malloc((checks->function_count + 1) * sizeof *functions);

    if (!functions)
        return -1;
    m->blocks->functions = functions;
    return 0;
}

void kc_blocks_close(kc *m)
{
    free(m->blocks->functions);
    m->blocks->functions = NULL;
}

bool kc_block_near(const kc *m, uint64_t physical, kc_block *out, int32_t *distance)
{
    (void)m, (void)physical, (void)out, (void)distance;
    return false;
}

const kc_block *kc_live_blocks(kc *m, uint32_t *count)
{
    (void)m;
    *count = 0;
    return NULL;
}

const kc_block *kc_dead_blocks(kc *m, uint32_t *count) { return kc_live_blocks(m, count); }

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_blocks_save(kc *m, void **out)
{
    (void)m;
    *out = NULL;
    return 0;
}

int kc_blocks_restore(kc *m, const void *saved)
{
    (void)m, (void)saved;
    return 0;
}

void kc_blocks_forget(void *saved) { free(saved); }

int kc_blocks_init(kc *m) { return KC_NEW(m->blocks); }

void kc_blocks_free(kc *m)
{
    if (m->blocks)
        free(m->blocks->functions);
    free(m->blocks);
}
