/* SIGSEGV: the host's memory that is protected on purpose. */
#ifndef KMEMU_HOST_FAULTS_H
#define KMEMU_HOST_FAULTS_H

#include "machine.h"

/* Is the fault at an address of the host dealt with? If so, the instruction is tried again, or `context` says what comes instead. */
typedef bool kc_on_host_fault(kc *m, uintptr_t address, void *context);

/* Let faults of accesses to [start, start + size) come to a function. -1: there are too many. */
int kc_host_faults_add(kc *m, const void *start, uint64_t size, kc_on_host_fault *on_fault);
/* The machine's ranges are to be given back. */
void kc_host_faults_drop(kc *m);
/* One of them. */
void kc_host_faults_drop_at(kc *m, const void *start);
/* While the process forks no range is added or dropped. */
void kc_host_faults_hold(bool yes);
/* Somebody may have taken SIGSEGV since: be the first again. */
void kc_host_faults_take(void);

#endif
