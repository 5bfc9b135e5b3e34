/* The host's segment GS, in which the shadow lies at the guest's addresses while translated code runs.
 *
 * Each checked access loads the shadow of its bytes (fast_accesses.c). The shadow lies too far away for an instruction's displacement, so that to load where it lies, and to add
 * that, would be two instructions of six. Nobody else uses GS in 64-bit programs of Linux: the C library's own is FS.
 *
 * The translator of QEMU has no segments. It emits a load at a displacement of four bytes that is in no other code; once the block's code is there,
 * that becomes one of one byte, and prefixes for GS in front of the instruction take the place of the other three. Only loads that extend
 * the sign to 64 bits will do, for those begin with a REX prefix whatever their registers are. Of the displacement's bytes only the first, which
 * counts, begins an instruction in 64-bit mode: where they are found behind such an opcode they are no constant of the guest's.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unicorn/shadow_segment.h"

enum { SET_GS = 0x1001 }; /* ARCH_SET_GS, asm/prctl.h */
enum { DISPLACEMENT = 4, PREFIXES = DISPLACEMENT - 1, GS = 0x65 };
enum { REX_W = 0x48, MOVSLQ = 0x63, TWO_BYTES = 0x0f, MOVSBQ = 0xbe, MOVSWQ = 0xbf };
enum { MOD = 0xc0, MOD_8 = 0x40, MOD_32 = 0x80, RM = 7, HAS_SIB = 4, SIB_NO_INDEX = 0x24 };

static bool fails;

bool kc_segment_is_usable(void) { return !fails; }

/* Where an instruction begins that loads at a displacement; NULL: none does. */
static uint8_t *load_at(uint8_t *code, uint8_t *displacement)
{
    bool has_sib = displacement - code >= 5 && displacement[-1] == SIB_NO_INDEX && (displacement[-2] & (MOD | RM)) == (MOD_32 | HAS_SIB);
    uint8_t *modrm = displacement - 1 - has_sib;

    if (modrm - code < 3 || (modrm[0] & MOD) != MOD_32 || (!has_sib && (modrm[0] & RM) == HAS_SIB))
        return NULL;
    bool is_word = modrm[-1] == MOVSLQ, is_part = modrm[-2] == TWO_BYTES && (modrm[-1] == MOVSBQ || modrm[-1] == MOVSWQ);
    uint8_t *rex = modrm - (is_word ? 2 : 3);
    return (is_word || is_part) && (*rex & 0xf8) == REX_W ? rex : NULL;
}

static void use_segment(uint8_t *load, uint8_t *displacement)
{
    size_t before = (size_t)(displacement - load);
    uint8_t first = *displacement;

    memmove(load + PREFIXES, load, before);
    memset(load, GS, PREFIXES);
    uint8_t *modrm = load + PREFIXES + (load[PREFIXES + 1] == MOVSLQ ? 2 : 3);
    *modrm = (uint8_t)((*modrm & ~MOD) | MOD_8);
    displacement[PREFIXES] = first;
}

bool kc_load_from_segment(uint8_t *code, size_t size, uint32_t loads)
{
    static const uint8_t rest[] = {KC_IN_SEGMENT >> 8 & 0xff, KC_IN_SEGMENT >> 16 & 0xff, KC_IN_SEGMENT >> 24};
    uint8_t *end = code + size, *at = code;
    uint32_t found = 0, others = 0;

    while (loads && (at = memmem(at, (size_t)(end - at), rest, sizeof rest))) {
        uint8_t *load = at > code ? load_at(code, at - 1) : NULL;
        if (load)
            use_segment(load, at - 1);
        found += load != NULL;
        others += !load;
        at += sizeof rest;
    }
    fails |= found > loads || (found < loads && others); /* the translator drops loads that are never executed */
    return !fails;
}

void kc_begin_segment(const void *start) { syscall(SYS_arch_prctl, SET_GS, start); }
