/* Step logs: each instruction of a run with its accesses. Python reaches them through core.h. */
#ifndef KMEMU_STEP_LOGS_H
#define KMEMU_STEP_LOGS_H

#include "machine.h"

int kc_step_logs_init(kc *m);
void kc_step_logs_free(kc *m);

#endif
