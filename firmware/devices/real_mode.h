/* Real mode, for self-tests in protected mode. */

#ifndef DEVICES_REAL_MODE_H
#define DEVICES_REAL_MODE_H

#define REAL_MODE_CODE 0x8000
#define REAL_MODE_BLOCK 0x7800 /* registers; the stack is below */
#define REAL_MODE_ROUTINE 0x7C00 /* what is called, up to 1 KiB */
#define REAL_MODE_BUFFER 0x70000 /* 64 KiB for what services return */

#ifndef __ASSEMBLER__

#include <stdint.h>

/* Registers of real mode, in the order in which they are popped. */
struct __attribute__((packed)) real_registers {
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint16_t es, fs, ds;
    uint32_t eflags;
};

/* Calls code in real mode, which is copied to REAL_MODE_ROUTINE and ends with `lret`; and puts into *registers what they are then. */
void real_mode_call(const void *code, uint32_t size, struct real_registers *registers);

/* The same with `int vector`. */
static inline void real_mode_interrupt(uint8_t vector, struct real_registers *registers)
{
    const uint8_t code[] = {0xcd, vector, 0xcb};

    real_mode_call(code, sizeof code, registers);
}

enum { REAL_MODE_BUFFER_SEGMENT = REAL_MODE_BUFFER >> 4 };

/* The same as kernels call the BIOS: with EAX, interrupts on, the buffer in DS and ES, and the registers that were set before. */
static inline void real_mode_service(uint8_t vector, uint32_t eax, struct real_registers *registers)
{
    registers->eax = eax;
    registers->ds = registers->es = REAL_MODE_BUFFER_SEGMENT;
    registers->eflags = 0x200;
    real_mode_interrupt(vector, registers);
}

#endif
#endif
