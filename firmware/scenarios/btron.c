/*
 * Theory of operation
 *
 * A row is a call and what came of it; the name of the error, which is short, stands in front.
 *
 * Shortcomings
 *
 * Results other than error numbers are the scenarios' own business.
 */

#include "scenarios/btron.h"

const char *error_name(ER code)
{
    switch (code) {
    case E_OK:
        return "E_OK";
    case E_NOMEM:
        return "E_NOMEM";
    case E_RSFN:
        return "E_RSFN";
    case E_RSATR:
        return "E_RSATR";
    case E_PAR:
        return "E_PAR";
    case E_ID:
        return "E_ID";
    case E_NOEXS:
        return "E_NOEXS";
    case E_OBJ:
        return "E_OBJ";
    case E_MACV:
        return "E_MACV";
    case E_OACV:
        return "E_OACV";
    case E_CTX:
        return "E_CTX";
    case E_QOVR:
        return "E_QOVR";
    case E_DLT:
        return "E_DLT";
    case E_TMOUT:
        return "E_TMOUT";
    case E_RLWAI:
        return "E_RLWAI";
    default:
        return "?";
    }
}

/* Prints a name, and blanks up to the next column. */
static void print_padded(const char *name)
{
    console_write(name);
    console_write(&"         "[strlen(name)]);
}

void row(const char *call, ER result, ER expected)
{
    console_write(result == expected ? "  ok    " : "  FAIL  ");
    print_padded(error_name(result));
    console_write(call);
    console_write("\n");
    if (result != expected) {
        kprintf("        %s was expected:\n", error_name(expected));
        check(false, call);
    }
}

static void start(ID tskid, PRI priority, FP task, INT stacd, ATR attribute, INT stack_size)
{
    T_CTSK packet = {.tskatr = TA_HLNG | attribute, .task = task, .itskpri = priority, .stksz = stack_size};

    if (cre_tsk(tskid, &packet) != E_OK || sta_tsk(tskid, stacd) != E_OK) {
        check(false, "a task starts");
    }
}

void start_task(ID tskid, PRI priority, FP task, INT stacd)
{
    start(tskid, priority, task, stacd, 0, STACK_BYTES);
}

void start_user_task(ID tskid, PRI priority, FP task, INT stacd)
{
    start(tskid, priority, task, stacd, TA_USER, USER_STACK_BYTES);
}

bool kmem_is_whole(void)
{
    const struct kmem_entry *area = kmem_free_list;

    for (UW i = 0; i < kmem_extent_count; i++) {
        if ((UW)area != kmem_extents[i].start || (UW)area->size != kmem_extents[i].size) {
            return false;
        }
        area = area->next;
    }
    return area == NULL;
}
