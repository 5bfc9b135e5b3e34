/* The end of a run: QEMU's isa-debug-exit device. */

#ifndef COMMON_DEBUG_EXIT_H
#define COMMON_DEBUG_EXIT_H

#include <stdint.h>

/* What kernels report. QEMU's exit code is twice the value plus one, so 0..127 are usable. */
enum {
    EXIT_PASSED = 0,
    EXIT_CHECK_FAILED = 1,
    EXIT_EXCEPTION = 2,
};

/* Ends the run with `value`; where the device is missing, halts for ever. */
__attribute__((noreturn)) void debug_exit(uint8_t value);

#endif
