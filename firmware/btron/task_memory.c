/*
 * Theory of operation
 *
 * The kernel's image carries the user programs (kernel.ld): their text, which at boot is copied once to pages that
 * every task maps read-only, each mapping one owner more; and the first contents of their data, which each task gets a
 * copy of. A task for ring 3 has these regions:
 *
 *     0x00400000  text    shared          read, execute
 *     after it    data    a copy          read, write
 *     0x10000000  heap    nothing mapped  read, write
 *     0x7FFFF000  stack   the last page   read, write; below this address, grows by touch
 *
 * They are made with the task and go when it ends; a task that is started again gets new ones.
 *
 * On the user stack lie, as after a call, the address of the text's first instruction, which ends the task, and its two
 * arguments.
 *
 * Shortcomings
 *
 * All user programs of a kernel are one image: each task has the text and data of all of them. The i386 has no
 * permission to execute: data can be executed.
 */

#include "btron/task_memory.h"

#include "btron/pmem.h"
#include "btron/region.h"
#include "btron/space.h"
#include "btron/task.h"
#include "common/string.h"

/* kernel.ld: where user programs are linked, how large they are, and where the image has them. */
extern uint8_t __user_text[], __user_text_size[], __user_text_load[];
extern uint8_t __user_data[], __user_data_size[], __user_data_load[];

#define TEXT_PERMISSION  (VPROT_USER | VPROT_READ | VPROT_EXEC)
#define DATA_PERMISSION  (VPROT_USER | VPROT_READ | VPROT_WRITE)
#define STACK_PERMISSION (DATA_PERMISSION | VPROT_STACK)

/* What ring 3 finds on its stack at first. */
struct first_call {
    UW return_address;
    INT stacd;
    VP exinf;
    UW padding[2];
};

/* The arguments are 16-byte aligned, as at a call (i386 psABI 2.2.2). */
_Static_assert((sizeof(struct first_call) - offsetof(struct first_call, stacd)) % 16 == 0, "first_call");

/* Beside the control block, whose layout has no room. */
struct task_memory {
    bool user;
    bool ready; /* its regions are made */
    W stack_size;
};

static struct task_memory task_memory[TASK_MAX + 1]; /* index: id of the task */
static VP text_pages; /* NULL: there are no user programs */

ER user_text_init(void)
{
    W size = (W)__user_text_size;

    if (size != 0) {
        text_pages = pmem_alloc(size);
        if (text_pages == NULL) {
            return E_NOMEM;
        }
        memset(text_pages, 0, round_up((UW)size, PAGE_SIZE));
        memcpy(text_pages, __user_text_load, (UW)size);
    }
    return E_OK;
}

bool is_user_text(UW address)
{
    return address - (UW)__user_text < round_up((UW)__user_text_size, PAGE_SIZE);
}

bool is_user_task(ID tskid)
{
    return task_memory[tskid].user;
}

UW user_first_esp(void)
{
    return USER_STACK_END - sizeof(struct first_call);
}

/* The regions in the order in which they are made. */
enum kind { TEXT, DATA, HEAP, STACK, KINDS };

/* Where a task's region begins, and how large it may become; 0: there is none. */
static T_REGION describe(ID tskid, enum kind kind)
{
    W stack_size = (W)round_up((UW)task_memory[tskid].stack_size, PAGE_SIZE);
    W text_size = (W)__user_text_size;
    W data_size = (W)__user_data_size;

    switch (kind) {
    case TEXT:
        return (T_REGION){__user_text, text_size, text_size, TEXT_PERMISSION, NULL};
    case DATA:
        return (T_REGION){__user_data, data_size, data_size, DATA_PERMISSION, NULL};
    case HEAP:
        return (T_REGION){(VP)USER_HEAP, PAGE_SIZE, USER_HEAP_MAX, DATA_PERMISSION, NULL};
    default:
        return (T_REGION){(VP)(USER_STACK_END - (UW)stack_size), PAGE_SIZE, stack_size, STACK_PERMISSION, NULL};
    }
}

static ER fill_data(ID tskid)
{
    W size = (W)__user_data_size;
    ER result = vmap_reg(tskid, __user_data, size, DATA_PERMISSION);

    return result != E_OK ? result : vput_reg(tskid, __user_data, size, __user_data_load);
}

static ER fill(ID tskid, enum kind kind)
{
    switch (kind) {
    case TEXT:
        return region_map_shared(tskid, __user_text, text_pages, (W)__user_text_size, TEXT_PERMISSION);
    case DATA:
        return fill_data(tskid);
    case STACK:
        return vmap_reg(tskid, (VP)(USER_STACK_END - PAGE_SIZE), PAGE_SIZE, DATA_PERMISSION);
    default:
        return E_OK;
    }
}

static ER make_region(ID tskid, enum kind kind)
{
    T_REGION region = describe(tskid, kind);

    if (region.max_size == 0) {
        return E_OK;
    }
    ER result = vcre_reg(tskid, region.start_addr, region.min_size, region.max_size, region.permission, NULL);
    if (result != E_OK) {
        return result;
    }
    result = fill(tskid, kind);
    if (result != E_OK) {
        vdel_reg(tskid, region.start_addr);
    }
    return result;
}

/* All of them, or none. */
static ER make_regions(ID tskid)
{
    for (enum kind kind = TEXT; kind < KINDS; kind++) {
        ER result = make_region(tskid, kind);
        if (result != E_OK) {
            while (kind-- > TEXT) {
                if (describe(tskid, kind).max_size != 0) {
                    vdel_reg(tskid, describe(tskid, kind).start_addr);
                }
            }
            return result;
        }
    }
    return E_OK;
}

ER task_memory_create(ID tskid, bool user, W stack_size)
{
    ER result = space_create(tskid);

    if (result == E_OK) {
        task_memory[tskid] = (struct task_memory){.user = user, .ready = user, .stack_size = stack_size};
        if (user) {
            result = make_regions(tskid);
        }
        if (result != E_OK) {
            task_memory_delete(tskid);
        }
    }
    return result;
}

ER task_memory_start(ID tskid, INT stacd, VP exinf)
{
    struct task_memory *memory = &task_memory[tskid];
    struct first_call call = {.return_address = (UW)__user_text, .stacd = stacd, .exinf = exinf};

    if (!memory->user) {
        return E_OK;
    }
    if (!memory->ready) {
        ER result = make_regions(tskid);
        if (result != E_OK) {
            return result;
        }
        memory->ready = true;
    }
    return vput_reg(tskid, (VP)user_first_esp(), sizeof call, &call);
}

void task_memory_end(ID tskid)
{
    space_clear(tskid);
    task_memory[tskid].ready = false;
}

void task_memory_delete(ID tskid)
{
    space_delete(tskid);
    task_memory[tskid] = (struct task_memory){0};
}
