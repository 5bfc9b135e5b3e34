/* Functions of libunicorn that this machine does better, because it needs less, or otherwise.
 *
 * check_exit_request(): Unicorn 2.1 emits a call of a checking helper after every load and store, for hooks
 * that stop the engine in the middle of a block. That call costs more than the access. This machine has no such
 * hooks: a failed access leaves the block by itself (the TLB fill refuses it), and every other stop may wait for the
 * next block, at whose start Unicorn checks anyway. So the calls are left out.
 *
 * helper_uc_tracecode(): at each hooked instruction Unicorn walks the list of all hooks. Our probes find themselves
 * by address. Blocks that count themselves (translation.c) call it, too.
 *
 * helper_inb(), helper_outb() and their kin: ports are open to some rings only. A device that ends the run, as QEMU's exit device does, ends it at its
 * `out`, not at the next check. EIP is then that of the `out`, see kc_run().
 *
 * helper_hlt(): lets time pass up to the interrupt that wakes the CPU, which then comes at once. Where none does, it notes that the
 * run has ended so: afterwards that cannot be distinguished from one that was stopped after `hlt`.
 *
 * cpu_x86_update_dr7() and x86_cpu_set_a20() are not replaced, but called.
 *
 * raise_exception_err(), raise_exception_err_ra(): the originals; they show the error code of an exception.
 *
 * reg_read(): the original; it shows where the CPU's registers lie, so that probes read them without a call.
 *
 * libunicorn reaches its own functions through the dynamic linker, which looks in the process's global scope first:
 * once this library is in that scope, a libunicorn loaded after it finds the functions below. They do anything new
 * only while kc_interpose() says that a machine of ours runs in this thread; otherwise they pass on to the
 * originals. Of a libunicorn that was in the process before, and keeps its own, a copy is loaded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unicorn/count_register.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/fast_accesses.h"
#include "unicorn/interpose.h"
#include "unicorn/jumps.h"
#include "unicorn/reports.h"

#define HOOK_INDEX_MASK 0x3f
#define HOOK_INDEX_CODE 2

/* Looked at for every probed instruction, so without a call to find the thread's copy. */
static __thread __attribute__((tls_model("initial-exec"))) kc *running;
static __thread __attribute__((tls_model("initial-exec"))) bool leaves_checks_out;
static bool translation_found, flags_found, delivery_found, left_out; /* left_out: a check, once */
static void (*original_check_exit_request)(void *translation);
static void (*original_tracecode)(int32_t size, int32_t index, void *uc, int64_t address);

/* While translating: emit a check here. */
void check_exit_request_x86_64(void *translation)
{
    if (leaves_checks_out && kc_translates_ours())
        left_out = true;
    else if (original_check_exit_request)
        original_check_exit_request(translation);
}

/* Leaves the block if the engine is to stop. A sibling call, where it has to learn from its return address where in
 * translated code it was called. */
static void (*check_exit)(void *uc, uint32_t in_delay_slot);

/* While running: an instruction or block with hooks is reached. Where there is one hook, translated code calls it without this. */
static __thread __attribute__((tls_model("initial-exec"))) uintptr_t hooks_called_from;
uintptr_t kc_hooks_called_from(void)
{
    uintptr_t from = hooks_called_from;

    hooks_called_from = 0; /* it may be left for good */
    return from;
}

/* A block that counts itself asks, behind its last instruction, before it has counted itself. The place from which it does says nothing,
 * so where the run ends, or an interrupt is taken, EIP is set to the block's start. Else nothing has changed. */
static __attribute__((noinline)) void block_starts(kc *m, uint32_t pc, uint32_t count)
{
    kc_block_starts(m, pc, count);
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP);
    kc_set_eip(m, pc - kc_segment_base(m, CS));
    kc_leave_if_asked(m, m->uc, 0);
    check_exit(m->uc, 0);
    kc_set_eip(m, eip);
}

void helper_uc_tracecode(int32_t size, int32_t index, void *uc, int64_t address)
{
    uintptr_t here = (uintptr_t)__builtin_return_address(0);

    if (leaves_checks_out && running->uc == uc && (index & HOOK_INDEX_MASK) == HOOK_INDEX_CODE) {
        hooks_called_from = here;
        kc_probes_reached(running, (uint32_t)address);
        hooks_called_from = 0;
    } else if (index == KC_BLOCK_STARTS) {
        block_starts(running, (uint32_t)address, (uint32_t)size);
    } else if (index == KC_TRACKED) {
        kc_on_told(running, (uint32_t)address, (uint32_t)size, here);
    } else if (index == KC_MAY_BE_BELOW_STACK) {
        kc_look_below_stack(running, (uint32_t)address, here);
    } else {
        hooks_called_from = here;
        original_tracecode(size, index, uc, address);
        hooks_called_from = 0;
    }
}

/* Ports are open to rings up to IOPL; else the bits of a TSS decide (SDM vol. 1, 19.5). Unicorn does not ask, but has QEMU's functions
 * that do, which raise #GP, or #PF where the TSS's map is not there. Devices are told the time of this instruction. */
static void (*check_byte)(void *state, uint32_t port), (*check_word)(void *state, uint32_t port), (*check_long)(void *state, uint32_t port);

static void check_port(void *state, uint32_t port, uint32_t size, uintptr_t here)
{
    kc *m = kc_running_on(state);
    bool open = !m || !(kc_modes(m) & KC_PROTECTED);

    if (m)
        kc_restore_eip(m, here); /* and what EFLAGS are computed from */
    if (!open) {
        uint32_t flags = kc_reg(m, UC_X86_REG_EFLAGS); /* these two are no hidden flags */
        open = kc_ring(m) <= (flags >> KC_IOPL_AT & 3) && !(flags & KC_VIRTUAL_8086);
    }
    if (!open)
        (size == 1 ? check_byte : size == 2 ? check_word : check_long)(state, port & 0xffff);
}

#define OUT(letter, size) \
    static void (*original_out##letter)(void *env, uint32_t port, uint32_t value); \
    EXPORTED void helper_out##letter##_x86_64(void *env, uint32_t port, uint32_t value); \
    void helper_out##letter##_x86_64(void *env, uint32_t port, uint32_t value) \
    { \
        kc *m = kc_running_on(env); \
        bool goes_on = m && kc_goes_on(m); \
        check_port(env, port, size, (uintptr_t)__builtin_return_address(0)); \
        original_out##letter(env, port, value); \
        if (goes_on && !kc_goes_on(m)) { \
            kc_on_last_out(m); \
            check_exit(m->uc, 0); \
        } \
    }
OUT(b, 1)
OUT(w, 2)
OUT(l, 4)

#define IN(letter, size) \
    static uint64_t (*original_in##letter)(void *env, uint32_t port); \
    EXPORTED uint64_t helper_in##letter##_x86_64(void *env, uint32_t port); \
    uint64_t helper_in##letter##_x86_64(void *env, uint32_t port) \
    { \
        check_port(env, port, size, (uintptr_t)__builtin_return_address(0)); \
        uint64_t value = original_in##letter(env, port); \
        __asm__("" : "+r"(value)); /* no sibling call: the original would look for the instruction once more */ \
        return value; \
    }
IN(b, 1)
IN(w, 2)
IN(l, 4)

static void (*original_hlt)(void *state, int size);
EXPORTED void helper_hlt_x86_64(void *state, int size);
void helper_hlt_x86_64(void *state, int size)
{
    kc *m = kc_running_on(state);
    int vector = m ? kc_on_halt(m, (uint32_t)size) : -1;

    if (vector >= 0)
        kc_leave_halt(state, (uint32_t)vector, (uint32_t)size);
    original_hlt(state, size); /* neither returns */
}

/* Exceptions with an error code, which no hook gets. They do not return. */
static void (*original_raise)(void *state, int vector, int error_code);
EXPORTED void raise_exception_err_x86_64(void *state, int vector, int error_code);
void raise_exception_err_x86_64(void *state, int vector, int error_code)
{
    kc *m = kc_running_on(state);
    if (m)
        kc_on_error_code(m, (uint32_t)error_code);
    original_raise(state, vector, error_code);
}

static void (*original_raise_ra)(void *state, int vector, int error_code, uintptr_t host_pc);
void raise_exception_err_ra_x86_64(void *state, int vector, int error_code, uintptr_t host_pc)
{
    kc *m = kc_running_on(state);
    if (m)
        kc_on_error_code(m, (uint32_t)error_code);
    original_raise_ra(state, vector, error_code, host_pc);
}

static void (*set_a20)(void *cpu, int on);

void kc_gate_a20(kc *m, bool on)
{
    if (set_a20 && kc_cpu(m))
        set_a20(kc_cpu(m), on);
}

static void (*update_dr7)(void *state, uint32_t value);

uint32_t kc_breakpoints(kc *m, uint32_t dr7)
{
    enum { ENABLED = 0xff };
    uint32_t before = kc_reg(m, UC_X86_REG_DR7);

    if (update_dr7 && kc_state_at(m) && ((before | dr7) & ENABLED))
        update_dr7(kc_state_at(m), dr7);
    return before;
}

/* Reading a register: shows where the CPU's state lies, which nothing else does. */
static __thread void *last_state;
static int (*original_reg_read)(void *state, int mode, unsigned id, void *value, size_t *size);
EXPORTED int reg_read_x86_64(void *state, int mode, unsigned id, void *value, size_t *size);
int reg_read_x86_64(void *state, int mode, unsigned id, void *value, size_t *size)
{
    last_state = state;
    return original_reg_read(state, mode, id, value, size);
}

void *kc_find_state(kc *m)
{
    last_state = NULL;
    kc_reg(m, UC_X86_REG_ESP);
    return last_state;
}

bool kc_is_interposed(const kc *m) { return kc_state_at(m) && translation_found; }

bool kc_sees_flags(const kc *m) { return kc_state_at(m) && flags_found; }

kc *kc_running(void) { return running && !kc_counts_one_by_one(running) ? running : NULL; }

kc *kc_running_on(const void *state) { return running && kc_state_at(running) == state ? running : NULL; }

void *kc_state_of(const void *cpu)
{
    const void *known = running ? kc_cpu(running) : NULL;
    bool ours = running && (!known || known == cpu); /* it has not run a whole block yet */
    return ours ? kc_state_at(running) : NULL;
}

void kc_note_cpu_of(const void *state, void *cpu)
{
    kc *m = kc_running_on(state);

    if (m && !kc_cpu(m))
        kc_note_cpu(m, cpu);
}

struct interposed kc_interpose(kc *m, bool fast)
{
    struct interposed before = {running, leaves_checks_out};
    running = m;
    leaves_checks_out = fast;
    return before;
}

void kc_interpose_restore(struct interposed before)
{
    running = before.machine;
    leaves_checks_out = before.fast;
    if (running)
        kc_jumps_start(running);
}

/* -- life ---------------------------------------------------------------------------------------- */

enum { FUNCTIONS_MAX = 128 };
static struct { const char *name; bool found; } functions[FUNCTIONS_MAX];
static uint32_t function_count;

void *kc_find(void *unicorn, const char *name)
{
    void *function = dlsym(unicorn, name);

    if (function_count < FUNCTIONS_MAX) {
        functions[function_count].name = name;
        functions[function_count++].found = function != NULL;
    }
    return function;
}

const char *kc_engine_function(uint32_t i, bool *found)
{
    if (i >= function_count)
        return NULL;
    *found = functions[i].found;
    return functions[i].name;
}

bool kc_functions_are_ours(void)
{
    Dl_info self, first;

    return dladdr((void *)check_port, &self) && dladdr(dlsym(RTLD_DEFAULT, "reg_read_x86_64"), &first) &&
           self.dli_fbase == first.dli_fbase;
}

#define FIND(variable, name) (variable) = (__typeof__(variable))kc_find(unicorn, name)

/* A library that is in the process already has its calls bound. A copy of its file is another one to the dynamic linker. */
static void *load_fresh(const char *library)
{
    void *before = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    struct link_map *map;
    char name[32];
    struct stat file;

    if (!before)
        return dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    int from = dlinfo(before, RTLD_DI_LINKMAP, &map) ? -1 : open(map->l_name, O_RDONLY | O_CLOEXEC);
    int copy = memfd_create("libunicorn", MFD_CLOEXEC);
    void *fresh = NULL;
    if (from >= 0 && copy >= 0 && !fstat(from, &file)) {
        off_t left = file.st_size;
        for (ssize_t sent = 1; left && sent > 0; left -= sent > 0 ? sent : 0)
            sent = sendfile(copy, from, NULL, (size_t)left);
        snprintf(name, sizeof name, "/proc/self/fd/%d", copy);
        fresh = left ? NULL : dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    }
    if (from >= 0)
        close(from);
    if (copy >= 0)
        close(copy);
    return fresh ? fresh : before;
}

void *kc_interpose_load(const char *library)
{
    Dl_info self;

    if (dladdr((void *)kc_interpose_load, &self))
        dlopen(self.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
    void *unicorn = load_fresh(library);
    if (unicorn) {
        function_count = 0;
        FIND(original_check_exit_request, "check_exit_request_x86_64");
        FIND(original_tracecode, "helper_uc_tracecode");
        FIND(original_outb, "helper_outb_x86_64");
        FIND(original_outw, "helper_outw_x86_64");
        FIND(original_outl, "helper_outl_x86_64");
        FIND(original_inb, "helper_inb_x86_64");
        FIND(original_inw, "helper_inw_x86_64");
        FIND(original_inl, "helper_inl_x86_64");
        FIND(check_byte, "helper_check_iob_x86_64");
        FIND(check_word, "helper_check_iow_x86_64");
        FIND(check_long, "helper_check_iol_x86_64");
        FIND(original_hlt, "helper_hlt_x86_64");
        FIND(original_raise, "raise_exception_err_x86_64");
        FIND(original_raise_ra, "raise_exception_err_ra_x86_64");
        FIND(set_a20, "x86_cpu_set_a20_x86_64");
        FIND(update_dr7, "cpu_x86_update_dr7_x86_64");
        FIND(original_reg_read, "reg_read_x86_64");
        FIND(check_exit, "helper_check_exit_request_x86_64");
        translation_found = kc_translation_load(unicorn);
        kc_count_register_load(unicorn);
        bool forgets_code = kc_jumps_load(unicorn);
        kc_decoding_load(unicorn);
        kc_system_calls_load(unicorn);
        kc_alignment_load(unicorn);
        kc_whole_accesses_load(unicorn);
        kc_fast_accesses_load(unicorn);
        flags_found = kc_flags_load(unicorn);
        delivery_found = kc_delivery_load(unicorn) && forgets_code && check_byte && check_word && check_long;
    }
    return unicorn;
}

uint32_t kc_facts(const kc *m)
{
    bool registers = kc_registers_are_found(m);

    return (kc_state_at(m) ? KC_REPLACED : 0) | (registers ? KC_REGISTERS : 0) | (kc_has_counted_itself(m) ? KC_COUNTS : 0) |
           (left_out ? KC_NO_CHECKS : 0) | (kc_sees_flags(m) ? KC_FLAGS : 0) | (kc_jumps_are_kept() ? KC_JUMPS_KEPT : 0);
}
