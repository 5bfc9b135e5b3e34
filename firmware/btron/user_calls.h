/* Calls from ring 3: int 0x40 with the number in EAX and the address of the arguments, one word each, in EBX. */

#ifndef BTRON_USER_CALLS_H
#define BTRON_USER_CALLS_H

#include "btron/itron.h"

enum { USER_CALL_VECTOR = 0x40 };

/*
 * Numbers. Arguments are those of the call of the same name in itron.h. E_RSFN: no such number; E_MACV: the arguments,
 * or what a pointer among them leads to, are not in regions of the task that ring 3 may use so, or are pages that only
 * the kernel may use; E_OACV: a region of another task, one without VPROT_USER, or the text, which belongs to all.
 */
enum {
    USER_EXT_TSK = 1,
    USER_SLP_TSK,
    USER_WUP_TSK,
    USER_GET_TID, /* ID *p_tskid: the task's own id */
    USER_PUT_CON, /* VP text, INT size: prints on the console; E_PAR unless size is 1..PUT_CON_MAX */
    USER_VCRE_REG, /* `handle` has to be NULL, or E_PAR */
    USER_VDEL_REG,
    USER_VMAP_REG,
    USER_VUNM_REG,
    USER_VPRT_REG, /* E_OACV also: the task would get a right to a page of the kernel's, or to write to one of others' */
    USER_VSTS_REG,
};

enum { PUT_CON_MAX = 128 };

/* user_entries.S: the gate's entry. */
void user_call_entry(void);

/*
 * user_entries.S: copies between the kernel and the current task's user space, which has been checked. What cannot be
 * mapped there ends the task (faults.c), and then this does not return.
 */
void user_copy(VP to, const void *from, UW size);

#endif
