/*
 * Theory of operation
 *
 * A call's arguments are words in user space. They are copied once, and only the copies are used, so that nobody can
 * change them after they have been checked. Results go to a variable of the kernel, and from there to user space: a
 * task's own space is only there while it runs.
 *
 * A pointer is checked against the task's regions, mapped or not: what is not mapped yet is then mapped by the page
 * fault of the copy, as if the task had touched it itself. What is mapped for the kernel only would not fault there, so
 * that is checked, too.
 *
 * Calls that change regions are checked and made with interrupts off, so that what they lead to is what was checked. A
 * task can give rights to its own pages only: neither to the kernel's in its user space nor to those that others have.
 *
 * Shortcomings
 *
 * Pools are for the kernel's own tasks: their blocks lie in kernel space. So are vshr_reg(), vget_reg() and
 * vput_reg(), which reach into other spaces.
 */

#include "btron/user_calls.h"

#include "btron/critical.h"
#include "btron/pmem.h"
#include "btron/region.h"
#include "btron/space.h"
#include "btron/task.h"
#include "btron/task_memory.h"
#include "btron/user_pages.h"
#include "common/console.h"

enum { ARGUMENTS_MAX = 6 };

/* May ring 3 use [address, address + size) with `permission`? E_MACV. */
static ER check(UW address, W size, UW permission)
{
    ER result = space_check(current_task, (VP)address, size, permission | VPROT_USER);

    for (UW page = page_of((VP)address); result == E_OK && page < address + (UW)size; page += PAGE_SIZE) {
        UW entry = space_entry(current_task, (VP)page);
        result = entry == 0 || (entry & PAGE_USER) != 0 ? E_OK : E_MACV;
    }
    return result;
}

static ER copy_in(VP to, UW from, W size)
{
    ER result = check(from, size, VPROT_READ);

    if (result == E_OK) {
        user_copy(to, (const void *)from, (UW)size);
    }
    return result;
}

/* May the task change what it has at the address in `arguments`? E_OACV. */
static ER check_own(const UW *arguments)
{
    if ((ID)arguments[0] != current_task || is_user_text(arguments[1])) {
        return E_OACV;
    }
    const struct region *region = region_at(current_task, arguments[1]);
    return region == NULL || (region->permission & VPROT_USER) != 0 ? E_OK : E_OACV;
}

/* Would `permission` give the task a right to a page of the region that is the kernel's, or to write to others'? */
static bool takes_rights(const struct region *region, UW permission)
{
    UW directory = space_directory(current_task);
    UW end = region_end(region);

    for (UW page = user_next_mapped(directory, region->start, end); page < end;
         page = user_next_mapped(directory, page + PAGE_SIZE, end)) {
        UW entry = *user_entry(directory, page);
        UW gained = region_protection(permission) & ~entry;
        bool is_shared = pmem_table[entry / PAGE_SIZE].refcount > 1;
        if ((gained & PAGE_USER) != 0 || ((gained & PAGE_WRITABLE) != 0 && is_shared)) {
            return true;
        }
    }
    return false;
}

static ER call_ext_tsk(const UW *arguments)
{
    (void)arguments;
    ext_tsk();
}

static ER call_slp_tsk(const UW *arguments)
{
    (void)arguments;
    return slp_tsk();
}

static ER call_wup_tsk(const UW *arguments)
{
    return wup_tsk((ID)arguments[0]);
}

static ER call_get_tid(const UW *arguments)
{
    ER result = check(arguments[0], sizeof(ID), VPROT_WRITE);
    ID own = current_task;

    if (result == E_OK) {
        user_copy((VP)arguments[0], &own, sizeof own);
    }
    return result;
}

static ER call_put_con(const UW *arguments)
{
    char text[PUT_CON_MAX + 1];
    W size = (W)arguments[1];

    if (size < 1 || size > PUT_CON_MAX) {
        return E_PAR;
    }
    ER result = copy_in(text, arguments[0], size);
    if (result == E_OK) {
        text[size] = '\0';
        console_write(text);
    }
    return result;
}

static ER call_vcre_reg(const UW *arguments)
{
    if (arguments[5] != 0) {
        return E_PAR;
    }
    return vcre_reg((ID)arguments[0], (VP)arguments[1], (W)arguments[2], (W)arguments[3], arguments[4], NULL);
}

static ER call_vdel_reg(const UW *arguments)
{
    return vdel_reg((ID)arguments[0], (VP)arguments[1]);
}

static ER call_vmap_reg(const UW *arguments)
{
    return vmap_reg((ID)arguments[0], (VP)arguments[1], (W)arguments[2], arguments[3]);
}

static ER call_vunm_reg(const UW *arguments)
{
    return vunm_reg((ID)arguments[0], (VP)arguments[1], (W)arguments[2]);
}

static ER call_vprt_reg(const UW *arguments)
{
    const struct region *region = region_at(current_task, arguments[1]);

    if (region != NULL && takes_rights(region, arguments[2])) {
        return E_OACV;
    }
    return vprt_reg((ID)arguments[0], (VP)arguments[1], arguments[2]);
}

static ER call_vsts_reg(const UW *arguments)
{
    T_REGION region;

    if ((ID)arguments[0] != current_task) {
        return E_OACV;
    }
    ER result = check(arguments[2], sizeof region, VPROT_WRITE);
    if (result == E_OK) {
        result = vsts_reg((ID)arguments[0], (VP)arguments[1], &region);
    }
    if (result == E_OK) {
        user_copy((VP)arguments[2], &region, sizeof region);
    }
    return result;
}

static const struct {
    ER (*call)(const UW *arguments);
    W count_arguments;
    bool changes_regions;
} user_calls[] = {
    [USER_EXT_TSK] = {call_ext_tsk, 0, false},  [USER_SLP_TSK] = {call_slp_tsk, 0, false},
    [USER_WUP_TSK] = {call_wup_tsk, 1, false},  [USER_GET_TID] = {call_get_tid, 1, false},
    [USER_PUT_CON] = {call_put_con, 2, false},  [USER_VCRE_REG] = {call_vcre_reg, 6, true},
    [USER_VDEL_REG] = {call_vdel_reg, 2, true}, [USER_VMAP_REG] = {call_vmap_reg, 4, true},
    [USER_VUNM_REG] = {call_vunm_reg, 3, true}, [USER_VPRT_REG] = {call_vprt_reg, 3, true},
    [USER_VSTS_REG] = {call_vsts_reg, 3, false},
};

/* Makes a call that changes a region, if it is the task's own. */
static ER change_regions(UW number, const UW *arguments)
{
    uint32_t flags = critical_enter();
    ER result = check_own(arguments);

    if (result == E_OK) {
        result = user_calls[number].call(arguments);
    }
    critical_leave(flags);
    return result;
}

/* Called by user_entries.S, on the task's kernel stack, with interrupts on. */
ER user_call(UW number, UW block);

ER user_call(UW number, UW block)
{
    UW arguments[ARGUMENTS_MAX];

    if (number >= sizeof user_calls / sizeof *user_calls || user_calls[number].call == NULL) {
        return E_RSFN;
    }
    W size = user_calls[number].count_arguments * (W)sizeof(UW);
    ER result = size == 0 ? E_OK : copy_in(arguments, block, size);
    if (result != E_OK) {
        return result;
    }
    return user_calls[number].changes_regions ? change_regions(number, arguments) : user_calls[number].call(arguments);
}
