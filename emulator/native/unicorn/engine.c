/* The engine: Unicorn's public functions, hooks, and one start of it. */
#include <dlfcn.h>
#include <stdlib.h>

#include "unicorn/count_register.h"
#include "unicorn/counting.h"
#include "unicorn/engine.h"
#include "unicorn/interpose.h"
#include "unicorn/jumps.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

struct unicorn U;

struct engine {
    bool runs;          /* it was started and has not returned */
    bool removes_hooks; /* a start of it may remove one */
    bool stray_fill;    /* a TLB fill was answered that was not the guest's */
    bool fills_again;   /* the TLB is emptied by us, not by the guest */
    bool keeps_hooks;   /* ones that were removed: up to the end of its next start */
    bool has_count_register;
};

#define UNICORN_OLDEST 0x02010400u /* 2.1.4: the first whose virtual TLB mode does what mmu.c needs */
#define UNICORN_TOO_NEW 0x02020000u

const char *kc_load(const char *library)
{
    void *unicorn = kc_interpose_load(library);

    if (!unicorn)
        return dlerror();
#define X(name) \
    if (!(U.name = (__typeof__(U.name))dlsym(unicorn, #name))) \
        return "libunicorn has no " #name;
    UNICORN_FUNCTIONS(X)
#undef X
    if (!kc_functions_are_ours())
        return "one is loaded for the whole process already (LD_PRELOAD, RTLD_GLOBAL); kmemu needs its own";
    unsigned version = kc_unicorn_version();
    if (version < UNICORN_OLDEST || version >= UNICORN_TOO_NEW)
        return "libunicorn is not of the versions >= 2.1.4, < 2.2";
    return NULL;
}

uint32_t kc_unicorn_version(void) { return U.uc_version(NULL, NULL); }

const char *kc_error_text(int uc_error)
{
    switch (uc_error) {
    case KC_SHADOW_TAKEN:
        return "the kernel has RAM where the shadow is that it was compiled for: choose another -fasan-shadow-offset";
    case KC_LONG_MODE:
        return "kmemu does not have 64-bit mode (EFER.LME), in which paging was switched on";
    default:
        return U.uc_strerror((uc_err)uc_error);
    }
}

/* -- hooks --------------------------------------------------------------------------------------- */

int kc_hook(kc *m, int type, void *callback, int instruction)
{
    uc_hook hook;
    return U.uc_hook_add(m->uc, &hook, type, callback, m, (uint64_t)1, (uint64_t)0, instruction);
}

void kc_unhook(kc *m, uc_hook hook)
{
    U.uc_hook_del(m->uc, hook);
    kc_flush_code(m);
    kc_flush_tlb(m);
    m->engine->stray_fill = false;
    m->engine->keeps_hooks = true;
}

bool kc_keeps_hooks(const kc *m) { return m->engine->keeps_hooks; }

void kc_flush_code(kc *m) { U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0)); }

void kc_flush_tlb(kc *m)
{
    U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TLB_FLUSH, 0));
    kc_on_tlb_flush(m); /* between runs nobody else tells */
}

void kc_fill_again(kc *m)
{
    m->engine->fills_again = true;
    U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TLB_FLUSH, 0));
    m->engine->fills_again = false;
}

bool kc_fills_again(const kc *m) { return m->engine->fills_again; }

/* -- start and stop ------------------------------------------------------------------------------ */

static void forget_stray_fill(kc *m)
{
    if (m->engine->stray_fill)
        kc_flush_tlb(m);
    m->engine->stray_fill = false;
}

int kc_engine_start(kc *m, size_t count)
{
    struct engine *engine = m->engine;

    forget_stray_fill(m); /* of a hook that was removed since the last run */
    engine->removes_hooks |= count != 0; /* from now on: the engine forgets a run's counter in the runs that follow */
    engine->runs = true;
    kc_jumps_start(m);
    int error = U.uc_emu_start(m->uc, kc_reg(m, UC_X86_REG_EIP), 0, 0, count);
    engine->runs = false;
    engine->keeps_hooks = false;
    forget_stray_fill(m);
    return error;
}

void kc_engine_stop(kc *m)
{
    U.uc_emu_stop(m->uc);
    kc_look_soon(m);
}

/* Unicorn looks up where a removed hook's code lies by fetching from it, mapped or not: between runs, and where a run starts.
 * The guest fetches at EIP, or from the page after it. */
bool kc_is_stray_fetch(kc *m, uint32_t linear)
{
    struct engine *engine = m->engine;

    if (engine->runs && !engine->removes_hooks)
        return false;
    if (engine->runs) {
        uint32_t page = kc_pc(m) >> PAGE_SHIFT;
        if (linear >> PAGE_SHIFT == page || linear >> PAGE_SHIFT == page + 1)
            return false;
    }
    return engine->stray_fill = true;
}

/* -- life ---------------------------------------------------------------------------------------- */

int kc_engine_open(kc *m)
{
    if (KC_NEW(m->engine))
        return -1;
    uc_err error = U.uc_open(UC_ARCH_X86, UC_MODE_32, &m->uc);
    if (!error)
        error = U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_CPU_MODEL, 1), UC_CPU_X86_QEMU64);
    if (error)
        return error;
    uint32_t eip;
    kc_count_register_claim(true);
    error = U.uc_reg_read(m->uc, UC_X86_REG_EIP, &eip); /* now it makes its translator */
    m->engine->has_count_register = kc_count_register_claim(false);
    return error;
}

bool kc_has_count_register(const kc *m) { return m->engine->has_count_register; }

void kc_engine_close(kc *m)
{
    if (m->uc)
        U.uc_close(m->uc);
    free(m->engine);
}
