/* Accesses as translated code makes them, before the engine takes them apart.
 *
 * An access that is not aligned, of a page in which accesses are told, is told in parts: of a load two aligned ones of its size, which
 * reach over its ends; of a store each byte, and before them one of a size that is none (store_helper() counts on the next page). So the
 * helpers that translated code calls for accesses of several bytes note what they are called for. That for loads of eight bytes calls
 * itself for the parts.
 */
#include "unicorn/interpose.h"

struct access { uint64_t address; uint32_t size; uintptr_t host_pc; };
static __thread __attribute__((tls_model("initial-exec"))) struct access last;
static __thread __attribute__((tls_model("initial-exec"))) bool is_in_parts; /* or a fault has left it */

static bool is_part(uint64_t address, uintptr_t host_pc)
{
    return host_pc && last.host_pc == host_pc && address + last.size > last.address && address < last.address + last.size;
}

static void note(uint64_t address, uint32_t size, uintptr_t host_pc)
{
    if (!is_in_parts || address & (size - 1) || !is_part(address, host_pc))
        last = (struct access){address, size, host_pc};
    is_in_parts = false;
}

/* The memory operations are the engine's, 32 bits. */
#define LOAD(name, bytes) \
    static uint64_t (*original_##name)(void *state, uint64_t address, uint32_t operation, uintptr_t host_pc); \
    uint64_t helper_##name##_x86_64(void *state, uint64_t address, uint32_t operation, uintptr_t host_pc) \
    { \
        note(address, bytes, host_pc); \
        is_in_parts = last.address & (bytes - 1); \
        uint64_t value = original_##name(state, address, operation, host_pc); \
        is_in_parts = is_in_parts && address != last.address; \
        return value; \
    }
LOAD(le_lduw_mmu, 2)
LOAD(le_ldul_mmu, 4)
LOAD(le_ldq_mmu, 8)

#define STORE(name, type) \
    static void (*original_##name)(void *state, uint64_t address, type value, uint32_t operation, uintptr_t host_pc); \
    void helper_##name##_x86_64(void *state, uint64_t address, type value, uint32_t operation, uintptr_t host_pc) \
    { \
        note(address, sizeof(type), host_pc); \
        original_##name(state, address, value, operation, host_pc); \
    }
STORE(le_stw_mmu, uint16_t)
STORE(le_stl_mmu, uint32_t)
STORE(le_stq_mmu, uint64_t)

bool kc_whole_access(uintptr_t host_pc, uint64_t *address, uint64_t *size)
{
    if (!is_part(*address, host_pc))
        return *size <= sizeof(uint64_t);
    *address = last.address;
    *size = last.size;
    return true;
}

bool kc_whole_accesses_are_found(void)
{
    return original_le_lduw_mmu && original_le_ldul_mmu && original_le_ldq_mmu && original_le_stw_mmu && original_le_stl_mmu &&
           original_le_stq_mmu;
}

void kc_whole_accesses_load(void *unicorn)
{
#define FIND(name) original_##name = (__typeof__(original_##name))kc_find(unicorn, "helper_" #name "_x86_64")
    FIND(le_lduw_mmu);
    FIND(le_ldul_mmu);
    FIND(le_ldq_mmu);
    FIND(le_stw_mmu);
    FIND(le_stl_mmu);
    FIND(le_stq_mmu);
#undef FIND
}
