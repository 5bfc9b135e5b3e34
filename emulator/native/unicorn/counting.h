/* Counting instructions, and starting the engine so that they are counted. */
#ifndef KMEMU_COUNTING_H
#define KMEMU_COUNTING_H

#include "unicorn/engine.h"

#define TAIL 512u /* no translated block of Unicorn has more instructions */

/* The block counted last that may ask; count is 0 where it has been left, and of an instruction counted alone. */
struct last { uint32_t pc; uint16_t count, size; };

/* A place in translated code, and the instruction that it belongs to: to look that up takes longer than to answer at most ports. */
struct place { uintptr_t host_pc; void *tb; uint64_t data[2]; };
enum { PLACES = 64 }; /* 2 ** 6 */

/* The instruction at which the CPU's state was made exact last. */
struct restored { uint32_t block, pc, before; };

/* What code in translated blocks reads and writes, see translation.c. */
struct counter {
    uint64_t executed; /* instructions of blocks that count themselves; a register has them while translated code runs (count_register.c) */
    uint64_t added;    /* see there */
    uint64_t look_at;  /* a block that starts with so many executed, or more, asks */
    struct last last __attribute__((aligned(8)));
};

struct counting {
    struct counter *counter, own; /* where it is; `own`, where it cannot lie in the CPU's state */
    uint64_t others;            /* what is to be added to the count of blocks, modulo 2 ** 64 */
    bool proved, recount;       /* blocks count themselves right; start again and count by hooks */
    bool starts_only;           /* the first block ends the run */
    bool one_by_one;            /* instructions are counted, not blocks */
    uint32_t last_instruction;  /* counted one by one */
    struct restored restored;
    struct { uint32_t pc, icount; } *blocks; /* by hooks */
    struct place places[PLACES], *place; /* those of code that is there; the one that is being looked up */
    bool has_places;             /* translations forget them */
};

int kc_counting_init(kc *m);
void kc_counting_free(kc *m);
/* From now on the counter lies there. */
void kc_counting_move(kc *m, void *place);

/* Count from 0; may call kc_no_memory(). */
void kc_counting_start(kc *m);
/* Between runs the count is 0. */
static inline void kc_counting_end(kc *m) { m->counting->counter->executed = m->counting->others = 0; }
/* Do blocks count themselves? If they cannot after all: end the run, it starts again with hooks. */
bool kc_counts_itself(const kc *m);
void kc_counting_by_hooks(kc *m);
/* A block asks: end the run here if need be. */
void kc_block_starts(kc *m, uint32_t pc, uint32_t count);

/* Run at full speed. exactly: what ends the run ends it at the next instruction, not at the next block. */
int kc_run_fast(kc *m, bool exactly);
/* Run at most `count` instructions, one by one. */
int kc_run_exactly(kc *m, size_t count);

static inline struct counter kc_counter(const kc *m) { return *m->counting->counter; }
static inline void kc_put_counter(kc *m, struct counter counter) { *m->counting->counter = counter; }

/* Instructions of this run. */
static inline uint64_t kc_count(const kc *m) { return m->counting->counter->executed + m->counting->others; }
static inline struct last kc_last_block(const kc *m) { return m->counting->counter->last; }
static inline uint32_t kc_last_instruction(const kc *m) { return m->counting->last_instruction; }
/* Has a block counted itself, and right? */
static inline bool kc_has_counted_itself(const kc *m) { return m->counting->proved; }
static inline bool kc_counts_one_by_one(const kc *m) { return m->counting->one_by_one; }
/* The engine makes the CPU's state exact at an instruction of a block, with so many before it. */
static inline void kc_note_restored(kc *m, uint32_t block, uint32_t pc, uint32_t before)
{
    m->counting->restored = (struct restored){block, pc, before};
}
static inline struct restored kc_restored(const kc *m) { return m->counting->restored; }
/* Code is translated, perhaps where other code was. */
static inline void kc_forget_places(kc *m)
{
    m->counting->has_places = true;
    __builtin_memset(m->counting->places, 0, sizeof m->counting->places);
}
/* Where a place is kept, if any is. */
static inline struct place *kc_place(kc *m, uintptr_t host_pc)
{
    struct counting *c = m->counting;
    return c->has_places && !c->one_by_one ? &c->places[(uint32_t)host_pc * 2654435761u >> 26] : NULL;
}
/* The next instruction whose state is made exact is the one of this place. */
static inline void kc_note_place_at(kc *m, struct place *place, uintptr_t host_pc)
{
    m->counting->place = place;
    if (place)
        place->host_pc = host_pc, place->tb = NULL;
}
static inline void kc_note_place(kc *m, void *tb, const uint64_t *data)
{
    struct place *place = m->counting->place;
    if (place)
        place->tb = tb, place->data[0] = data[0], place->data[1] = data[1];
}
/* The instruction at `pc` was not executed, nor were those after it in its block: do not count them. is_fetched: it could not be. */
void kc_count_up_to(kc *m, uint32_t pc, bool is_fetched);
/* Instructions of this run before the one at which the state was made exact last. */
uint64_t kc_count_here(const kc *m);
/* Correct the count: of an instruction that was counted before it was executed, and of one that was not. */
static inline void kc_count_more(kc *m, int instructions) { m->counting->others += (uint64_t)(int64_t)instructions; }
static inline void kc_put_last_block(kc *m, struct last last) { m->counting->counter->last = last; }
/* A block is left, and has not stored the count. */
static inline void kc_block_ends(kc *m, uint64_t executed)
{
    m->counting->counter->executed = executed;
    m->counting->counter->last.count = 0;
}
/* A signal has come from translated code, in a block of the engine: what it has not stored. */
void kc_counting_catch_up(kc *m, const uint8_t *tb, const void *context);

/* Let the next block ask. */
static inline void kc_look_soon(kc *m) { __atomic_store_n(&m->counting->counter->look_at, 0, __ATOMIC_SEQ_CST); }

#endif
