/* Two functions of libunicorn that this machine does better, because it needs less.
 *
 * check_exit_request(): Unicorn 2.1 translates a call of a checking helper behind every load and store, for hooks
 * that stop the engine in the middle of a block. That call costs more than the access. This machine has no such
 * hooks: a failed access leaves the block by itself (the TLB fill refuses it), and every other stop may wait for the
 * next block, at whose start Unicorn checks anyway. So the calls are left out.
 *
 * helper_uc_tracecode(): at each hooked instruction Unicorn walks the list of all hooks. Our probes find themselves
 * by address.
 *
 * libunicorn reaches its own functions through the dynamic linker, which looks in the process's global scope first:
 * once this library is in that scope, a libunicorn loaded after it finds the functions below. They do anything new
 * only while kc_interpose() says that a machine of ours runs in this thread; otherwise they pass on to the
 * originals. A libunicorn that was in the process before keeps its own: all works, more slowly.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "machine.h"

#define EXPORTED __attribute__((visibility("default")))
#define HOOK_INDEX_MASK 0x3f
#define HOOK_INDEX_CODE 2

static __thread kc *running;
static void (*original_check_exit_request)(void *translation);
static void (*original_tracecode)(int32_t size, int32_t index, void *uc, int64_t address);

/* While translating: emit a check at this place. */
EXPORTED void check_exit_request_x86_64(void *translation);
void check_exit_request_x86_64(void *translation)
{
    if (!running && original_check_exit_request)
        original_check_exit_request(translation);
}

/* While running: an instruction or block with hooks is reached. */
EXPORTED void helper_uc_tracecode(int32_t size, int32_t index, void *uc, int64_t address);
void helper_uc_tracecode(int32_t size, int32_t index, void *uc, int64_t address)
{
    if (running && running->uc == uc && (index & HOOK_INDEX_MASK) == HOOK_INDEX_CODE)
        kc_probes_reached(running, (uint32_t)address);
    else if (original_tracecode)
        original_tracecode(size, index, uc, address);
}

kc *kc_interpose(kc *m)
{
    kc *before = running;
    running = m;
    return before;
}

void *kc_interpose_load(const char *library)
{
    Dl_info self;

    if (dladdr((void *)kc_interpose_load, &self))
        dlopen(self.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
    void *unicorn = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (unicorn) {
        original_check_exit_request = (__typeof__(original_check_exit_request))dlsym(unicorn, "check_exit_request_x86_64");
        original_tracecode = (__typeof__(original_tracecode))dlsym(unicorn, "helper_uc_tracecode");
    }
    return unicorn;
}
