/* One emulated PC, as the rooms of the core share it.
 *
 * The rooms are layers. A file includes headers of its own room and of those to the left of it:
 *
 *     unicorn  ←  core  ←  record  ←  observe  ←  machine.c            analysis: includes nothing, any may include it
 *
 * unicorn knows the engine from inside, and where its CPU keeps things. core is the PC: memory, paging, ports, interrupts, and the
 * run. record keeps calls and call stacks. observe looks at a run: probes, watchpoints, step logs, written pages. machine.c puts a
 * machine together. What happens in a room and concerns one to the right of it is declared in the room's reports.h, and defined by
 * that other room.
 *
 * Each part of a machine is a structure that one file owns (ram.c and snapshots.c are a pair). Most are defined in their file;
 * those that are needed at full speed stand in its header, for the functions there. README.md says who owns what.
 */
#ifndef KMEMU_MACHINE_H
#define KMEMU_MACHINE_H

#include <unicorn/unicorn.h>

#include "analysis/inlined.h"
#include "core.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u
#define PAGE_MASK (PAGE_SIZE - 1)

/* The first four never change once kc_new() has set them. */
struct kc {
    uc_engine *uc;
    void *handle; /* for `python` */
    uint64_t memory_end;
    bool fast, reference; /* neither: the ordinary path of the engine, on our MMU */

    /* unicorn */
    struct engine *engine;
    struct state *state;
    struct counting *counting;
    struct jumps *jumps;
    /* core */
    struct run *run;
    struct limits *limits;
    struct clock *clock;
    struct pic *pic;
    struct pit *pit;
    struct interrupts *interrupts;
    struct ram *ram;
    struct video *video;
    struct snapshots *snapshots;
    struct windows *windows;
    struct directories *directories;
    struct mmu *mmu;
    struct ports *ports;
    struct features *features;
    struct bus *bus;
    struct shadow *shadow;
    struct forks *forks;
    struct kasan *kasan;
    /* record */
    struct calls *calls;
    struct unwinding *unwinding;
    struct interrupt_frames *interrupt_frames;
    struct functions *functions;
    struct stack_numbers *stack_numbers;
    struct blocks *blocks;
    /* observe */
    struct probes *probes;
    struct stops *stops;
    struct watchpoints *watchpoints;
    struct step_logs *step_logs;
    struct written_pages *written_pages;
    struct stale_translations *stale_translations;
    struct null_accesses *null_accesses;
    struct checked_accesses *checked_accesses;
    struct definedness *definedness;
};

/* What a file adds to a machine. Functions that a part does not need are NULL. */
struct part {
    int (*init)(kc *m);  /* 0, or else the machine cannot be made */
    void (*free)(kc *m); /* after an init that has failed or was never called, too */
    /* What a snapshot keeps of the part. save and restore: 0, or else it failed. */
    int (*save)(kc *m, void **saved);
    int (*restore)(kc *m, const void *saved);
    void (*forget)(void *saved); /* NULL is nothing */
};
enum { KC_PARTS = 36 };
extern const struct part kc_parts[KC_PARTS];

/* Of functions that are seldom called: they stay out of those that call them often. */
#define SELDOM __attribute__((noinline, cold))

/* Make room for a part. -1: no memory. */
#define KC_NEW(part) ((part = calloc(1, sizeof *(part))) ? 0 : -1)

extern kc_python python;

#endif
