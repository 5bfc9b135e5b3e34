/* What a task has in user space: of a task for ring 3 (TA_USER) text, data, heap and stack, from cradle to grave. */

#ifndef BTRON_TASK_MEMORY_H
#define BTRON_TASK_MEMORY_H

#include <stdbool.h>

#include "btron/itron.h"

enum {
    USER_HEAP = 0x10000000,
    USER_HEAP_MAX = 0x01000000,  /* bytes; none is mapped at the beginning */
    USER_STACK_END = 0x7FFFF000, /* the page above stays unmapped */
    USER_STACK_MAX = 0x01000000, /* bytes */
    USER_KERNEL_STACK = 4096,    /* bytes of the stack in kernel space that a task for ring 3 has */
};

/* Copies the text of the kernel's user programs to pages that all tasks share. E_NOMEM. */
ER user_text_init(void);

/* Is this an address in the text? */
bool is_user_text(UW address);

/* Does the task run in ring 3? */
bool is_user_task(ID tskid);

/*
 * Makes the space of a new, dormant task, and, if it is for ring 3, its regions. `stack_size` is how far the user stack
 * may grow, in bytes. E_NOMEM, with nothing left behind.
 */
ER task_memory_create(ID tskid, bool user, W stack_size);

/*
 * Makes a dormant task's memory ready for its start: what has gone with its end is made again, and the arguments are
 * on its user stack. E_NOMEM; E_OBJ: another region is in the way; E_MACV: its stack has been unmapped.
 */
ER task_memory_start(ID tskid, INT stacd, VP exinf);

/* The task has ended: gives back all that is mapped in its user space. */
void task_memory_end(ID tskid);

/* The same, and gives the space back. */
void task_memory_delete(ID tskid);

/* Where ESP is when a task begins in ring 3: task_memory_start() has put return address and arguments there. */
UW user_first_esp(void);

/* user_entries.S: goes to ring 3. */
__attribute__((noreturn)) void user_enter(FP start, UW esp);

#endif
