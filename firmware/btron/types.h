/* Types, constants and error numbers of ITRON 3.0, as the whole kernel uses them. */

#ifndef BTRON_TYPES_H
#define BTRON_TYPES_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

typedef int8_t B;
typedef int32_t W;
typedef uint32_t UW;
typedef void *VP;
typedef int32_t INT;
typedef int32_t ER;
typedef int32_t ID;
typedef int32_t TMO; /* ms */
typedef int32_t PRI;
typedef uint32_t ATR;
typedef void (*FP)(INT stacd, VP exinf); /* a task */

/* uITRON 3.0 numbers; 4.0 has others. */
enum {
    E_OK = 0,
    E_SYS = -5,
    E_NOMEM = -10,
    E_NOSPT = -17,
    E_RSFN = -20,
    E_RSATR = -24,
    E_PAR = -33,
    E_ID = -35,
    E_NOEXS = -52,
    E_OBJ = -63,
    E_MACV = -65,
    E_OACV = -66,
    E_CTX = -69,
    E_QOVR = -73,
    E_DLT = -81,
    E_TMOUT = -85,
    E_RLWAI = -86,
};

enum { TMO_POL = 0, TMO_FEVR = -1 };
enum { TA_TFIFO = 0, TA_TPRI = 1 }; /* order of waiting tasks */
enum { TA_ASM = 0, TA_HLNG = 1 };   /* language of a task: all the same here */
enum { TA_USER = 0x100 };           /* a task that runs in ring 3 */

#define PAGE_SIZE    4096u
#define KERNEL_SPACE 0x80000000u /* physical memory, as the kernel maps it; also a limit on its size */

/* May a caller of the kernel pass this as the address of a packet or a result? User space is not the kernel's. */
static inline bool is_kernel_pointer(const void *p)
{
    return (UW)p >= KERNEL_SPACE;
}

/* `value` rounded up to a multiple of `unit`, a power of 2. May wrap to 0. */
static inline UW round_up(UW value, UW unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

#endif
