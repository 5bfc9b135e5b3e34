/* What BTRON's scenario kernels share: the kernel's calls, and rows of results. */

#ifndef SCENARIOS_BTRON_H
#define SCENARIOS_BTRON_H

#include "btron/boot.h"
#include "btron/itron.h"
#include "btron/kmem.h"
#include "btron/pmem.h"
#include "btron/pools.h"
#include "btron/task.h"
#include "common/console.h"
#include "common/string.h"
#include "scenarios/scenario.h"

enum { STACK_BYTES = 4096, USER_STACK_BYTES = 16 * 4096 };

/* Name of an error number, at most 7 characters; "?" for an unknown one. */
const char *error_name(ER code);

/* Makes a call, prints it with its result, and checks that the result is the expected one. */
#define ROW(expected, call) row(#call, call, expected)
void row(const char *call, ER result, ER expected);

/* `p` as an address to calculate with. */
static inline B *bytes(VP p)
{
    return p;
}

/* Creates and starts a task. A failure is a failed check. */
void start_task(ID tskid, PRI priority, FP task, INT stacd);

/* The same for a user program, which runs in ring 3 on a stack of USER_STACK_BYTES. */
void start_user_task(ID tskid, PRI priority, FP task, INT stacd);

/* Is everything that kmem took from pmem free again, and in as few areas as can be? */
bool kmem_is_whole(void);

#endif
