/*
 * Theory of operation
 *
 * A page fault in user space is the task's if it comes from ring 3, or from the one instruction by which the kernel
 * copies on a task's behalf (user_entries.S). A region's handler is asked; without one a stack grows by the page
 * touched. The task tries again if the page is then mapped with the right that was missing. In all other cases it ends
 * with a line on the console that names access, address, instruction and reason, and the kernel goes on.
 *
 * Interrupts are off, but while a handler is asked; so nobody prints into the line.
 *
 * Any other exception of ring 3 ends the task in the same way. The i386 cannot forbid execution, so data are executed
 * until one of their instructions faults: the line then says "execute" because EIP lies in such a region.
 *
 * Shortcomings
 *
 * A page fault at an instruction's second page is called a read. A handler that never returns keeps its task for ever.
 */

#include "btron/faults.h"

#include "btron/itron.h"
#include "btron/space.h"
#include "btron/task.h"
#include "btron/user_pages.h"
#include "common/console.h"
#include "common/cpu.h"

enum {
    VECTOR_PAGE_FAULT = 14,
    ERROR_PRESENT = 1, /* SDM volume 3, 6.15, vector 14: the page is mapped, but not for this */
    ERROR_WRITE = 2,
    RING = 3,
    INTERRUPTS_ON = 0x200,
};

extern const uint8_t user_copy_instruction[]; /* user_entries.S */

/* Is the page mapped now with what the access needs? What the kernel copies is for ring 3 to use, too. */
static bool is_mapped(UW address, UW error_code)
{
    UW writable = (error_code & ERROR_WRITE) != 0 ? PAGE_WRITABLE : 0;

    return user_is_mapped(space_directory(current_task), address, writable | PAGE_USER);
}

/* Asks the region's handler. NULL: the task may try again; otherwise why not. */
static const char *ask_handler(FP handle, UW address, const struct trap_frame *frame)
{
    if ((frame->eflags & INTERRUPTS_ON) != 0) {
        cpu_enable_interrupts();
    }
    ER result = ((REGION_HANDLER)(VP)handle)(current_task, (VP)address, frame->error_code);
    cpu_disable_interrupts();
    if (result != E_OK) {
        return "and its handler refuses";
    }
    return is_mapped(address, frame->error_code) ? NULL : "and its handler has not mapped it";
}

/* NULL: the task may try again; otherwise why it may not. */
static const char *resolve(UW address, const struct trap_frame *frame)
{
    if (address >= KERNEL_SPACE) {
        return "in kernel space";
    }
    const struct region *region = region_at(current_task, address);
    if (region == NULL) {
        return "in no region";
    }
    if (region->handle != NULL) {
        return ask_handler(region->handle, address, frame);
    }
    if ((frame->error_code & ERROR_PRESENT) != 0) {
        return "in a region that does not permit it";
    }
    ER result = region_grow(current_task, (VP)address);
    if (result == E_NOMEM) {
        return "and no page is free";
    }
    return result == E_OK ? NULL : "where nothing is mapped";
}

static const char *access_name(const struct trap_frame *frame, UW address)
{
    if ((frame->error_code & ERROR_WRITE) != 0) {
        return "write to";
    }
    return frame->eip == address ? "execution of" : "read of";
}

/* Is it the task's, not the kernel's own? */
static bool is_of_task(const struct trap_frame *frame, UW address)
{
    bool from_ring_3 = (frame->cs & RING) != 0;
    bool in_copy = frame->eip == (UW)user_copy_instruction && address < KERNEL_SPACE;

    return from_ring_3 || (frame->vector == VECTOR_PAGE_FAULT && in_copy);
}

static __attribute__((noreturn)) void end_at_page_fault(const struct trap_frame *frame, UW address, const char *why)
{
    kprintf("task %d ends: %s 0x%08x at 0x%08x, %s\n", current_task, access_name(frame, address), address, frame->eip,
            why);
    ext_tsk();
}

static __attribute__((noreturn)) void end_at_exception(const struct trap_frame *frame)
{
    const struct region *region = region_at(current_task, frame->eip);

    kprintf("task %d ends: ", current_task);
    if (region != NULL && (region->permission & VPROT_EXEC) == 0) {
        kprintf("execution of 0x%08x, in a region that does not permit it: ", frame->eip);
    }
    kprintf("exception %u at 0x%08x error 0x%08x\n", frame->vector, frame->eip, frame->error_code);
    ext_tsk();
}

bool fault_handle(const struct trap_frame *frame)
{
    UW address = cpu_fault_address();

    if (!is_of_task(frame, address)) {
        return false;
    }
    if (frame->vector != VECTOR_PAGE_FAULT) {
        end_at_exception(frame);
    }
    const char *why = resolve(address, frame);
    if (why != NULL) {
        end_at_page_fault(frame, address, why);
    }
    return true;
}
