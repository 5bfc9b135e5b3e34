/* Which calls a stack has grown out of, where neither rules nor frame pointers say it. */
#ifndef KMEMU_ANCESTRY_H
#define KMEMU_ANCESTRY_H

#include "record/open_calls.h"

int kc_ancestry_init(kc *m);
void kc_ancestry_free(kc *m);

/* Where the function begins that an address lies in; 0: not known. */
uint32_t kc_function_start(const kc *m, uint32_t address);
/* Can the stack from `esp` on, with the return address `caller` on top, have grown out of an open call further up? */
bool kc_grew_from(kc *m, uint32_t esp, uint32_t caller, const struct open_call *open);
/* The same, out of a function or handler that was entered when its stack ended at `end`. */
bool kc_grew_below(kc *m, uint32_t esp, uint32_t caller, uint32_t entered, uint32_t end);

#endif
