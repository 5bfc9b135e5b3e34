/* The two interrupt controllers of a PC. */
#ifndef KMEMU_PIC_H
#define KMEMU_PIC_H

#include "machine.h"

int kc_pic_init(kc *m);
void kc_pic_free(kc *m);
int kc_pic_save(kc *m, void **saved);
int kc_pic_restore(kc *m, const void *saved);

/* The CPU takes the interrupt that it is asked for, of whichever controller: its vector. */
uint32_t kc_irq_acknowledge(kc *m);
/* Does an NMI ask the CPU, which takes it whatever its flags are? */
bool kc_nmi_waits(const kc *m);

/* Accesses of 1, 2 or 4 bytes, byte by byte from consecutive ports. */
uint32_t kc_pic_in(kc *m, uint32_t port, int size);
void kc_pic_out(kc *m, uint32_t port, int size, uint32_t value);

/* Has a line asked, and was not served yet? */
bool kc_pic_is_requested(const kc *m, uint32_t line);

#endif
