/* Segments for both rings, and the stack that the CPU changes to when it comes from ring 3. For C and assembly. */

#ifndef BTRON_SEGMENTS_H
#define BTRON_SEGMENTS_H

#define USER_CODE_SELECTOR 0x1B /* with its requested privilege level, 3 */
#define USER_DATA_SELECTOR 0x23

#ifndef __ASSEMBLER__

#include "btron/types.h"

/* Loads a GDT with segments of ring 3 beside those of entry.S, and the TSS. */
void segments_init(void);

/* Where the stack begins on which an interrupt, an exception or a call from ring 3 is served from now on. */
void segments_set_kernel_stack(UW top);

/* FS and GS, which the kernel does not use, as one word: whoever switches between tasks keeps them. */
UW segments_save(void);
void segments_restore(UW saved);

#endif

#endif
