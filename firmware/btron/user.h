/*
 * For user programs: the calls that they may make (user_calls.h), and where their code and data go.
 *
 * A program is C whose functions are USER_TEXT and whose variables are USER_DATA. Everything else is the kernel's, and
 * out of its reach: functions that are not, text in quotes, and what the compiler puts into tables for `switch`.
 */

#ifndef BTRON_USER_H
#define BTRON_USER_H

#include "btron/user_calls.h"

#define USER_TEXT __attribute__((section(".user_text")))
#define USER_DATA __attribute__((section(".user_data")))

/* The first instruction of the text: a program that returns comes here. */
__asm__(".section .user_text.exit, \"ax\", @progbits\n"
        ".globl user_exit\n"
        ".type user_exit, @function\n"
        "user_exit: movl $1, %eax; int $0x40\n"
        ".size user_exit, . - user_exit\n"
        ".text\n");

_Static_assert(USER_EXT_TSK == 1 && USER_CALL_VECTOR == 0x40, "user_exit");

#define USER_CALL static inline __attribute__((always_inline)) ER

/* The arguments are volatile, so that the compiler writes them word by word and not from a table in the kernel. */
USER_CALL user_call_with(UW number, const volatile UW *arguments)
{
    ER result;

    __asm__ volatile("int %2" : "=a"(result) : "0"(number), "i"(USER_CALL_VECTOR), "b"(arguments) : "memory");
    return result;
}

USER_CALL user_call_2(UW number, UW first, UW second)
{
    volatile UW arguments[2];

    arguments[0] = first;
    arguments[1] = second;
    return user_call_with(number, arguments);
}

USER_CALL user_call_3(UW number, UW first, UW second, UW third)
{
    volatile UW arguments[3];

    arguments[0] = first;
    arguments[1] = second;
    arguments[2] = third;
    return user_call_with(number, arguments);
}

USER_CALL user_call_4(UW number, UW first, UW second, UW third, UW fourth)
{
    volatile UW arguments[4];

    arguments[0] = first;
    arguments[1] = second;
    arguments[2] = third;
    arguments[3] = fourth;
    return user_call_with(number, arguments);
}

/* As the calls of itron.h. */
USER_CALL user_ext_tsk(void)
{
    return user_call_with(USER_EXT_TSK, NULL);
}

USER_CALL user_slp_tsk(void)
{
    return user_call_with(USER_SLP_TSK, NULL);
}

USER_CALL user_wup_tsk(ID tskid)
{
    return user_call_2(USER_WUP_TSK, (UW)tskid, 0);
}

USER_CALL user_get_tid(ID *p_tskid)
{
    return user_call_2(USER_GET_TID, (UW)p_tskid, 0);
}

USER_CALL user_put_con(const char *text, INT size)
{
    return user_call_2(USER_PUT_CON, (UW)text, (UW)size);
}

USER_CALL user_vcre_reg(ID tskid, VP start, W min, W max, UW permission, FP handle)
{
    volatile UW arguments[6];

    arguments[0] = (UW)tskid;
    arguments[1] = (UW)start;
    arguments[2] = (UW)min;
    arguments[3] = (UW)max;
    arguments[4] = permission;
    arguments[5] = (UW)handle;
    return user_call_with(USER_VCRE_REG, arguments);
}

USER_CALL user_vdel_reg(ID tskid, VP start)
{
    return user_call_2(USER_VDEL_REG, (UW)tskid, (UW)start);
}

USER_CALL user_vmap_reg(ID tskid, VP start, W size, UW access)
{
    return user_call_4(USER_VMAP_REG, (UW)tskid, (UW)start, (UW)size, access);
}

USER_CALL user_vunm_reg(ID tskid, VP start, W size)
{
    return user_call_3(USER_VUNM_REG, (UW)tskid, (UW)start, (UW)size);
}

USER_CALL user_vprt_reg(ID tskid, VP start, UW permission)
{
    return user_call_3(USER_VPRT_REG, (UW)tskid, (UW)start, permission);
}

USER_CALL user_vsts_reg(ID tskid, VP start, T_REGION *pk_region)
{
    return user_call_3(USER_VSTS_REG, (UW)tskid, (UW)start, (UW)pk_region);
}

#endif
