/* Code of our own in translated blocks: at its start each block counts its instructions.
 *
 * Unicorn begins every block with a call of a helper that checks whether the engine is to stop. In its place we emit,
 * in the intermediate language of QEMU's translator:
 *
 *     if (executed >= look_at) look(instructions of the block, its address);    may end the run here
 *     executed += instructions of the block;
 *     stored = executed;
 *     last = the block;
 *
 * How many instructions a block has is known when it is translated: only then the constants are filled in. `executed` is a register of
 * the host (count_register.c). The last two lines stay only where somebody may ask in the middle of the block: it calls a function, or has an access
 * that goes the ordinary way. Where a signal comes from the block, they are made up for (kc_counting_catch_up()).
 *
 * libunicorn exports the functions that emit. Numbers that it does not export stand below. Two of them, with the
 * others between them, are compared with what its functions use, and the first block that is executed shows whether
 * the count is right. Where one of these checks fails, kc_counting_by_hooks() takes over. PORTING.md has the sources.
 */
#include <stddef.h>
#include <string.h>

#include "unicorn/alignment.h"
#include "unicorn/count_register.h"
#include "unicorn/counting.h"
#include "unicorn/fast_accesses.h"
#include "unicorn/interpose.h"
#include "unicorn/jumps.h"
#include "unicorn/reports.h"
#include "unicorn/shadow_segment.h"

enum { MOVI_I64 = 0x40, LD32U_I64 = 0x47, LD32S_I64 = 0x48, LD_I64 = 0x49, ST8_I64 = 0x4a, ST32_I64 = 0x4c, ST_I64 = 0x4d, ADD_I64 = 0x4e, SUB_I64 = 0x4f, SET_LABEL = 1, ADD_I32 = 0x11, EXTEND = 0x6d }; /* tcg-opc.h of QEMU 5.0 */
enum { AND_FROM_OR = -1, XOR_FROM_OR = 1 }; /* tcg-opc.h: and, or, xor */
enum { TYPE_I64 = 1, ALWAYS = 1, EQUAL = 8, DIFFERENT = 9, NOT_LESS_UNSIGNED = 5 };                                            /* tcg.h */
enum { BLOCK_BASE = 8, BLOCK_FLAGS = 16, BLOCK_SIZE = 20, BLOCK_ICOUNT = 22, BLOCK_KIND = 24, BLOCK_CODE = 32 };                                        /* struct TranslationBlock */
enum { FOR_ONCE = 1 << 16 }; /* CF_NOCACHE */
enum { NO_ROOM = -1 }; /* what tcg_gen_code() returns then: the block is translated once more */
enum { OPERATION_WORDS = 6 }; /* enough of struct TCGOp to hold the arguments of a constant */
enum { NEXT = 1, ARGUMENTS = 3 }; /* words of it; the operation itself is the first byte */
enum { UNKNOWN = 0x3c0ffee5 };

/* The translator ends a block when it has emitted 4,000 operations. How many of them an access, a count or a jump needs depends on what
 * this process has done before, and how long blocks are must not: so blocks end earlier, after so many operations without these. */
enum { OPERATIONS_MAX = 1200 };

/* Bits of each byte of the shadow, and how far they are from one another. */
enum { POISON_BIT = 7, WRITTEN_SHIFT = 3, STORE_SHIFT = 3, RETURN_SHIFT = 2 };

/* The shadow of a return address. */
#define RETURN_WORD ((uint32_t)KC_EACH_BYTE * KC_RETURN)

typedef void tcg;  /* the state of a translation */
typedef char *var; /* a variable of the code that is translated */

#define TRANSLATOR(X) \
    X(void *, tcg_emit_op, (tcg *, unsigned)) \
    X(uintptr_t, tcg_const_i32, (tcg *, int32_t)) \
    X(uintptr_t, tcg_const_i64, (tcg *, int64_t)) \
    X(var, tcg_temp_new_internal, (tcg *, int, bool)) \
    X(void, tcg_temp_free_internal, (tcg *, var)) \
    X(void, tcg_gen_op1, (tcg *, unsigned, uintptr_t)) \
    X(void, tcg_gen_op3, (tcg *, unsigned, uintptr_t, uintptr_t, uintptr_t)) \
    X(void, tcg_gen_addi_i32, (tcg *, uintptr_t, uintptr_t, int32_t)) \
    X(void, tcg_gen_addi_i64, (tcg *, uintptr_t, uintptr_t, int64_t)) \
    X(void, tcg_gen_ext32u_i64, (tcg *, uintptr_t, uintptr_t)) \
    X(void, tcg_gen_andi_i64, (tcg *, uintptr_t, uintptr_t, int64_t)) \
    X(void, tcg_gen_shli_i64, (tcg *, uintptr_t, uintptr_t, int64_t)) \
    X(void, tcg_gen_shri_i64, (tcg *, uintptr_t, uintptr_t, int64_t)) \
    X(void, tcg_gen_qemu_ld_i64, (tcg *, uintptr_t, uintptr_t, uintptr_t, unsigned)) \
    X(void, tcg_gen_qemu_st_i64, (tcg *, uintptr_t, uintptr_t, uintptr_t, unsigned)) \
    X(void, tcg_gen_brcond_i64, (tcg *, int, uintptr_t, uintptr_t, void *)) \
    X(void, tcg_gen_movcond_i64, (tcg *, int, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)) \
    X(void, tcg_gen_lookup_and_goto_ptr, (tcg *)) \
    X(void, tcg_gen_exit_tb, (tcg *, void *, unsigned)) \
    X(void *, gen_new_label, (tcg *)) \
    X(void, tcg_gen_callN, (tcg *, void *, var, int, var *)) \
    X(void, tcg_func_start, (tcg *)) \
    X(void, gen_intermediate_code, (void *, uint8_t *, int)) \
    X(void, tcg_optimize, (tcg *)) \
    X(void, tcg_op_remove, (tcg *, void *)) \
    X(int, tcg_gen_code, (tcg *, uint8_t *))
static struct {
#define X(result, name, parameters) result (*name) parameters;
    TRANSLATOR(X)
#undef X
    void *check_exit;
    void *flags, *carry; /* functions that look at nothing but flags, and never ask */
    void *read_eflags;
} T;

/* The block that is translated. */
static __thread __attribute__((tls_model("initial-exec"))) struct {
    uint64_t pc;
    uint32_t flags;     /* of the CPU while it is executed, 0: they may change */
    bool loads_eflags;  /* which may change some of them */
    uint64_t *eflags_read; /* the newest operation that computes them */
    bool tracks;        /* each of its instructions is told */
    bool is_ours;       /* a callback may run an engine that is not */
    bool is_for_once;   /* its code lies in no RAM: the engine forgets it when it looks for the instruction at a place in it */
    bool starts;        /* its first check is still to come */
    uint32_t instructions; /* so far */
    uint32_t stack_distance; /* see kc_may_be_below_stack() */
    uint32_t cut;          /* where it is to end: after so many; 0: nowhere */
    tcg *state;
    unsigned operation; /* emitted last */
    uint32_t operations; /* so far, an access as one */
    uint64_t *words;
    uint64_t *first;    /* operation of those that count */
    uint64_t *added, *last; /* constants that are known only at the block's end */
    uint64_t *stores[2];    /* operations that are for those that ask */
    bool asks;
    uint32_t segment_loads; /* see shadow_segment.h */
    void *looks, *goes_on;  /* places in the block, see emit_count() */
} block;

EXPORTED void *tcg_emit_op_x86_64(tcg *state, unsigned operation);
void *tcg_emit_op_x86_64(tcg *state, unsigned operation)
{
    block.state = state;
    block.operation = operation;
    block.operations++;
    return block.words = T.tcg_emit_op(state, operation);
}

/* Learnt from the first indirect jump that is translated; 0: there was none yet. */
static unsigned goto_pointer;  /* the operation with which it ends */

static uintptr_t arg(tcg *state, var variable) { return (uintptr_t)(variable - (char *)state); }

static var constant(tcg *state, uint64_t value) { return (char *)state + T.tcg_const_i64(state, (int64_t)value); }

/* A constant that is filled in later; *at becomes NULL if that cannot be. */
static var unknown(tcg *state, uint64_t **at)
{
    var variable = constant(state, UNKNOWN);

    *at = NULL;
    for (int i = 0; i < OPERATION_WORDS && block.operation == MOVI_I64 && !*at; i++)
        if (block.words[i] == UNKNOWN)
            *at = &block.words[i];
    return variable;
}

static var load(tcg *state, var base, size_t offset)
{
    var variable = T.tcg_temp_new_internal(state, TYPE_I64, false);
    T.tcg_gen_op3(state, LD_I64, (uintptr_t)variable, (uintptr_t)base, offset);
    return variable;
}

/* A variable that points to some memory of a machine, or *offset in front of it: best the one that is there, and a register of the host
 * all the time, which reaches as far as an instruction's offset does. */
static var base_of(tcg *state, kc *m, const void *memory, size_t *offset)
{
    intptr_t distance = (const char *)memory - (const char *)kc_state_at(m);
    bool is_near = kc_has_count_register(m) && distance == (int32_t)distance;

    *offset = is_near ? (size_t)distance : 0;
    return is_near ? (char *)state + kc_state_register() : constant(state, (uintptr_t)memory);
}

static void forget_base(tcg *state, var base)
{
    if (arg(state, base) != kc_state_register())
        T.tcg_temp_free_internal(state, base);
}

static void forget(tcg *state, var *variables, int count)
{
    for (int i = 0; i < count; i++)
        T.tcg_temp_free_internal(state, variables[i]);
}

static bool narrows; /* do the numbers for narrow() hold, too? */

static bool sums_hold(tcg *state)
{
    var wide = constant(state, 1), narrow = (char *)state + T.tcg_const_i32(state, 1);

    T.tcg_gen_ext32u_i64(state, arg(state, wide), arg(state, wide));
    const uint64_t *extension = block.words;
    bool hold = block.operation == EXTEND && extension[ARGUMENTS] == (uintptr_t)wide && extension[ARGUMENTS + 1] == (uintptr_t)wide;
    T.tcg_gen_addi_i32(state, arg(state, narrow), arg(state, narrow), 1); /* a constant, and a sum */
    hold = hold && block.operation == ADD_I32 && block.words[ARGUMENTS] == (uintptr_t)narrow;
    forget(state, (var[]){wide, narrow}, 2);
    return hold && ((const uint64_t *)extension[NEXT])[NEXT] == (uintptr_t)block.words;
}

/* Do our numbers of operations hold? What this emits has no effect and is dropped by the translator. */
static bool numbers_hold(tcg *state)
{
    static bool hold;
    uint64_t *at;

    if (!hold) {
        var variable = unknown(state, &at);
        T.tcg_gen_addi_i64(state, arg(state, variable), arg(state, variable), 1);
        hold = at && block.operation == ADD_I64;
        forget(state, &variable, 1);
        narrows = sums_hold(state);
    }
    return hold;
}

_Static_assert(sizeof(struct last) == sizeof(uint64_t), "it is stored at once");
#define AT(field) (offsetof(struct counter, field))

/* Store to a word of the counter. Returns the operation. */
static uint64_t *emit_put(tcg *state, var value, size_t at)
{
    T.tcg_gen_op3(state, ST_I64, (uintptr_t)value, (uintptr_t)state + kc_state_register(), KC_COUNT_AT + at);
    return block.words;
}

/* if (executed >= look_at) goto looks; goes_on: executed += instructions; stored = executed; last = block; */
static void emit_count(tcg *state)
{
    var executed = (char *)state + kc_count_register(), look_at = load(state, (char *)state + kc_state_register(), KC_COUNT_AT + AT(look_at));
    block.first = block.words;
    block.looks = T.gen_new_label(state);
    block.goes_on = T.gen_new_label(state);
    T.tcg_gen_brcond_i64(state, NOT_LESS_UNSIGNED, arg(state, executed), arg(state, look_at), block.looks);
    T.tcg_gen_op1(state, SET_LABEL, (uintptr_t)block.goes_on);
    var added = unknown(state, &block.added);
    emit_put(state, added, AT(added)); /* what becomes of it: kc_count_in_register() */
    block.stores[0] = emit_put(state, executed, AT(executed));
    var last = unknown(state, &block.last);
    block.stores[1] = emit_put(state, last, AT(last));
    forget(state, (var[]){look_at, added, last}, 3);
}

/* looks: stored = executed; look(); goto goes_on; Behind the block, where it is not in the way. */
static void emit_look(tcg *state, kc *m, uint32_t count)
{
    T.tcg_gen_op1(state, SET_LABEL, (uintptr_t)block.looks);
    emit_put(state, (char *)state + kc_count_register(), AT(executed));
    var look[] = {constant(state, count), constant(state, KC_BLOCK_STARTS), constant(state, (uintptr_t)m->uc),
                  constant(state, block.pc)};
    T.tcg_gen_callN(state, (void *)helper_uc_tracecode, NULL, 4, look); /* a helper that the translator knows */
    T.tcg_gen_brcond_i64(state, ALWAYS, arg(state, look[0]), arg(state, look[0]), block.goes_on);
    forget(state, look, 4);
}

static void emit_told(tcg *state, uint32_t linear, uint32_t before, uint32_t why)
{
    uint32_t operations = block.operations;

    if (!numbers_hold(state))
        return;
    var told[] = {constant(state, before), constant(state, why), constant(state, (uintptr_t)kc_running()->uc), constant(state, linear)};
    T.tcg_gen_callN(state, (void *)helper_uc_tracecode, NULL, 4, told);
    forget(state, told, 4);
    block.operations = operations;
    block.asks = true;
}

void kc_track_instruction(uint32_t linear, uint32_t before)
{
    if (!block.state)
        return;
    if (block.tracks || kc_breaks_at(kc_running(), linear))
        emit_told(block.state, linear, before, KC_TRACKED);
    if (kc_may_be_below_stack(kc_running(), linear, &block.stack_distance))
        emit_told(block.state, linear, before, KC_MAY_BE_BELOW_STACK);
}

/* Helpers that change the flags of a block, or the base of CS, in its middle. */
static bool changes_flags(const void *function)
{
    return function == (void *)helper_ljmp_protected_x86_64 || function == (void *)helper_lcall_protected_x86_64 ||
           function == (void *)helper_wrmsr_x86_64;
}

/* In front of a hook the translator computes EFLAGS, and puts them into the CPU's state. Whoever asks the engine for them has them computed anyway. */
static void drop_eflags(tcg *state)
{
    uint64_t *read = block.eflags_read, *put = read ? (uint64_t *)read[NEXT] : NULL;
    kc *m = kc_running();

    block.eflags_read = NULL;
    if (put && (uint8_t)put[0] == ST_I64 && block.is_ours && put[ARGUMENTS + 2] == (uintptr_t)kc_eflags_at(m) - (uintptr_t)kc_state_at(m)) {
        T.tcg_op_remove(state, put);
        T.tcg_op_remove(state, read);
    }
}

EXPORTED void tcg_gen_callN_x86_64(tcg *state, void *function, var result, int count, var *arguments);
void tcg_gen_callN_x86_64(tcg *state, void *function, var result, int count, var *arguments)
{
    bool starts = block.starts && function == T.check_exit;

    if (starts) {
        block.starts = false;
        if (numbers_hold(state)) {
            emit_count(state);
            block.operations = 0;
            return;
        }
        kc_counting_by_hooks(kc_running());
    }
    if (changes_flags(function))
        block.flags = 0;
    block.loads_eflags |= function == (void *)helper_write_eflags_x86_64;
    block.asks |= function != T.flags && function != T.carry;
    if (function == (void *)helper_uc_tracecode)
        drop_eflags(state);
    T.tcg_gen_callN(state, function, result, count, arguments);
    if (function == T.read_eflags)
        block.eflags_read = block.words;
}

/* goto where the table says that EIP leads to, or kc_jump_is_new(); */
static void emit_jump(tcg *state, kc *m, const struct jump *table)
{
    size_t eip_at;
    var base = base_of(state, m, kc_long_eip(m), &eip_at), eip = load(state, base, eip_at);
    var start = constant(state, (uintptr_t)table), jump = T.tcg_temp_new_internal(state, TYPE_I64, false);

    T.tcg_gen_shli_i64(state, arg(state, jump), arg(state, eip), KC_JUMP_SHIFT - KC_JUMP_STEP);
    T.tcg_gen_andi_i64(state, arg(state, jump), arg(state, jump), (KC_JUMPS - 1) << KC_JUMP_SHIFT);
    T.tcg_gen_op3(state, ADD_I64, (uintptr_t)jump, (uintptr_t)jump, (uintptr_t)start);
    var known = load(state, jump, offsetof(struct jump, eip)), code = load(state, jump, offsetof(struct jump, code));
    var is_new = constant(state, (uintptr_t)kc_jump_is_new);
    T.tcg_gen_movcond_i64(state, EQUAL, arg(state, code), arg(state, known), arg(state, eip), arg(state, code), arg(state, is_new));
    T.tcg_gen_op1(state, goto_pointer, (uintptr_t)code);
    forget_base(state, base);
    var used[] = {eip, start, jump, known, code, is_new};
    forget(state, used, 6);
}

/* The table for what comes after the block. NULL: ask the engine. */
static const struct jump *jumps_from(tcg *state)
{
    bool may_look = goto_pointer && block.is_ours && block.flags && numbers_hold(state);

    return may_look ? kc_jumps_of(kc_running(), state, block.flags) : NULL;
}

EXPORTED void tcg_gen_lookup_and_goto_ptr_x86_64(tcg *state);
void tcg_gen_lookup_and_goto_ptr_x86_64(tcg *state)
{
    const struct jump *table = jumps_from(state);

    if (table) {
        emit_jump(state, kc_running(), table);
    } else {
        T.tcg_gen_lookup_and_goto_ptr(state);
        goto_pointer = block.operation;
    }
}

/* The engine is left behind each `popf`, as an interrupt may come. One that comes is taken where the next block asks (flags.c). So if the
 * flags that blocks depend on are still the same, goto where the table says. */
EXPORTED void tcg_gen_exit_tb_x86_64(tcg *state, void *tb, unsigned from);
void tcg_gen_exit_tb_x86_64(tcg *state, void *tb, unsigned from)
{
    const struct jump *table = block.loads_eflags && !tb ? jumps_from(state) : NULL;

    if (table) {
        kc *m = kc_running();
        void *differ = T.gen_new_label(state);
        size_t eflags_at;
        var base = base_of(state, m, kc_eflags_at(m), &eflags_at), now = T.tcg_temp_new_internal(state, TYPE_I64, false);
        var same = constant(state, block.flags & KC_BLOCK_EFLAGS);
        T.tcg_gen_op3(state, LD32U_I64, (uintptr_t)now, (uintptr_t)base, eflags_at);
        T.tcg_gen_andi_i64(state, arg(state, now), arg(state, now), KC_BLOCK_EFLAGS);
        T.tcg_gen_brcond_i64(state, DIFFERENT, arg(state, now), arg(state, same), differ);
        emit_jump(state, m, table);
        T.tcg_gen_op1(state, SET_LABEL, (uintptr_t)differ);
        forget_base(state, base);
        forget(state, (var[]){now, same}, 2);
    }
    T.tcg_gen_exit_tb(state, tb, from);
}

/* The bytes of a word of a bit each, times 255. */
static void fill_bytes(tcg *state, var word)
{
    var shifted = T.tcg_temp_new_internal(state, TYPE_I64, false);

    T.tcg_gen_shli_i64(state, arg(state, shifted), arg(state, word), 8);
    T.tcg_gen_op3(state, SUB_I64, (uintptr_t)word, (uintptr_t)shifted, (uintptr_t)word);
    forget(state, &shifted, 1);
}

/* A store makes memory initialised: what its bytes' shadow is then, of which `now` is what it was. Where an allocator may store whatever the
 * shadow says, its bytes keep that, and that they were written. */
static void emit_written(tcg *state, var now, var at, unsigned operation)
{
    var closed = T.tcg_temp_new_internal(state, TYPE_I64, false), written = T.tcg_temp_new_internal(state, TYPE_I64, false);

    T.tcg_gen_andi_i64(state, arg(state, closed), arg(state, now), (int64_t)(KC_EACH_BYTE * KC_NO_ACCESS));
    T.tcg_gen_shli_i64(state, arg(state, written), arg(state, closed), WRITTEN_SHIFT);
    fill_bytes(state, closed);
    T.tcg_gen_op3(state, kc_or_operation() + AND_FROM_OR, (uintptr_t)closed, (uintptr_t)closed, (uintptr_t)now);
    T.tcg_gen_op3(state, kc_or_operation(), (uintptr_t)closed, (uintptr_t)closed, (uintptr_t)written);
    T.tcg_gen_op3(state, operation, (uintptr_t)closed, (uintptr_t)at, 0);
    forget(state, (var[]){closed, written}, 2);
}

/* Note a store of so many bytes. */
static void emit_note(tcg *state, uintptr_t address, unsigned size, const struct store_log *log)
{
    var at = constant(state, (uintptr_t)log), count = load(state, at, offsetof(struct store_log, count));
    var store = T.tcg_temp_new_internal(state, TYPE_I64, false), place = T.tcg_temp_new_internal(state, TYPE_I64, false);

    T.tcg_gen_andi_i64(state, arg(state, place), arg(state, count), KC_STORES - 1);
    T.tcg_gen_shli_i64(state, arg(state, place), arg(state, place), STORE_SHIFT);
    T.tcg_gen_op3(state, ADD_I64, (uintptr_t)place, (uintptr_t)place, (uintptr_t)at);
    T.tcg_gen_addi_i64(state, arg(state, store), address, (int64_t)size << 32);
    T.tcg_gen_op3(state, ST_I64, (uintptr_t)store, (uintptr_t)place, offsetof(struct store_log, stores));
    T.tcg_gen_addi_i64(state, arg(state, count), arg(state, count), 1);
    T.tcg_gen_op3(state, ST_I64, (uintptr_t)count, (uintptr_t)at, offsetof(struct store_log, count));
    forget(state, (var[]){at, count, store, place}, 4);
}

/* Of a word of the shadow, bit 7 of the bytes that count: in a store not of those that are only uninitialised, in an allocator of no others.
 * Of the former, return addresses count. */
static void select_poison(tcg *state, var word, bool is_store, bool is_exempt)
{
    var shifted = T.tcg_temp_new_internal(state, TYPE_I64, false);

    if (is_store) {
        T.tcg_gen_shri_i64(state, arg(state, shifted), arg(state, word), RETURN_SHIFT);
        T.tcg_gen_op3(state, kc_or_operation(), (uintptr_t)word, (uintptr_t)word, (uintptr_t)shifted);
        T.tcg_gen_andi_i64(state, arg(state, word), arg(state, word), (int64_t)(KC_EACH_BYTE * KC_NO_ACCESS));
        T.tcg_gen_shli_i64(state, arg(state, word), arg(state, word), POISON_BIT);
    } else if (is_exempt) {
        T.tcg_gen_shli_i64(state, arg(state, shifted), arg(state, word), POISON_BIT);
        T.tcg_gen_op3(state, kc_or_operation() + XOR_FROM_OR, (uintptr_t)word, (uintptr_t)word, (uintptr_t)shifted);
        T.tcg_gen_andi_i64(state, arg(state, word), arg(state, word), (int64_t)(KC_EACH_BYTE << POISON_BIT));
    }
    forget(state, &shifted, 1);
}

/* A store that leads to `at`; or to nowhere, with the address in its lower half, if it meets what the window compares. */
static void emit_store(tcg *state, unsigned operation, uintptr_t value, uintptr_t address, uintptr_t at, const struct fast_window *window)
{
    enum { NOWHERE = 47 }; /* a bit that no address of the host's has alone */
    int64_t bytes = 1 << (operation - ST8_I64);
    var to = NULL;

    if (window->compared_size) {
        var distance = T.tcg_temp_new_internal(state, TYPE_I64, false), reach = constant(state, window->compared_size + (uint64_t)bytes - 1);
        to = T.tcg_temp_new_internal(state, TYPE_I64, false);
        T.tcg_gen_addi_i64(state, arg(state, to), window->is_near ? address : at, (int64_t)1 << NOWHERE);
        T.tcg_gen_addi_i64(state, arg(state, distance), address, bytes - 1 - (int64_t)window->compared_low);
        T.tcg_gen_movcond_i64(state, NOT_LESS_UNSIGNED, arg(state, to), arg(state, distance), arg(state, reach), at, arg(state, to));
        forget(state, (var[]){distance, reach}, 2);
    }
    T.tcg_gen_op3(state, operation, (uintptr_t)state + value, to ? (uintptr_t)to : (uintptr_t)state + at, window->is_near ? window->base : 0);
    if (to)
        forget(state, &to, 1);
}

/* An access where the shadow tells what is uninitialised, too. The shadow of what was stored is changed at the sum, so that a bad store
 * faults there again, and changes nothing (core/windows.c). */
static void emit_defining(tcg *state, bool is_store, uintptr_t value, uintptr_t address, unsigned operation, unsigned load_shadow, const struct fast_window *window)
{
    var at = T.tcg_temp_new_internal(state, TYPE_I64, false), now = T.tcg_temp_new_internal(state, TYPE_I64, false);
    var sum = T.tcg_temp_new_internal(state, TYPE_I64, false);

    T.tcg_gen_addi_i64(state, arg(state, at), address, (int64_t)window->shadow);
    T.tcg_gen_op3(state, load_shadow, (uintptr_t)now, (uintptr_t)at, 0);
    if (is_store && window->is_exempt) {
        emit_store(state, operation, value, address, address, window);
        emit_written(state, now, at, operation);
        emit_note(state, address, 1u << (operation - ST8_I64), window->log);
        forget(state, (var[]){at, now, sum}, 3);
        return;
    }
    select_poison(state, now, is_store, window->is_exempt);
    if (load_shadow == LD_I64) { /* its upper half would be lost below */
        T.tcg_gen_shri_i64(state, arg(state, sum), arg(state, now), 32);
        T.tcg_gen_op3(state, kc_or_operation(), (uintptr_t)now, (uintptr_t)now, (uintptr_t)sum);
    }
    T.tcg_gen_shli_i64(state, arg(state, sum), arg(state, now), KC_POISON_SHIFT);
    T.tcg_gen_op3(state, ADD_I64, (uintptr_t)sum, (uintptr_t)sum, (uintptr_t)state + address);
    if (!is_store) {
        T.tcg_gen_op3(state, operation, (uintptr_t)state + value, (uintptr_t)sum, window->base);
    } else {
        var zero = constant(state, 0);
        emit_store(state, operation, value, address, arg(state, sum), window);
        T.tcg_gen_addi_i64(state, arg(state, at), arg(state, sum), (int64_t)window->shadow);
        T.tcg_gen_op3(state, operation, (uintptr_t)zero, (uintptr_t)at, 0);
        forget(state, &zero, 1);
    }
    forget(state, (var[]){at, now, sum}, 3);
}

/* The sum of an address and its shadow, as fast_accesses.c explains it; loaded by an operation of the access's size that extends the sign. */
static var poisoned(tcg *state, uintptr_t address, unsigned load_shadow)
{
    var sum = T.tcg_temp_new_internal(state, TYPE_I64, false);

    if (load_shadow == LD_I64) { /* its upper half would be lost below */
        var half = T.tcg_temp_new_internal(state, TYPE_I64, false);
        T.tcg_gen_op3(state, LD32S_I64, (uintptr_t)half, (uintptr_t)state + address, KC_IN_SEGMENT + 4);
        T.tcg_gen_op3(state, LD32S_I64, (uintptr_t)sum, (uintptr_t)state + address, KC_IN_SEGMENT);
        T.tcg_gen_op3(state, kc_or_operation(), (uintptr_t)sum, (uintptr_t)sum, (uintptr_t)half);
        forget(state, &half, 1);
        block.segment_loads++;
    } else {
        T.tcg_gen_op3(state, load_shadow, (uintptr_t)sum, (uintptr_t)state + address, KC_IN_SEGMENT);
    }
    block.segment_loads++;
    T.tcg_gen_shli_i64(state, arg(state, sum), arg(state, sum), KC_POISON_SHIFT);
    T.tcg_gen_op3(state, ADD_I64, (uintptr_t)sum, (uintptr_t)sum, (uintptr_t)state + address);
    return sum;
}

/* Where the marks of a return address lie, and what they are; where these are `is`, they become `then`. */
static var marks_of(tcg *state, uintptr_t address, const struct fast_window *window, uint32_t is, uint32_t then, var *at)
{
    *at = T.tcg_temp_new_internal(state, TYPE_I64, false);
    var now = T.tcg_temp_new_internal(state, TYPE_I64, false), from = constant(state, is), to = constant(state, then);

    T.tcg_gen_addi_i64(state, arg(state, *at), address, (int64_t)window->marks);
    T.tcg_gen_op3(state, LD32U_I64, (uintptr_t)now, (uintptr_t)*at, 0);
    T.tcg_gen_movcond_i64(state, EQUAL, arg(state, now), arg(state, now), arg(state, from), arg(state, to), arg(state, now));
    forget(state, (var[]){from, to}, 2);
    return now;
}

/* A call has pushed its return address: whoever stores there from now on is looked at (core/return_addresses.h). */
static void emit_mark(tcg *state, uintptr_t address, const struct fast_window *window)
{
    var at, marks = marks_of(state, address, window, 0, RETURN_WORD, &at);

    T.tcg_gen_op3(state, ST32_I64, (uintptr_t)marks, (uintptr_t)at, 0);
    forget(state, (var[]){at, marks}, 2);
}

/* A return address is loaded, which is no bad access because of its marks; and is none any more, if the instruction returns. */
static void emit_return(tcg *state, uintptr_t value, uintptr_t address, unsigned operation, const struct fast_window *window)
{
    var at, marks = marks_of(state, address, window, RETURN_WORD, 0, &at), sum = T.tcg_temp_new_internal(state, TYPE_I64, false);
    bool is_checked = window->shadow && !window->is_exempt;

    T.tcg_gen_shli_i64(state, arg(state, sum), arg(state, marks), is_checked ? KC_POISON_SHIFT : 0);
    T.tcg_gen_op3(state, ADD_I64, (uintptr_t)sum, (uintptr_t)sum, (uintptr_t)state + address);
    T.tcg_gen_op3(state, operation, (uintptr_t)state + value, is_checked ? (uintptr_t)sum : (uintptr_t)state + address, window->base);
    if (window->returns == KC_TAKES_RETURN)
        T.tcg_gen_op3(state, ST32_I64, (uintptr_t)marks, (uintptr_t)at, 0);
    forget(state, (var[]){at, marks, sum}, 3);
}

/* is_store, value, address: as in emit_fast(); loads: those of the access's size, with the sign extended or not. */
static void emit_access(tcg *state, bool is_store, uintptr_t value, uintptr_t address, unsigned operation, const uint8_t loads[2], const struct fast_window *window)
{
    if (window->is_defining) {
        emit_defining(state, is_store, value, address, operation, loads[0], window);
        return;
    }
    var at = window->shadow ? poisoned(state, address, loads[1]) : NULL;
    if (!at && !window->is_near) {
        at = T.tcg_temp_new_internal(state, TYPE_I64, false);
        T.tcg_gen_addi_i64(state, arg(state, at), address, (int64_t)window->base);
    }
    if (is_store)
        emit_store(state, operation, value, address, at ? arg(state, at) : address, window);
    else
        T.tcg_gen_op3(state, operation, (uintptr_t)state + value, at ? (uintptr_t)at : (uintptr_t)state + address, window->is_near ? window->base : 0);
    if (at)
        forget(state, &at, 1);
}

/* An access as one operation on the host's memory, see fast_accesses.c. False: it cannot be. */
static bool emit_fast(tcg *state, bool is_store, uintptr_t value, uintptr_t address, uintptr_t mode, unsigned kind)
{
    enum { KINDS = 8, SIZE = 3, WORDS = 2, SIGN = 4 };
    static const uint8_t loads[][2] = {{0x43, 0x44}, {0x45, 0x46}, {LD32U_I64, LD32S_I64}, {LD_I64, LD_I64}}, stores[] = {ST8_I64, 0x4b, ST32_I64, ST_I64};
    kc *m = kc_running();
    struct fast_window window;

    if (!block.is_ours || block.tracks || block.is_for_once || (mode != KC_SUPERVISOR && mode != KC_USER) || kind >= KINDS ||
        !kc_goes_fast(m, kc_instruction_at(), mode == KC_USER, &window) || !numbers_hold(state) || !kc_fast_accesses_hold(m, state) || (window.shadow && !kc_segment_is_usable()))
        return false;
    unsigned operation = is_store ? stores[kind & SIZE] : loads[kind & SIZE][(kind & SIGN) != 0];
    bool is_word = (kind & SIZE) == WORDS;
    if (is_word && !is_store && (window.returns == KC_TAKES_RETURN || window.returns == KC_READS_RETURN))
        emit_return(state, value, address, operation, &window);
    else
        emit_access(state, is_store, value, address, operation, loads[kind & SIZE], &window);
    if (is_word && is_store && window.returns == KC_PUSHES_RETURN)
        emit_mark(state, address, &window);
    check_exit_request_x86_64(state);
    return true;
}

/* What allocators load from KASAN's shadow. False: it is none of that. */
static bool emit_accessible(tcg *state, uintptr_t value, uintptr_t mode)
{
    uint32_t found;

    if (!block.is_ours || mode != KC_SUPERVISOR || !kc_loads_accessible(kc_running(), kc_instruction_at(), &found) || !numbers_hold(state))
        return false;
    var parts[] = {constant(state, found), constant(state, 0)};
    T.tcg_gen_op3(state, ADD_I64, (uintptr_t)state + value, (uintptr_t)parts[0], (uintptr_t)parts[1]);
    forget(state, parts, 2);
    return true;
}

/* Accesses: of a memory operand that has to be aligned the first one, see alignment.c. */
#define ACCESS(name, is_store) \
    static void emit_##name(tcg *state, uintptr_t value, uintptr_t address, uintptr_t mode, unsigned kind) \
    { \
        bool aligned = kc_needs_alignment(); \
        if (!is_store && emit_accessible(state, value, mode)) \
            return; \
        if (!aligned && emit_fast(state, is_store, value, address, mode, kind)) \
            return; \
        block.asks = true; \
        if (!aligned || !numbers_hold(state)) { \
            T.tcg_gen_qemu_##name##_i64(state, value, address, mode, kind); \
            return; \
        } \
        var marked = T.tcg_temp_new_internal(state, TYPE_I64, false); \
        T.tcg_gen_andi_i64(state, arg(state, marked), address, 15); \
        T.tcg_gen_shli_i64(state, arg(state, marked), arg(state, marked), MISALIGNED); \
        T.tcg_gen_op3(state, ADD_I64, (uintptr_t)marked, (uintptr_t)marked, (uintptr_t)state + address); \
        T.tcg_gen_qemu_##name##_i64(state, value, arg(state, marked), mode, kind); \
        forget(state, &marked, 1); \
    } \
    EXPORTED void tcg_gen_qemu_##name##_i64_x86_64(tcg *state, uintptr_t value, uintptr_t address, uintptr_t mode, unsigned kind); \
    void tcg_gen_qemu_##name##_i64_x86_64(tcg *state, uintptr_t value, uintptr_t address, uintptr_t mode, unsigned kind) \
    { \
        uint32_t operations = block.operations + 1; \
        emit_##name(state, value, address, mode, kind); \
        block.operations = operations; \
    }
ACCESS(ld, false)
ACCESS(st, true)

struct last kc_block_as_last(const uint8_t *tb)
{
    struct last last;

    memcpy(&last.pc, tb, sizeof last.pc);
    memcpy(&last.size, tb + BLOCK_SIZE, sizeof last.size);
    memcpy(&last.count, tb + BLOCK_ICOUNT, sizeof last.count);
    return last;
}

static void fill_in(kc *m, const uint8_t *tb)
{
    struct last last = kc_block_as_last(tb);

    *block.added = last.count;
    memcpy(block.last, &last, sizeof last);
    for (int i = 0; i < 2 && !block.asks; i++)
        T.tcg_op_remove(block.state, block.stores[i]);
    emit_look(block.state, m, last.count);
}

/* The code of a block is there. */
EXPORTED int tcg_gen_code_x86_64(tcg *state, uint8_t *tb);
int tcg_gen_code_x86_64(tcg *state, uint8_t *tb)
{
    int size = T.tcg_gen_code(state, tb);
    uint8_t *code;

    memcpy(&code, tb + BLOCK_CODE, sizeof code);
    if (size > 0 && block.state == state && block.added && !kc_count_in_register(code, (size_t)size, kc_block_as_last(tb).count))
        kc_counting_by_hooks(kc_running());
    if (size > 0 && block.state == state && !kc_load_from_segment(code, (size_t)size, block.segment_loads))
        return NO_ROOM;
    return size;
}

/* Those that a block is translated for, if its jumps may look for others in a table. */
static uint32_t lasting_flags(kc *m, const uint8_t *tb)
{
    uint64_t base;
    uint32_t flags;

    memcpy(&base, tb + BLOCK_BASE, sizeof base);
    memcpy(&flags, tb + BLOCK_FLAGS, sizeof flags);
    bool is_known = base == kc_segment_base(m, CS) && flags == kc_block_flags(m);
    bool last = (flags & KC_PROTECTED) && !(flags & (KC_SHADOW | KC_STEPS | KC_RESUMES | KC_VIRTUAL_8086 | KC_MPX));
    return is_known && last && !base ? flags : 0;
}

static void translate(kc *m, void *cpu, uint8_t *tb, int longest)
{
    memset(&block, 0, sizeof block);
    uint32_t kind, flags;
    memcpy(&kind, tb + BLOCK_KIND, sizeof kind);
    block.is_for_once = kind & FOR_ONCE;
    memcpy(&block.pc, tb, sizeof block.pc);
    if (m)
        kc_forget_places(m);
    if (m && !kc_cpu(m))
        kc_note_cpu(m, cpu);
    block.is_ours = m && kc_cpu(m) == cpu;
    block.stack_distance = block.is_ours ? kc_esp(m) - kc_ebp(m) : 0;
    block.starts = block.is_ours && kc_counts_itself(m);
    if (block.is_ours)
        kc_note_block(m, tb);
    block.flags = block.is_ours ? lasting_flags(m, tb) : 0;
    memcpy(&flags, tb + BLOCK_FLAGS, sizeof flags);
    block.tracks = block.is_ours && flags & KC_TRACKS;
    T.gen_intermediate_code(cpu, tb, longest);
    if (block.added && block.last)
        fill_in(m, tb);
    if (block.starts && !kc_has_counted_itself(m)) /* the call at its start did not come to tcg_gen_callN() above */
        kc_counting_by_hooks(m);
    block.starts = false;
}

EXPORTED void gen_intermediate_code_x86_64(void *cpu, uint8_t *tb, int longest);
void gen_intermediate_code_x86_64(void *cpu, uint8_t *tb, int longest)
{
    kc *m = kc_running();

    translate(m, cpu, tb, longest);
    if (block.is_ours && kc_guards(m, block.pc))
        kc_on_guarded_code(m, (uint32_t)block.pc);
    if (block.is_ours && kc_checks(m))
        kc_look_at_code(m, (uint32_t)block.pc);
    if (!block.cut)
        return;
    T.tcg_func_start(block.state); /* once more, and shorter */
    translate(m, cpu, tb, (int)block.cut);
}

/* Unicorn computes an address in a register of the host's 64 bits, and cuts it to 32 bits afterwards. A sum of 32 bits needs no
 * cutting: a host that is an x86-64 clears the upper half by itself. This comes behind the engine's own optimisation, which would
 * take a sum of constants for a signed number. */
static void narrow(tcg *state)
{
    for (uint64_t *op = block.first, *next; (next = (uint64_t *)op[NEXT]); op = next) {
        bool cuts = (uint8_t)next[0] == EXTEND && next[ARGUMENTS] == op[ARGUMENTS] && next[ARGUMENTS + 1] == op[ARGUMENTS];
        if ((uint8_t)op[0] != ADD_I64 || !cuts)
            continue;
        *(uint8_t *)op = ADD_I32;
        T.tcg_op_remove(state, next);
        next = op;
    }
}

EXPORTED void tcg_optimize_x86_64(tcg *state);
void tcg_optimize_x86_64(tcg *state)
{
    T.tcg_optimize(state);
    if (narrows && block.first && block.state == state)
        narrow(state);
}

bool kc_crosses_page(const uint8_t *tb)
{
    uint64_t pc;
    uint16_t size;

    memcpy(&pc, tb, sizeof pc);
    memcpy(&size, tb + BLOCK_SIZE, sizeof size);
    return (pc & PAGE_MASK) + size > PAGE_SIZE;
}

bool kc_translates_ours(void) { return block.is_ours; }

uint32_t kc_next_instruction(void)
{
    if (block.is_ours && block.operations >= OPERATIONS_MAX && !block.cut)
        block.cut = block.instructions;
    return block.instructions++;
}

bool kc_cut_block(void)
{
    if (!block.cut)
        block.cut = block.instructions - 1;
    return block.cut;
}

bool kc_is_cut(void) { return block.cut; }

bool kc_starts_on_page_of(uint64_t address) { return block.pc >> PAGE_SHIFT == address >> PAGE_SHIFT; }

bool kc_translation_load(void *unicorn)
{
    bool all = true; /* what is there is needed in any case, to be passed on to */

#define X(result, name, parameters) all &= (T.name = (__typeof__(T.name))kc_find(unicorn, #name "_x86_64")) != NULL;
    TRANSLATOR(X)
#undef X
    T.check_exit = kc_find(unicorn, "helper_check_exit_request_x86_64");
    T.flags = kc_find(unicorn, "helper_cc_compute_all_x86_64");
    T.carry = kc_find(unicorn, "helper_cc_compute_c_x86_64");
    T.read_eflags = kc_find(unicorn, "helper_read_eflags_x86_64");
    return all && T.check_exit;
}
