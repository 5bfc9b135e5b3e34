/* The host's register r15 counts the instructions of the guest while translated code runs.
 *
 * A count in memory costs each block a load that waits for the store of the block before, and a store; stores are what translated code has
 * most of. The translator of QEMU can keep a register for one value in all blocks: it does so for the stack and the CPU's state.
 * tcg_set_frame() is the function that does it for the stack, and can be called for another register before.
 *
 * The translator only reads such registers. So a block stores the number of its instructions to a word that nobody reads, and that one instruction,
 * which is as long or longer, becomes the sum once the block's code is there.
 *
 * Translated code is entered and left in one place, in front of all blocks: there the count is loaded, and stored. That code is compared byte for
 * byte with what is expected before it is changed. Blocks in which somebody may ask for the count store it first (translation.c).
 */
#define _GNU_SOURCE
#include <string.h>
#include <ucontext.h>

#include "unicorn/count_register.h"
#include "unicorn/interpose.h"

enum { R15 = 15, RBP = 5 };
enum { FRAME_VARIABLE = 0x80, VARIABLE_SIZE = 56, STATE_SIZE = 1 << 16 }; /* struct TCGContext, struct TCGTemp */
#define FIXED_VARIABLE 0x2101010000u /* of the host's register 0: the first word of a TCGTemp, whose second byte differs */
#define FIXED_MASK 0xffffff00ffu

static uintptr_t count_at, state_at;
static __thread bool claims, is_claimed;

/* -- a register of the host for one value -------------------------------------------------------------- */

static bool is_variable_of(const uint8_t *variable, uint64_t reg)
{
    uint64_t word;

    memcpy(&word, variable, sizeof word);
    return (word & FIXED_MASK) == ((FIXED_VARIABLE & FIXED_MASK) | reg);
}

static void (*original_set_frame)(void *state, unsigned reg, intptr_t start, intptr_t size);
EXPORTED void tcg_set_frame_x86_64(void *state, unsigned reg, intptr_t start, intptr_t size);
void tcg_set_frame_x86_64(void *state, unsigned reg, intptr_t start, intptr_t size)
{
    if (claims) {
        uintptr_t variable;
        original_set_frame(state, R15, start, size);
        memcpy(&variable, (uint8_t *)state + FRAME_VARIABLE, sizeof variable);
        uintptr_t at = variable - (uintptr_t)state;
        if (at >= VARIABLE_SIZE && at < STATE_SIZE && is_variable_of((uint8_t *)variable, R15) && is_variable_of((uint8_t *)variable - VARIABLE_SIZE, RBP)) {
            count_at = at;
            state_at = at - VARIABLE_SIZE;
        }
    }
    original_set_frame(state, reg, start, size);
}

/* -- the way in and out ------------------------------------------------------------------------------- */

enum { FRONT = 64 }; /* bytes of a page in front of the first block, which a cache line starts */

/* tcg_target_qemu_prologue() of tcg/i386/tcg-target.inc.c: push rbp, rbx, r12 to r15; rbp = CPU's state; make room; go to the block. */
static const uint8_t enters[] = {0x55, 0x53, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x48, 0x8b, 0xef, 0x48, 0x81, 0xc4};
static const uint8_t goes[] = {0xff, 0xe6};
/* eax = 0; take the room back, which others jump to; perhaps vzeroupper; pop them; return. */
static const uint8_t clears[] = {0x33, 0xc0}, leaves[] = {0x48, 0x81, 0xc4}, forgets_upper[] = {0xc5, 0xf8, 0x77};
static const uint8_t pops[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5b, 0x5d, 0xc3};
enum { IMMEDIATE = 4 };

static const uint8_t stores_count[] = {0x4c, 0x89, 0x7d, KC_COUNT_AT, 0x66, 0xc7, 0x45, KC_IN_BLOCK_AT, 0, 0}, loads_count[] = {0x4c, 0x8b, 0x7d, KC_COUNT_AT};
enum { JUMP_SHORT = 0xeb, JUMP_SIZE = 2 };

static bool skip(const uint8_t **at, const uint8_t *expected, size_t size, size_t unknown)
{
    bool is_there = memcmp(*at, expected, size) == 0;

    *at += size + unknown;
    return is_there;
}
#define SKIP(at, expected, unknown) skip(at, expected, sizeof(expected), unknown)

static bool is_free(const uint8_t *from, const uint8_t *end)
{
    while (from < end && !*from)
        from++;
    return from == end;
}

/* Let the way in load the count behind the way out, which stores it. */
static bool put_count(uint8_t *front, const uint8_t *end)
{
    const uint8_t *at = front;
    bool is_known = SKIP(&at, enters, IMMEDIATE);
    uint8_t *jump = (uint8_t *)at;
    is_known = is_known && SKIP(&at, goes, 0) && SKIP(&at, clears, 0);
    uint8_t *out = (uint8_t *)at;
    is_known = is_known && SKIP(&at, leaves, IMMEDIATE);
    if (is_known && !memcmp(at, forgets_upper, sizeof forgets_upper))
        at += sizeof forgets_upper;
    is_known = is_known && SKIP(&at, pops, 0);
    size_t size = (size_t)(at - out);
    uint8_t *in = out + size + sizeof stores_count;
    if (!is_known || !is_free(at, end) || in + sizeof loads_count + sizeof goes > end)
        return false;
    memmove(out + sizeof stores_count, out, size);
    memcpy(out, stores_count, sizeof stores_count);
    memcpy(in, loads_count, sizeof loads_count);
    memcpy(in + sizeof loads_count, goes, sizeof goes);
    jump[0] = JUMP_SHORT;
    jump[1] = (uint8_t)(in - jump - JUMP_SIZE);
    return true;
}

static void (*original_register_jit)(void *state, uint8_t *code, size_t size);
EXPORTED void tcg_register_jit_x86_64(void *state, uint8_t *code, size_t size);
void tcg_register_jit_x86_64(void *state, uint8_t *code, size_t size)
{
    original_register_jit(state, code, size);
    uint8_t *front = code - ((uintptr_t)code & PAGE_MASK); /* all it has is that code, so far */
    if (claims && count_at)
        is_claimed = put_count(front, front + FRONT);
}

bool kc_count_register_claim(bool begins)
{
    bool was_claimed = is_claimed;

    claims = begins;
    is_claimed = false;
    return was_claimed;
}

uintptr_t kc_count_register(void) { return count_at; }

uintptr_t kc_state_register(void) { return state_at; }

/* -- blocks ---------------------------------------------------------------------------------------------- */

bool kc_count_in_register(uint8_t *code, size_t size, uint32_t instructions)
{
    uint8_t stores[8] = {0x48, 0xc7, 0x45, KC_ADDED_AT}; /* movq $instructions, KC_ADDED_AT(%rbp) */
    uint8_t adds[8] = {0x49, 0x81, 0xc7, 0, 0, 0, 0, 0x90}; /* add $instructions, %r15; nop */

    memcpy(stores + 4, &instructions, sizeof instructions);
    memcpy(adds + 3, &instructions, sizeof instructions);
    uint8_t *at = memmem(code, size, stores, sizeof stores);
    if (at)
        memcpy(at, adds, sizeof adds);
    return at;
}

uint64_t kc_count_in_context(const void *context) { return (uint64_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_R15]; }

/* -- life ------------------------------------------------------------------------------------------------- */

void kc_count_register_load(void *unicorn)
{
    original_set_frame = (__typeof__(original_set_frame))kc_find(unicorn, "tcg_set_frame_x86_64");
    original_register_jit = (__typeof__(original_register_jit))kc_find(unicorn, "tcg_register_jit_x86_64");
}
