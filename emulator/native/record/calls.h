/* The record of calls: a row for each call of a recorded function. */
#ifndef KMEMU_CALLS_H
#define KMEMU_CALLS_H

#include "core/run.h"
#include "record/unwinding.h"

int kc_calls_init(kc *m);
void kc_calls_free(kc *m);
int kc_calls_save(kc *m, void **saved);
int kc_calls_restore(kc *m, const void *saved);
void kc_calls_forget(void *saved);

/* Number of the present recording, from 1; 0: no calls are recorded. */
uint32_t kc_recording(const kc *m);
/* A recorded function is entered or left, or the next instruction is the entry of one, reached by a jump. */
void kc_call_entered(kc *m, const struct reached *probe, uint32_t entry, uint32_t esp);
void kc_call_left(kc *m, const struct reached *probe, uint32_t esp);
void kc_call_jumps(kc *m, bool yes);

/* Is a recorded call open on the present stack, of which this is a backtrace, and has no interrupt come after it? */
bool kc_is_in_call(kc *m, const struct backtrace *backtrace);

/* Where the function of an entry begins, and whether one begins at an address. */
uint32_t kc_recorded_start(const kc *m, uint32_t entry);
bool kc_is_recorded_start(const kc *m, uint32_t address);

#endif
