/* Exceptions of tasks in ring 3, and page faults in user space. */

#ifndef BTRON_FAULTS_H
#define BTRON_FAULTS_H

#include <stdbool.h>

#include "btron/types.h"
#include "common/exceptions.h"

/*
 * What a region's `handle` is. Asked when its task has touched a page of the region that is not mapped, or not so that
 * it may. `error_code` is the CPU's (SDM volume 3, 6.15, vector 14). E_OK: the task may try again, and the page has
 * been mapped with the right that was missing; anything else ends the task. Runs in the task's context.
 */
typedef ER (*REGION_HANDLER)(ID tskid, VP address, UW error_code);

/*
 * Deals with an exception of the current task in ring 3, or of the kernel where it copies on the task's behalf. True:
 * the task goes on. False: it is the kernel's own. Does not return where it has ended the task.
 */
bool fault_handle(const struct trap_frame *frame);

#endif
