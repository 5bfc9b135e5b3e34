/* Numbers of call stacks: equal stacks have the same number. */
#ifndef KMEMU_STACK_NUMBERS_H
#define KMEMU_STACK_NUMBERS_H

#include "record/unwinding.h"

int kc_stack_numbers_init(kc *m);
void kc_stack_numbers_free(kc *m);

/* The number of a stack; `call` is noted if it is a new one. 0: no memory, and kc_no_memory() was called. */
uint32_t kc_stack_number(kc *m, struct backtrace *backtrace, uint32_t call);
/* The same of one that is not a call's; kc_stack_count() does not count it. */
uint32_t kc_stack_of_other(kc *m, const struct backtrace *backtrace);
/* The same, if it has one already; 0: it has none. */
uint32_t kc_known_stack_of_other(const kc *m, const struct backtrace *backtrace);
/* Do allocations with this stack get no numbers? */
bool kc_stack_is_passed(const kc *m, uint32_t stack);

#endif
