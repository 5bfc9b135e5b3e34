/*
 * Theory of operation
 *
 * Each task has a page directory of its own. Its upper half is a copy of page_directory's, which does not change once
 * the kernel has started, so kernel space is the same in all of them. Its lower half is user space: eight slots for
 * regions say what addresses mean something, tables of pages what is there (user_pages.c).
 *
 * Every call works with interrupts off.
 *
 * Shortcomings
 *
 * Interrupts stay off for as long as it takes to clear and map what a call is about. The i386 has no permission to read
 * or to execute: what is mapped can be read and executed.
 */

#include "btron/space.h"

#include "btron/critical.h"
#include "btron/paging_bits.h"
#include "btron/pmem.h"
#include "btron/user_pages.h"
#include "common/physical.h"
#include "common/string.h"

#define USER_HALF (KERNEL_DIRECTORY_INDEX * sizeof(UW)) /* bytes of a directory */

extern UW page_directory[1024]; /* start.S */

struct space space_table[TASK_MAX + 1];

/* space_create() of what may be a task, with interrupts off. */
static ER create(ID tskid)
{
    if (space_table[tskid].directory != 0) {
        return E_OBJ;
    }
    B *directory = pmem_alloc(PAGE_SIZE);
    if (directory == NULL) {
        return E_NOMEM;
    }
    memset(directory, 0, USER_HALF);
    memcpy(directory + USER_HALF, &page_directory[KERNEL_DIRECTORY_INDEX], PAGE_SIZE - USER_HALF);
    space_table[tskid].directory = physical_of(directory);
    return E_OK;
}

ER space_create(ID tskid)
{
    if (!is_task_id(tskid)) {
        return E_ID;
    }
    uint32_t flags = critical_enter();
    ER result = create(tskid);
    critical_leave(flags);
    return result;
}

void space_clear(ID tskid)
{
    if (!is_task_id(tskid)) {
        return;
    }
    uint32_t flags = critical_enter();
    for (UW i = 0; i < REGION_MAX; i++) {
        region_remove(tskid, &space_table[tskid].regions[i]);
    }
    critical_leave(flags);
}

void space_delete(ID tskid)
{
    if (!is_task_id(tskid)) {
        return;
    }
    uint32_t flags = critical_enter();
    if (space_table[tskid].directory != 0) {
        space_clear(tskid);
        pmem_free(at_physical(space_table[tskid].directory), PAGE_SIZE);
        space_table[tskid].directory = 0;
    }
    critical_leave(flags);
}

UW space_directory(ID tskid)
{
    UW directory = is_task_id(tskid) ? space_table[tskid].directory : 0;

    return directory != 0 ? directory : physical_of(page_directory);
}

UW space_entry(ID tskid, VP address)
{
    if (!is_task_id(tskid) || is_kernel_pointer(address)) {
        return 0;
    }
    uint32_t flags = critical_enter();
    UW directory = space_table[tskid].directory;
    const UW *entry = directory != 0 ? user_entry(directory, (UW)address) : NULL;
    UW word = entry != NULL && (*entry & PAGE_PRESENT) != 0 ? *entry : 0;
    critical_leave(flags);
    return word;
}

struct region *region_at(ID tskid, UW address)
{
    for (UW i = 0; i < REGION_MAX; i++) {
        struct region *region = &space_table[tskid].regions[i];
        if (region->max_size != 0 && address - region->start < (UW)region->max_size) {
            return region;
        }
    }
    return NULL;
}

void region_remove(ID tskid, struct region *region)
{
    if (region->max_size != 0) {
        user_unmap(space_table[tskid].directory, region->start, region_end(region));
        *region = (struct region){0};
    }
}

UW region_protection(UW permission)
{
    return ((permission & VPROT_WRITE) != 0 ? PAGE_WRITABLE : 0) | ((permission & VPROT_USER) != 0 ? PAGE_USER : 0);
}

/* space_check() of a range of user space. */
static ER check_range(ID tskid, UW start, UW end, UW permission)
{
    for (UW address = start; address < end;) {
        const struct region *region = region_at(tskid, address);
        if (region == NULL || (permission & ~region->permission) != 0) {
            return E_MACV;
        }
        address = region_end(region);
    }
    return E_OK;
}

ER space_check(ID tskid, VP start, W size, UW permission)
{
    UW first = (UW)start;

    if (!is_task_id(tskid) || size < 0 || first >= KERNEL_SPACE || (UW)size > KERNEL_SPACE - first) {
        return E_MACV;
    }
    uint32_t flags = critical_enter();
    ER result = check_range(tskid, first, first + (UW)size, permission);
    critical_leave(flags);
    return result;
}

/* region_grow() of a task that exists, with interrupts off. */
static ER grow(ID tskid, UW page)
{
    struct region *region = region_at(tskid, page);
    UW directory = space_table[tskid].directory;

    if (region == NULL || (region->permission & VPROT_STACK) == 0 || user_is_mapped(directory, page, 0)) {
        return E_PAR;
    }
    ER result = user_add_page(directory, page, region_protection(region->permission));
    if (result == E_OK) {
        region->size += PAGE_SIZE;
    }
    return result;
}

ER region_grow(ID tskid, VP address)
{
    if (!is_task_id(tskid)) {
        return E_PAR;
    }
    uint32_t flags = critical_enter();
    ER result = grow(tskid, (UW)address & ~(PAGE_SIZE - 1));
    critical_leave(flags);
    return result;
}
