/* Interrupts and exceptions in the engine.
 *
 * libunicorn has QEMU's functions that enter handlers: gates, the stack of a TSS, task switches, real mode. It never calls them, and
 * hands exceptions to a hook instead. The hook calls them. What they raise leaves them, and comes to the hook in its turn.
 *
 * An exception in the middle of a block: its instruction is found from the place in translated code, with the data that the
 * translator keeps of each instruction. The upper half of the second word, which holds a number below 64, tells how many
 * instructions of the block come before it.
 */
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/fast_accesses.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { SUPERVISOR_MODES = 1 << 0 | 1 << KC_SUPERVISOR }; /* MMU_KSMAP_IDX, MMU_KNOSMAP_IDX: target/i386/cpu.h */
enum { READ_ACCESS = 1, WRITE_ACCESS = 2 };                   /* BP_MEM_READ, BP_MEM_WRITE: include/hw/core/cpu.h */

static void (*do_interrupt)(void *cpu);
static void (*do_interrupt_of_device)(void *state, int vector, int is_hardware);
static bool (*restore_state)(void *cpu, uintptr_t host_pc, bool will_exit);
static void (*exit_loop)(void *cpu, uintptr_t host_pc);
static void (*flush_page_of_modes)(void *cpu, uint64_t address, uint16_t modes);

void kc_enter_handler(kc *m) { do_interrupt(kc_cpu(m)); }

void kc_enter_handler_of_device(kc *m, uint32_t vector) { do_interrupt_of_device(kc_state_at(m), (int)vector, 1); }

/* -- `int n`, and interrupts in its clothes ------------------------------------------------------ */

static void (*original_raise_interrupt)(void *state, int vector, int is_int, int error_code, int length);
EXPORTED void raise_interrupt_x86_64(void *state, int vector, int is_int, int error_code, int length);
void raise_interrupt_x86_64(void *state, int vector, int is_int, int error_code, int length)
{
    kc *m = kc_running_on(state);

    if (m && is_int)
        kc_on_software_interrupt(m, (uint32_t)length);
    original_raise_interrupt(state, vector, is_int, error_code, length);
}

static __thread __attribute__((tls_model("initial-exec"))) bool leaves, looks_up_again;

void kc_leave_for_interrupt(kc *m)
{
    (void)m;
    leaves = true;
}

void kc_look_up_again(kc *m)
{
    (void)m;
    looks_up_again = true;
}

void kc_leave_if_asked(kc *m, void *uc, uintptr_t here)
{
    if (m->uc != uc)
        return;
    if (looks_up_again) {
        looks_up_again = false;
        exit_loop(kc_cpu(m), here);
    }
    if (!leaves)
        return;
    leaves = false;
    restore_state(kc_cpu(m), here, true);
    original_raise_interrupt(kc_state_at(m), (int)kc_on_interrupt_taken(m), 1, 0, 0);
}

void kc_leave_halt(void *state, uint32_t vector, uint32_t length)
{
    original_raise_interrupt(state, (int)vector, 1, 0, (int)length);
}

/* -- where ----------------------------------------------------------------------------------------- */

static void (*original_restore)(void *state, void *tb, uint64_t *data);
EXPORTED void restore_state_to_opc_x86_64(void *state, void *tb, uint64_t *data);
void restore_state_to_opc_x86_64(void *state, void *tb, uint64_t *data)
{
    kc *m = kc_running_on(state);

    if (m) {
        kc_note_restored(m, (uint32_t)*(uint64_t *)tb, (uint32_t)data[0], (uint32_t)(data[1] >> 32));
        kc_note_place(m, tb, data);
    }
    original_restore(state, tb, data);
}

void kc_restore_eip(kc *m, uintptr_t host_pc)
{
    struct place *place = kc_place(m, host_pc);

    if (!kc_cpu(m))
        return; /* EIP is known: no block has run that was not translated one by one */
    if (place && place->host_pc == host_pc && place->tb) {
        uint64_t data[] = {place->data[0], place->data[1]};
        restore_state_to_opc_x86_64(kc_state_at(m), place->tb, data);
        return;
    }
    kc_note_place_at(m, place, host_pc);
    restore_state(kc_cpu(m), host_pc, false);
    kc_note_place_at(m, NULL, 0);
}

void kc_leave_block(kc *m, uintptr_t host_pc)
{
    if (kc_cpu(m))
        exit_loop(kc_cpu(m), host_pc);
}

/* -- the TLB: of fills the hook for them is told too little, of flushes nobody is ------------------ */

static bool (*original_fill)(void *cpu, uint64_t address, int size, int access, int mode, bool probe, uintptr_t host_pc);
EXPORTED bool unicorn_fill_tlb_x86_64(void *cpu, uint64_t address, int size, int access, int mode, bool probe, uintptr_t host_pc);
bool unicorn_fill_tlb_x86_64(void *cpu, uint64_t address, int size, int access, int mode, bool probe, uintptr_t host_pc)
{
    void *state = kc_state_of(cpu);
    kc *m = state ? kc_running_on(state) : NULL;
    uint32_t vector, error_code;

    if (!m)
        return original_fill(cpu, address, size, access, mode, probe, host_pc);
    kc_note_cpu_of(state, cpu);
    kc_on_tlb_miss(m, (uint32_t)address, mode == KC_USER, host_pc);
    if (original_fill(cpu, address, size, access, mode, true, 0)) /* it would put EIP back, which a task switch has set by now */
        return true;
    if (probe)
        return false;
    if (kc_raises(m, &vector, &error_code))
        raise_exception_err_ra_x86_64(state, (int)vector, (int)error_code, host_pc);
    return original_fill(cpu, address, size, access, mode, false, host_pc); /* leaves the engine */
}

static void (*original_flush)(void *cpu);
EXPORTED void tlb_flush_x86_64(void *cpu);
void tlb_flush_x86_64(void *cpu)
{
    void *state = kc_state_of(cpu);
    kc *m = state ? kc_running_on(state) : NULL;

    if (m && !kc_fills_again(m))
        kc_on_tlb_flush(m);
    original_flush(cpu);
}

static void (*original_flush_page)(void *cpu, uint64_t address);
EXPORTED void tlb_flush_page_x86_64(void *cpu, uint64_t address);
void tlb_flush_page_x86_64(void *cpu, uint64_t address)
{
    void *state = kc_state_of(cpu);
    kc *m = state ? kc_running_on(state) : NULL;

    if (m)
        kc_on_page_flush(m, (uint32_t)address);
    original_flush_page(cpu, address);
}

/* Both empty the TLB, if need be, before the register has its new value. */
#define MODES(name, cr0, cr4) \
    static void (*original_##name)(void *state, uint32_t value); \
    EXPORTED void cpu_x86_##name##_x86_64(void *state, uint32_t value); \
    void cpu_x86_##name##_x86_64(void *state, uint32_t value) \
    { \
        kc *m = kc_running_on(state); \
        if (m) \
            kc_on_modes_change(m, cr0, cr4); \
        original_##name(state, value); \
    }
MODES(update_cr0, value, kc_reg(m, UC_X86_REG_CR4))
MODES(update_cr4, kc_reg(m, UC_X86_REG_CR0), value)

bool kc_flush_page(kc *m, uint32_t address)
{
    if (kc_cpu(m)) /* else no block was translated yet */
        original_flush_page(kc_cpu(m), address);
    return kc_cpu(m);
}

/* -- accesses to some pages ------------------------------------------------------------------------ */

/* Unicorn has the watchpoints of QEMU's TLB, and never any. Asked at each fill. */
EXPORTED int cpu_watchpoint_address_matches_x86_64(void *cpu, uint64_t address, uint64_t size);
int cpu_watchpoint_address_matches_x86_64(void *cpu, uint64_t address, uint64_t size)
{
    void *state = kc_state_of(cpu);
    kc *m = state ? kc_running_on(state) : NULL;
    (void)size;

    if (!m)
        return 0;
    bool guards = kc_guards(m, address);
    return (guards || kc_watches_fill(m, false) ? READ_ACCESS : 0) | (guards || kc_watches_fill(m, true) ? WRITE_ACCESS : 0);
}

EXPORTED void cpu_check_watchpoint_x86_64(void *cpu, uint64_t address, uint64_t size, uint32_t attributes, int access, uintptr_t host_pc);
void cpu_check_watchpoint_x86_64(void *cpu, uint64_t address, uint64_t size, uint32_t attributes, int access, uintptr_t host_pc)
{
    void *state = kc_state_of(cpu);
    kc *m = state ? kc_running_on(state) : NULL;
    (void)attributes;

    if (m)
        kc_on_watched_access(m, (uint32_t)address, (uint32_t)size, access & WRITE_ACCESS, host_pc);
    if (m && kc_guards(m, address))
        kc_on_guarded_access(m, (uint32_t)address, (uint32_t)size, access & WRITE_ACCESS, host_pc);
    if (m && kc_checks(m) && kc_whole_access(host_pc, &address, &size))
        kc_look_at_access(m, (uint32_t)address, (uint32_t)size, access & WRITE_ACCESS, host_pc);
}

static void *(*tlb_host)(void *state, uint64_t address, int access, int mode);

uint8_t *kc_tlb_host(kc *m, uint32_t address, bool user, bool write) { return tlb_host(kc_state_at(m), address, write, user ? KC_USER : KC_SUPERVISOR); }

void kc_drop_page(kc *m, uint32_t linear, bool user)
{
    if (kc_cpu(m))
        flush_page_of_modes(kc_cpu(m), linear, user ? 1 << KC_USER : SUPERVISOR_MODES);
}

bool kc_delivery_load(void *unicorn)
{
#define FIND(variable, name) (variable) = (__typeof__(variable))kc_find(unicorn, name)
    FIND(do_interrupt, "x86_cpu_do_interrupt_x86_64");
    FIND(do_interrupt_of_device, "do_interrupt_x86_hardirq_x86_64");
    FIND(original_raise_interrupt, "raise_interrupt_x86_64");
    FIND(original_restore, "restore_state_to_opc_x86_64");
    FIND(original_fill, "unicorn_fill_tlb_x86_64");
    FIND(original_flush, "tlb_flush_x86_64");
    FIND(original_flush_page, "tlb_flush_page_x86_64");
    FIND(tlb_host, "tlb_vaddr_to_host_x86_64");
    FIND(original_update_cr0, "cpu_x86_update_cr0_x86_64");
    FIND(original_update_cr4, "cpu_x86_update_cr4_x86_64");
    FIND(restore_state, "cpu_restore_state_x86_64");
    FIND(exit_loop, "cpu_loop_exit_restore_x86_64");
    FIND(flush_page_of_modes, "tlb_flush_page_by_mmuidx_x86_64");
#undef FIND
    return do_interrupt && do_interrupt_of_device && original_raise_interrupt && original_restore && original_fill && original_flush &&
           original_flush_page && original_update_cr0 && original_update_cr4 && tlb_host && restore_state && exit_loop &&
           flush_page_of_modes;
}
