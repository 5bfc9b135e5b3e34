/* Which calls a stack has grown out of, where neither rules nor frame pointers say it. */
#ifndef KMEMU_ANCESTRY_H
#define KMEMU_ANCESTRY_H

#include "record/open_calls.h"

/* Can the stack from `esp` on, with the return address `caller` on top, have grown out of an open call further up? */
bool kc_grew_from(kc *m, uint32_t esp, uint32_t caller, const struct open_call *open);

#endif
