/* Accesses of translated code that are single instructions of the host.
 *
 * Theory of operation. The translator of QEMU has operations that load from the host's memory and store to it; an access of the guest
 * becomes one of these, whose base is the window's (core/windows.c). Where that faults, the instruction of the host is decoded, and the
 * engine's own function makes the access, as the code that the translator emits otherwise would have called it: with the place in translated code, by
 * which the engine finds the guest's instruction, and by which it leaves the block if the guest has made a fault.
 *
 * A checked access first loads its bytes' shadow (core/shadow.h), and adds that to the address, above the guest's 32 bits. Where none of the
 * bytes is poisoned that changes nothing; else the host faults, for nothing is mapped there, and the guest's address is still in the sum.
 * There is no branch, which the translator's variables would not survive.
 *
 * At such a fault the guest's registers have to be in memory. The translator has a table that says of each operation whether it
 * has side effects, and keeps the registers exact in front of those that have some. The loads and stores of host memory are marked so.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "unicorn/counting.h"
#include "unicorn/fast_accesses.h"
#include "unicorn/interpose.h"

/* -- what the translator knows of its operations --------------------------------------------------- */

enum { LD8U_I64 = 0x43, ST_I64 = 0x4d };               /* tcg-opc.h of QEMU 5.0 */
enum { NAMES = 4, SIDE_EFFECTS = 8, FLAGS_AT = 12, DEFINITION = 32 }; /* struct TCGOpDef of tcg.h */
enum { STATE_WORDS = 8192, OPERATIONS_MAX = 0x80 };     /* of struct TCGContext, and of the table, that are searched */

static const struct { unsigned operation; const char *name; } names[NAMES] = {
    {0, "discard"}, {LD8U_I64, "ld8u_i64"}, {0x49, "ld_i64"}, {ST_I64, "st_i64"}};

static unsigned or_operation;
static bool all_found; /* the functions of the engine that are needed at a fault */

/* A copy of memory that may not be there. Linux is asked itself: AddressSanitizer, which knows what was freed, looks into pwrite(). */
static bool peek(int file, const void *from, void *to, size_t size)
{
    return syscall(SYS_pwrite64, file, from, size, 0l) == (long)size && pread(file, to, size, 0) == (ssize_t)size;
}

static bool is_named(int file, const uint8_t *table, unsigned operation, const char *name)
{
    const char *at;
    char text[16];
    size_t size = strlen(name) + 1;

    return peek(file, table + operation * DEFINITION, &at, sizeof at) && peek(file, at, text, size) && memcmp(text, name, size) == 0;
}

static bool is_table(int file, const uint8_t *table)
{
    for (int i = 0; i < NAMES; i++)
        if (!is_named(file, table, names[i].operation, names[i].name))
            return false;
    for (or_operation = ST_I64; or_operation < OPERATIONS_MAX; or_operation++)
        if (is_named(file, table, or_operation, "or_i64"))
            return true;
    return false;
}

/* Where in the translator's state the table's address lies, in words; -1: nowhere. */
static int table_at(void *state)
{
    int file = memfd_create("kmemu-peek", MFD_CLOEXEC), found = -1;

    for (int i = 0; file >= 0 && found < 0 && i < STATE_WORDS; i++) {
        uint8_t *table;
        if (!peek(file, (uint8_t **)state + i, &table, sizeof table))
            break;
        if ((uintptr_t)table > PAGE_SIZE && (uintptr_t)table % sizeof table == 0 && is_table(file, table))
            found = i;
    }
    if (file >= 0)
        close(file);
    return found;
}

bool kc_fast_accesses_hold(kc *m, void *state)
{
    static int at;
    static bool looked;

    if (kc_translator(m) == state)
        return at >= 0;
    if (!looked) {
        at = all_found ? table_at(state) : -1;
        looked = true;
    }
    kc_note_translator(m, state);
    uint8_t *table = at >= 0 ? ((uint8_t **)state)[at] : NULL;
    for (unsigned i = LD8U_I64; table && i <= ST_I64; i++)
        table[i * DEFINITION + FLAGS_AT] |= SIDE_EFFECTS;
    return table;
}

unsigned kc_or_operation(void) { return or_operation; }

/* -- faults ---------------------------------------------------------------------------------------- */

static void *(*tb_lookup)(void *state, uintptr_t host_pc);

/* As the engine has return addresses: of a call in the instruction. Decides nothing else. */
enum { PLACE = 2 };

static const uint8_t registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                      REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static int32_t read32(const uint8_t *at)
{
    int32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* What an opcode does. False: the translator emits no other accesses of host memory. */
static bool decode_opcode(unsigned opcode, bool is_word, bool is_wide, struct fast_access *a)
{
    a->is_wide = is_wide;
    switch (opcode) {
    case 0x8b:
        a->size = is_wide ? 8 : 4;
        return !is_word;
    case 0x0fb6: case 0x0fbe:
        a->size = 1;
        a->is_signed = opcode == 0x0fbe;
        return !is_word;
    case 0x0fb7: case 0x0fbf:
        a->size = 2;
        a->is_signed = opcode == 0x0fbf;
        return !is_word;
    case 0x63:
        a->size = 4;
        a->is_signed = true;
        return is_wide;
    case 0x88: case 0xc6:
        a->size = 1;
        break;
    case 0x89: case 0xc7:
        a->size = is_word ? 2 : is_wide ? 8 : 4;
        break;
    default:
        return false;
    }
    a->is_store = true;
    a->is_constant = opcode == 0xc6 || opcode == 0xc7;
    return true;
}

/* Intel SDM vol. 2A, 2.1 and 2.2: prefixes, opcode, ModR/M, SIB without an index, displacement, immediate. */
static bool decode(const uint8_t *p, const greg_t *r, struct fast_access *a)
{
    bool is_word = *p == 0x66;
    uint8_t rex = 0;

    p += is_word;
    if ((*p & 0xf0) == 0x40)
        rex = *p++;
    unsigned opcode = *p++;
    if (opcode == 0x0f)
        opcode = 0x0f00u | *p++;
    if (!decode_opcode(opcode, is_word, rex & 8, a))
        return false;
    uint8_t modrm = *p++, mode = modrm >> 6, base = (uint8_t)((modrm & 7) | (rex & 1) << 3);
    a->reg = (uint8_t)((modrm >> 3 & 7) | (rex & 4) << 1);
    if (mode == 3 || (mode == 0 && (modrm & 7) == 5))
        return false;
    if ((modrm & 7) == 4) {
        if ((*p & 0x38) != 0x20 || (rex & 2) || (mode == 0 && (*p & 7) == 5))
            return false;
        base = (uint8_t)((*p++ & 7) | (rex & 1) << 3);
    }
    a->at = (uint64_t)r[registers[base]];
    if (mode == 1)
        a->at += (uint64_t)(int64_t)(int8_t)*p++;
    a->has_base = mode == 2;
    if (mode == 2) {
        a->at += (uint64_t)(int64_t)read32(p);
        p += 4;
    }
    a->is_high = a->size == 1 && !rex && a->reg >= 4;
    if (a->is_constant) {
        int32_t constant = a->size == 1 ? *p : a->size == 2 ? (uint16_t)read32(p) : read32(p);
        a->constant = (uint64_t)(int64_t)constant;
        p += a->size < 4 ? a->size : 4;
    }
    a->next = (uintptr_t)p;
    return true;
}

bool kc_fast_access_at(kc *m, const void *context, struct fast_access *out)
{
    const greg_t *r = ((const ucontext_t *)context)->uc_mcontext.gregs;

    if (!kc_translator(m) || kc_running() != m)
        return false;
    *out = (struct fast_access){.place = (uintptr_t)r[REG_RIP] + PLACE};
    const uint8_t *tb = tb_lookup(kc_translator(m), out->place);
    if (tb)
        kc_counting_catch_up(m, tb, context);
    return tb && decode((const uint8_t *)r[REG_RIP], r, out);
}

uint32_t kc_fast_access_pc(kc *m, const struct fast_access *access)
{
    kc_restore_eip(m, access->place);
    return kc_restored(m).pc;
}

static uint64_t (*load_byte)(void *state, uint64_t address, uint32_t operation, uintptr_t host_pc);
static void (*store_byte)(void *state, uint64_t address, uint8_t value, uint32_t operation, uintptr_t host_pc);

/* The size's logarithm, and by whom: the CPU has no SMAP. */
static unsigned kind_of(unsigned size, bool user) { return (unsigned)__builtin_ctz(size) << 4 | (user ? KC_USER : KC_SUPERVISOR); }

static uint64_t loaded(void *state, const struct fast_access *a, uint32_t guest, bool user)
{
    uintptr_t place = a->place;
    uint64_t value;

    switch (a->size) {
    case 1:
        value = (uint8_t)load_byte(state, guest, kind_of(1, user), place);
        value = a->is_signed ? (uint64_t)(int64_t)(int8_t)value : value;
        break;
    case 2:
        value = (uint16_t)helper_le_lduw_mmu_x86_64(state, guest, kind_of(2, user), place);
        value = a->is_signed ? (uint64_t)(int64_t)(int16_t)value : value;
        break;
    case 4:
        value = (uint32_t)helper_le_ldul_mmu_x86_64(state, guest, kind_of(4, user), place);
        value = a->is_signed ? (uint64_t)(int64_t)(int32_t)value : value;
        break;
    default:
        value = helper_le_ldq_mmu_x86_64(state, guest, kind_of(8, user), place);
    }
    return a->is_wide ? value : (uint32_t)value;
}

static void store(void *state, const struct fast_access *a, uint32_t guest, bool user, uint64_t value)
{
    uintptr_t place = a->place;

    switch (a->size) {
    case 1:
        store_byte(state, guest, (uint8_t)value, kind_of(1, user), place);
        break;
    case 2:
        helper_le_stw_mmu_x86_64(state, guest, (uint16_t)value, kind_of(2, user), place);
        break;
    case 4:
        helper_le_stl_mmu_x86_64(state, guest, (uint32_t)value, kind_of(4, user), place);
        break;
    default:
        helper_le_stq_mmu_x86_64(state, guest, value, kind_of(8, user), place);
    }
}

uint64_t kc_fast_access_stores(const void *context, const struct fast_access *access)
{
    const greg_t *r = ((const ucontext_t *)context)->uc_mcontext.gregs;

    if (access->is_constant)
        return access->constant;
    return access->is_high ? (uint64_t)r[registers[access->reg - 4]] >> 8 : (uint64_t)r[registers[access->reg]];
}

void kc_fast_access_make(kc *m, void *context, const struct fast_access *access, uintptr_t base, bool user)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint32_t guest = (uint32_t)(access->at - base);

    if (access->is_store)
        store(kc_state_at(m), access, guest, user, kc_fast_access_stores(context, access));
    else
        r[registers[access->reg]] = (greg_t)loaded(kc_state_at(m), access, guest, user);
    r[REG_RIP] = (greg_t)access->next;
}

void kc_fast_access_skip(void *context, const struct fast_access *access)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)access->next;
}

void kc_fast_access_forget(kc *m, const struct fast_access *access)
{
    void *block = tb_lookup(kc_translator(m), access->place);

    if (block)
        tb_phys_invalidate_x86_64(kc_translator(m), block, UINT64_MAX);
}

void kc_fast_accesses_load(void *unicorn)
{
    load_byte = (__typeof__(load_byte))kc_find(unicorn, "helper_ret_ldub_mmu_x86_64");
    store_byte = (__typeof__(store_byte))kc_find(unicorn, "helper_ret_stb_mmu_x86_64");
    tb_lookup = (__typeof__(tb_lookup))kc_find(unicorn, "tcg_tb_lookup_x86_64");
    all_found = load_byte && store_byte && tb_lookup && kc_whole_accesses_are_found();
}
