/* The engine: Unicorn's public functions, hooks, and one start of it. */
#ifndef KMEMU_ENGINE_H
#define KMEMU_ENGINE_H

#include "machine.h"

/* libunicorn is loaded at run time: the wheel finds the library that the unicorn package ships. */
#define UNICORN_FUNCTIONS(X) \
    X(uc_open) X(uc_close) X(uc_version) X(uc_strerror) X(uc_ctl) X(uc_mem_map_ptr) X(uc_mmio_map) X(uc_mem_protect) \
    X(uc_reg_read) X(uc_reg_write) X(uc_reg_read_batch) X(uc_reg_write_batch) X(uc_hook_add) X(uc_hook_del) X(uc_emu_start) X(uc_emu_stop) \
    X(uc_context_alloc) X(uc_context_save) X(uc_context_restore) X(uc_context_free) X(uc_context_size)

struct unicorn {
#define X(name) __typeof__(&name) name;
    UNICORN_FUNCTIONS(X)
#undef X
};
extern struct unicorn U;

int kc_engine_open(kc *m);
void kc_engine_close(kc *m);
/* Does its translated code leave a register to the count of instructions? */
bool kc_has_count_register(const kc *m);

/* Hook what has a type and, for UC_HOOK_INSN, an instruction, for ever. Returns a Unicorn error or 0. */
int kc_hook(kc *m, int type, void *callback, int instruction);
/* Remove a hook between runs: nothing that was translated with it is left. */
void kc_unhook(kc *m, uc_hook hook);
void kc_flush_tlb(kc *m);
/* The same, where the guest's CPU has not forgotten anything: each page comes to the TLB fill again. */
void kc_fill_again(kc *m);
bool kc_fills_again(const kc *m);
/* Does the engine translate accesses as if hooks were there that are removed? It does until it has started and returned once. */
bool kc_keeps_hooks(const kc *m);

/* Let the engine run from the present EIP; count: that many instructions at most, 0: no limit. */
int kc_engine_start(kc *m, size_t count);
/* End the run at the next block. From another thread or a signal handler, too. */
void kc_engine_stop(kc *m);
/* Does the engine fetch at a linear address for another reason than to execute the code there? If so, the fetch has to be
 * answered, and the TLB forgets the answer before the guest goes on. */
bool kc_is_stray_fetch(kc *m, uint32_t linear);

#endif
