/* The host's segment GS, in which the shadow lies at the guest's addresses while translated code runs. */
#ifndef KMEMU_SHADOW_SEGMENT_H
#define KMEMU_SHADOW_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A load from host memory at this displacement, or up to 127 more, is one from the segment once kc_load_from_segment() has seen it. It has to extend the
 * sign to 64 bits. */
enum { KC_IN_SEGMENT = 0x0e060700 };

/* Let so many loads in some code of the host be from the segment. False: they are not, and no code can have any from now on. */
bool kc_load_from_segment(uint8_t *code, size_t size, uint32_t loads);
bool kc_segment_is_usable(void);
/* The segment of this thread begins there from now on. */
void kc_begin_segment(const void *start);

#endif
