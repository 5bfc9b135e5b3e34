/* What the engine's room reports to the rooms on its right, and asks of them: they define these functions. */
#ifndef KMEMU_UNICORN_REPORTS_H
#define KMEMU_UNICORN_REPORTS_H

#include "machine.h"

/* -- core/run.c -- */
/* No block that starts before so many instructions were executed has to be looked at. */
uint64_t kc_next_look(kc *m);
/* May the block at `pc` with `count` instructions be executed? If not, the run is ended. */
bool kc_may_go_on(kc *m, uint32_t pc, uint32_t count);
/* May a run start? */
bool kc_may_run(const kc *m);
/* Has nothing ended the run yet? */
bool kc_goes_on(const kc *m);
/* hlt, and an `out` during which the run was ended: nothing more is executed. */
void kc_on_halt(kc *m);
void kc_on_last_out(kc *m);
/* An exception is raised with this error code. */
void kc_on_error_code(kc *m, uint32_t error_code);
/* The guest asks for what kmemu lacks (KC_SYSENTER), or the engine has failed (a Unicorn error). The caller stops the engine. */
void kc_on_failure(kc *m, int error);
void kc_no_memory(kc *m);
/* The time stamp counter is read: what it says. */
uint64_t kc_next_time_stamp(kc *m);

/* -- core/interrupts.c -- */
/* Does a device ask for an interrupt? */
bool kc_irq_waits(const kc *m);

/* -- record/unwinding.c -- */
/* iret was executed with this ESP. */
void kc_on_iret(kc *m, uint32_t esp);

/* -- observe/probes.c -- */
/* An instruction that has probes is executed next. */
void kc_probes_reached(kc *m, uint32_t address);

#endif
