/*
 * Theory of operation
 *
 * The kernel sees every page in kernel space, so it copies between two kernel addresses, page by page, after it has
 * looked up all of them. Where the buffer itself is a page of the space, each page's bytes are moved as a whole.
 *
 * Shortcomings
 *
 * The buffer is trusted. Interrupts are off for the length of the copy.
 */

#include "btron/critical.h"
#include "btron/itron.h"
#include "btron/region.h"
#include "btron/space.h"
#include "btron/user_pages.h"
#include "common/physical.h"
#include "common/string.h"

enum direction { FROM_SPACE, TO_SPACE };

static bool is_kernel_range(const B *buf, W size)
{
    return is_kernel_pointer(buf) && is_kernel_pointer(buf + size - 1);
}

/* E_ID, E_PAR, E_NOEXS, or E_MACV unless all of the range is mapped, with `protection`. */
static ER check(ID tskid, VP start, W size, const B *buf, UW protection)
{
    if (!is_task_id(tskid)) {
        return E_ID;
    }
    if (!is_user_range(start, size) || !is_kernel_range(buf, size)) {
        return E_PAR;
    }
    if (!has_space(tskid)) {
        return E_NOEXS;
    }
    UW end = (UW)start + (UW)size;
    for (UW address = page_of(start); address < end; address += PAGE_SIZE) {
        if (!user_is_mapped(space_table[tskid].directory, address, protection)) {
            return E_MACV;
        }
    }
    return E_OK;
}

static void copy(UW directory, UW start, W size, B *buf, enum direction direction)
{
    UW end = start + (UW)size;

    for (UW address = start; address < end;) {
        UW next = (address & ~(PAGE_SIZE - 1)) + PAGE_SIZE;
        UW count = (next < end ? next : end) - address;
        B *byte = (B *)at_physical(*user_entry(directory, address) & PAGE_ADDRESS) + address % PAGE_SIZE;
        if (direction == FROM_SPACE) {
            memmove(buf, byte, count);
        } else {
            memmove(byte, buf, count);
        }
        buf += count;
        address += count;
    }
}

static ER copy_checked(ID tskid, VP start, W size, VP buf, enum direction direction)
{
    uint32_t flags = critical_enter();
    ER result = check(tskid, start, size, buf, direction == TO_SPACE ? PAGE_WRITABLE : 0);

    if (result == E_OK) {
        copy(space_table[tskid].directory, (UW)start, size, buf, direction);
    }
    critical_leave(flags);
    return result;
}

ER vget_reg(ID tskid, VP start, W size, VP buf)
{
    return copy_checked(tskid, start, size, buf, FROM_SPACE);
}

ER vput_reg(ID tskid, VP start, W size, VP buf)
{
    return copy_checked(tskid, start, size, buf, TO_SPACE);
}
