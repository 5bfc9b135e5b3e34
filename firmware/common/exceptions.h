/* CPU exceptions: reported, then the run ends. */

#ifndef COMMON_EXCEPTIONS_H
#define COMMON_EXCEPTIONS_H

/* Loads an IDT that reports the 32 CPU exceptions. Interrupts stay off: no other vector is set. */
void exceptions_init(void);

#endif
