/*
 * Theory of operation
 *
 * What a region holds: fresh pages, pages of the kernel's, or those of another task's region; each mapping is one owner
 * of its page. A call checks everything first, then maps in ascending order, and takes all of it back when no page is
 * left.
 *
 * Each call is its inner function with interrupts off.
 *
 * Shortcomings
 *
 * A region that grows after it was shared grows in its own task only.
 */

#include "btron/critical.h"
#include "btron/itron.h"
#include "btron/region.h"
#include "btron/space.h"
#include "btron/user_pages.h"
#include "common/physical.h"

static UW directory_of(ID tskid)
{
    return space_table[tskid].directory;
}

/* The region that all of [start, start + size) is in; the range becomes whole pages. E_ID, E_PAR, E_NOEXS. */
static ER find_range(ID tskid, VP start, W size, struct region **region, UW *first, UW *end)
{
    if (is_task_id(tskid) && !is_user_range(start, size)) {
        return E_PAR;
    }
    ER result = region_find(tskid, start, region);
    *first = page_of(start);
    *end = round_up((UW)start + (UW)size, PAGE_SIZE);
    return result == E_OK && *end > region_end(*region) ? E_PAR : result;
}

/* May pages be mapped to [start, start + size) with `access`? Results as vmap_reg() without E_NOMEM. */
static ER check_map(ID tskid, VP start, W size, UW access, struct region **region, UW *first, UW *end)
{
    if (is_task_id(tskid) && !is_permission(access)) {
        return E_PAR;
    }
    ER result = find_range(tskid, start, size, region, first, end);
    if (result != E_OK) {
        return result;
    }
    if ((access & ~(*region)->permission) != 0) {
        return E_PAR;
    }
    return user_next_mapped(directory_of(tskid), *first, *end) == *end ? E_OK : E_OBJ;
}

/* Maps fresh pages, or for `pages` != NULL those. */
static ER map(ID tskid, VP start, W size, UW access, B *pages)
{
    struct region *region;
    UW first, end;
    ER result = check_map(tskid, start, size, access, &region, &first, &end);

    if (result != E_OK) {
        return result;
    }
    for (UW page = first; page < end; page += PAGE_SIZE) {
        UW protection = region_protection(access);
        result = pages == NULL ? user_add_page(directory_of(tskid), page, protection)
                               : user_share_page(directory_of(tskid), page, pages + (page - first), protection);
        if (result != E_OK) {
            user_unmap(directory_of(tskid), first, page);
            return result;
        }
    }
    region->size += (W)(end - first);
    return E_OK;
}

ER vmap_reg(ID tskid, VP start, W size, UW access)
{
    uint32_t flags = critical_enter();
    ER result = map(tskid, start, size, access, NULL);
    critical_leave(flags);
    return result;
}

static ER unmap(ID tskid, VP start, W size)
{
    struct region *region;
    UW first, end;
    ER result = find_range(tskid, start, size, &region, &first, &end);

    if (result != E_OK) {
        return result;
    }
    for (UW page = first; page < end; page += PAGE_SIZE) {
        if (!user_is_mapped(directory_of(tskid), page, 0)) {
            return E_OBJ;
        }
    }
    user_unmap(directory_of(tskid), first, end);
    region->size -= (W)(end - first);
    return E_OK;
}

ER vunm_reg(ID tskid, VP start, W size)
{
    uint32_t flags = critical_enter();
    ER result = unmap(tskid, start, size);
    critical_leave(flags);
    return result;
}

ER region_map_shared(ID tskid, VP start, VP pages, W size, UW access)
{
    if (is_task_id(tskid) && (!is_kernel_pointer(pages) || (UW)pages % PAGE_SIZE != 0)) {
        return E_PAR;
    }
    uint32_t flags = critical_enter();
    ER result = map(tskid, start, size, access, pages);
    critical_leave(flags);
    return result;
}

/* Maps what a region of one task holds in another, as far as there are pages; writable only if both regions say so. */
static bool share_pages(ID from, ID to, const struct region *region)
{
    UW end = region_end(region);
    UW allowed = PAGE_USER | region_protection(region->permission);

    for (UW page = user_next_mapped(directory_of(from), region->start, end); page < end;
         page = user_next_mapped(directory_of(from), page + PAGE_SIZE, end)) {
        UW entry = *user_entry(directory_of(from), page);
        VP shared = at_physical(entry & PAGE_ADDRESS);
        if (user_share_page(directory_of(to), page, shared, entry & (PAGE_WRITABLE | PAGE_USER) & allowed) != E_OK) {
            return false;
        }
    }
    return true;
}

static ER share(ID from, ID to, VP start)
{
    if (!is_task_id(from) || !is_task_id(to)) {
        return E_ID;
    }
    if (from == to || !is_user_range(start, 1)) {
        return E_PAR;
    }
    if (!has_space(from) || !has_space(to)) {
        return E_NOEXS;
    }
    const struct region *source = region_at(from, (UW)start);
    if (source == NULL) {
        return E_PAR;
    }
    struct region region = *source;
    if ((region.permission & VPROT_EXEC) != 0) {
        region.permission &= ~(UW)VPROT_WRITE;
    }
    ER result = region_enter(to, &region);
    if (result == E_OK && !share_pages(from, to, &region)) {
        region_remove(to, region_at(to, region.start));
        result = E_NOMEM;
    }
    return result;
}

ER vshr_reg(ID from, ID to, VP start)
{
    uint32_t flags = critical_enter();
    ER result = share(from, to, start);
    critical_leave(flags);
    return result;
}
