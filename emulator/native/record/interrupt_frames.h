/* Frames that interrupts and exceptions have pushed, on the stacks of all tasks. */
#ifndef KMEMU_INTERRUPT_FRAMES_H
#define KMEMU_INTERRUPT_FRAMES_H

#include "record/slots.h"

/* Where EIP lies in a frame, EIP and CS in it, and where the handler begins. */
struct interrupt_frame { struct slot at; uint32_t eip, cs, handler; };

int kc_interrupt_frames_init(kc *m);
void kc_interrupt_frames_free(kc *m);
int kc_interrupt_frames_save(kc *m, void **saved);
int kc_interrupt_frames_restore(kc *m, const void *saved);

/* How often they have changed. */
uint64_t kc_interrupt_frames_changes(const kc *m);
/* May some that changed after so many changes lie in [esp, esp + size)? */
bool kc_interrupt_frames_changed(const kc *m, uint64_t changes, uint32_t esp, uint32_t size);
/* The lowest frame at or above `from` on the present stack, in which EIP still lies. NULL: none. Valid until they change. */
const struct interrupt_frame *kc_interrupt_frame_above(kc *m, uint32_t from);

#endif
