/* One run: how it ends, and where the machine stands then. */
#ifndef KMEMU_RUN_H
#define KMEMU_RUN_H

#include "machine.h"

/* How far the probes of an instruction were reached. */
struct reached {
    uint32_t identity, address; /* of the last one; identity 0: the machine stands at none */
    bool recorded_entry;        /* it is the entry of a recorded function: those come first */
};

/* What a snapshot keeps. */
struct kept_run {
    struct reached at;      /* stopped at an event, at this probe; others of its instruction may follow */
    bool has_rest;          /* the last run has left the rest of a block at: */
    uint32_t rest_at, rest_left; /* and its instructions; 0: not known */
    uint64_t spin_look_ns;  /* virtual time at which it is looked next whether the guest spins */
    kc_moment fault, fault_before; /* the newest exceptions */
    kc_moment soon;         /* there is something to be looked at before that; instructions UINT64_MAX: there is not */
    kc_moment handler;      /* the newest handler of an interrupt or exception began at its first instruction */
};

struct run {
    struct kept_run kept;
    kc_stop stop;
    bool no_memory;        /* something could not be kept: what is known is not whole any more */
    bool in_out;           /* the run ended at an `out` */
    bool inside_block;     /* the next block is the rest of one */
    bool is_rest;          /* the next block is the rest of one, which was left to be translated in another way */
    uint64_t rest_from, rest_until; /* counts: where that rest begins, and where the block would have ended; 0: there is none */
    bool exactly;          /* translated with checks in the middle of blocks */
    uint32_t observers;    /* who want that for as long as they are there */
    bool steps_over;       /* the probes of the next instruction were reached before */
    bool ends_at_exit;     /* the event that ends the run is one of `ends_at`, a function's `ret` */
    uint64_t budget, slice; /* instructions */
    kc_moment stop_at;      /* instructions UINT64_MAX: never */
    kc_moment passed;       /* up to there nothing stops */
    bool stops_at_faults, tells_all;
    struct reached ends_at;
};

int kc_run_init(kc *m);
void kc_run_free(kc *m);
int kc_run_save(kc *m, void **saved);
int kc_run_restore(kc *m, const void *saved);

/* The record of how this run ends, to be filled in by whoever ends it; NULL: something else has ended it before. The engine
 * goes on: the caller leaves the block in another way. */
kc_stop *kc_ends(kc *m, enum kc_reason reason);
/* End the run at the next block, unless something else has ended it before. */
void kc_end(kc *m, enum kc_reason reason);
/* The same in front of the instruction at a place in translated code, where EIP is exact; 0: of the block that is being translated. It
 * ends there, too, if something else has ended it before. Does not return, but where the engine's CPU is not known. */
void kc_end_before(kc *m, enum kc_reason reason, uintptr_t host_pc);
/* Leave the block in front of the instruction at a place in translated code, where EIP is exact. It comes again, and what is
 * translated for it is the rest of the same block to all who look between blocks. Does not return. */
void kc_restart_instruction(kc *m, uintptr_t host_pc);
/* An instruction of a rest is executed next, at a count: a block that is longer than what it stands for ends here. May not return. */
void kc_end_rest(kc *m, uint64_t count, bool is_first, uintptr_t host_pc);
/* Has the last run ended in the middle of a block? */
static inline bool kc_stands_in_block(const kc *m) { return m->run->kept.has_rest; }
/* The moment in front of an instruction of this run, with so many before it. */
kc_moment kc_moment_at(const kc *m, uint64_t count);
/* Is a moment after another one? */
static inline bool kc_is_later(const kc_moment *moment, const kc_moment *other)
{
    return moment->instructions != other->instructions ? moment->instructions > other->instructions : moment->faults > other->faults;
}
/* A handler begins: of an exception that was raised instead of executing an instruction, or another one. */
void kc_note_handler(kc *m, bool is_fault);
static inline bool kc_begins_handler(const kc *m, const kc_moment *here)
{
    return here->instructions == m->run->kept.handler.instructions && here->faults == m->run->kept.handler.faults;
}
/* From now on each instruction is told, or not any more. */
static inline void kc_tell_all(kc *m, bool yes) { m->run->tells_all = yes; }
/* Does nothing stop at this moment, because the machine stood there when stops were asked for? */
static inline bool kc_is_passed(const kc *m, const kc_moment *here) { return !kc_is_later(here, &m->run->passed); }
/* Let the first instruction at a moment, or later, be told. */
void kc_stop_soon(kc *m, const kc_moment *moment);
/* Has that moment come? Only once. */
bool kc_is_due(kc *m, const kc_moment *here);
/* The count at which the present block ends. */
uint64_t kc_block_end(const kc *m);
/* Is a run to end at this moment? */
bool kc_is_stop(const kc *m, const kc_moment *here);
/* Has each instruction of the block to be told that ends at a count? */
bool kc_has_to_be_told(const kc *m, uint64_t end);
/* The same at an event, a recorded function's entry or exit, that happens at a probe. */
void kc_end_at_event(kc *m, const struct reached *probe, bool is_exit);
/* Something cannot be kept: end this run and all that follow. */
void kc_no_memory(kc *m);
/* From now on a run that is ended ends at the next instruction. */
void kc_stop_exactly(kc *m);
/* The same, until the observer who wants it ends. Whoever calls this drops translated code. */
static inline void kc_observe_exactly(kc *m, bool begins) { m->run->observers += begins ? 1 : -1u; }

static inline void kc_leave_event(kc *m) { m->run->kept.at.identity = 0; }

static inline bool kc_run_goes_on(const kc *m) { return m->run->stop.reason == KC_RUNNING; }
static inline bool kc_steps_over(const kc *m) { return m->run->steps_over; }
static inline bool kc_lacks_memory(const kc *m) { return m->run->no_memory; }

#endif
