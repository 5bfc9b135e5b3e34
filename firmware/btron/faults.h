/* Exceptions of tasks in ring 3, and page faults in user space. */

#ifndef BTRON_FAULTS_H
#define BTRON_FAULTS_H

#include <stdbool.h>

#include "common/exceptions.h"

/*
 * Deals with an exception of the current task in ring 3, or of the kernel where it copies on the task's behalf. True:
 * the task goes on. False: it is the kernel's own. Does not return where it has ended the task.
 */
bool fault_handle(const struct trap_frame *frame);

#endif
