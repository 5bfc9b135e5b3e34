/*
 * Theory of operation
 *
 * A region is a range of whole pages in a task's user space with a permission. Making one only says what the addresses
 * mean; pages are mapped later (region_pages.c), any of it, in any order, and the region counts them. A page gets a
 * permission when it is mapped, and another when the region does.
 *
 * Each call is its inner function with interrupts off.
 *
 * Shortcomings
 *
 * `min_size` is kept for vsts_reg() and is no promise: a region may hold less. vprt_reg() may make pages writable that
 * another task has lost the permission to write to.
 */

#include "btron/region.h"

#include "btron/critical.h"
#include "btron/itron.h"
#include "btron/space.h"
#include "btron/task.h"
#include "btron/user_pages.h"

#define ACCESSES    (VPROT_READ | VPROT_WRITE | VPROT_EXEC)
#define PERMISSIONS (ACCESSES | VPROT_USER | VPROT_STACK)

bool is_permission(UW permission)
{
    return (permission & ACCESSES) != 0 && (permission & ~(UW)PERMISSIONS) == 0;
}

bool is_user_range(VP start, W size)
{
    return size > 0 && (UW)start < KERNEL_SPACE && (UW)size <= KERNEL_SPACE - (UW)start;
}

bool has_space(ID tskid)
{
    return tcb_table[tskid].state != TASK_NON_EXISTENT && space_table[tskid].directory != 0;
}

/* Does [start, end) overlap a region of the task? */
static bool overlaps(ID tskid, UW start, UW end)
{
    for (UW i = 0; i < REGION_MAX; i++) {
        const struct region *region = &space_table[tskid].regions[i];
        if (region->max_size != 0 && region->start < end && start < region_end(region)) {
            return true;
        }
    }
    return false;
}

/* The lowest free slot; NULL: there is none. */
static struct region *free_slot(ID tskid)
{
    for (UW i = 0; i < REGION_MAX; i++) {
        if (space_table[tskid].regions[i].max_size == 0) {
            return &space_table[tskid].regions[i];
        }
    }
    return NULL;
}

ER region_enter(ID tskid, const struct region *region)
{
    struct region *slot = free_slot(tskid);

    if (overlaps(tskid, region->start, region_end(region))) {
        return E_OBJ;
    }
    if (slot == NULL) {
        return E_NOMEM;
    }
    *slot = *region;
    return E_OK;
}

static ER create(ID tskid, VP start, W min, W max, UW permission, FP handle)
{
    UW offset = (UW)start % PAGE_SIZE;
    struct region region = {
        .start = page_of(start),
        .min_size = (W)round_up((UW)min + offset, PAGE_SIZE),
        .max_size = (W)round_up((UW)max + offset, PAGE_SIZE),
        .permission = permission,
        .handle = handle,
    };

    if (!is_task_id(tskid)) {
        return E_ID;
    }
    if (min <= 0 || max <= 0 || (UW)region.min_size > (UW)region.max_size ||
        !is_user_range((VP)region.start, region.max_size) || !is_permission(permission) ||
        (handle != NULL && !is_kernel_pointer((VP)handle))) {
        return E_PAR;
    }
    return has_space(tskid) ? region_enter(tskid, &region) : E_NOEXS;
}

ER vcre_reg(ID tskid, VP start, W min, W max, UW permission, FP handle)
{
    uint32_t flags = critical_enter();
    ER result = create(tskid, start, min, max, permission, handle);
    critical_leave(flags);
    return result;
}

ER region_find(ID tskid, VP address, struct region **region)
{
    if (!is_task_id(tskid)) {
        return E_ID;
    }
    if (!is_user_range(address, 1)) {
        return E_PAR;
    }
    if (!has_space(tskid)) {
        return E_NOEXS;
    }
    *region = region_at(tskid, (UW)address);
    return *region != NULL ? E_OK : E_PAR;
}

ER vdel_reg(ID tskid, VP start)
{
    uint32_t flags = critical_enter();
    struct region *region;
    ER result = region_find(tskid, start, &region);

    if (result == E_OK) {
        region_remove(tskid, region);
    }
    critical_leave(flags);
    return result;
}

static ER protect(ID tskid, VP start, UW permission)
{
    struct region *region;

    if (is_task_id(tskid) && !is_permission(permission)) {
        return E_PAR;
    }
    ER result = region_find(tskid, start, &region);
    if (result == E_OK) {
        user_protect(space_table[tskid].directory, region->start, region_end(region), region_protection(permission));
        region->permission = permission;
    }
    return result;
}

ER vprt_reg(ID tskid, VP start, UW permission)
{
    uint32_t flags = critical_enter();
    ER result = protect(tskid, start, permission);
    critical_leave(flags);
    return result;
}

static ER state(ID tskid, VP start, T_REGION *pk_region)
{
    struct region *region;

    if (is_task_id(tskid) && !is_kernel_pointer(pk_region)) {
        return E_PAR;
    }
    ER result = region_find(tskid, start, &region);
    if (result == E_OK) {
        *pk_region = (T_REGION){
            .start_addr = (VP)region->start,
            .min_size = region->min_size,
            .max_size = region->max_size,
            .permission = region->permission,
            .handle = region->handle,
        };
    }
    return result;
}

ER vsts_reg(ID tskid, VP start, T_REGION *pk_region)
{
    uint32_t flags = critical_enter();
    ER result = state(tskid, start, pk_region);
    critical_leave(flags);
    return result;
}
