/* Which instructions push return addresses and take them back, and their marks: see return_addresses.h. */
#include <string.h>

#include "core/ram.h"
#include "core/return_addresses.h"
#include "core/shadow.h"

/* -- instructions: Intel SDM vol. 2A, 2.1 and appendix A ------------------------------------------------ */

enum { LONGEST = 8 };

/* `call` of the next instruction says where that is. */
static bool is_call(const uint8_t *code)
{
    uint32_t distance;

    memcpy(&distance, code + 1, sizeof distance);
    return code[0] == 0xe8 ? distance : code[0] == 0xff && (code[1] >> 3 & 7) == 2;
}

static bool is_return(const uint8_t *code)
{
    code += *code == 0xf3;
    return *code == 0xc3 || *code == 0xc2;
}

/* mov (%esp), %reg: what a function is called for that says where its caller is; mov 4(%ebp), %reg: what tells who has called. */
static bool is_load(const uint8_t *code)
{
    bool is_top = (code[1] & 0xc7) == 0x04 && code[2] == 0x24, is_of_frame = (code[1] & 0xc7) == 0x45 && code[2] == 4;
    return code[0] == 0x8b && (is_top || is_of_frame);
}

enum kc_return_use kc_return_use(kc *m, uint32_t pc)
{
    int64_t at = kc_translate(m, pc);
    uint32_t size = PAGE_SIZE - (pc & PAGE_MASK);
    uint8_t code[LONGEST] = {0};

    if (at < 0 || (uint64_t)at >= m->memory_end)
        return KC_NO_RETURN;
    memcpy(code, kc_at(m, (uint64_t)at), size < LONGEST ? size : LONGEST); /* of what crosses a page the first part says enough */
    return is_call(code) ? KC_PUSHES_RETURN : is_return(code) ? KC_TAKES_RETURN : is_load(code) ? KC_READS_RETURN : KC_NO_RETURN;
}

/* -- marks ----------------------------------------------------------------------------------------------- */

/* Where a byte lies that has one; -1: it has none. */
static int64_t marked(kc *m, uint32_t linear)
{
    int64_t at = kc_translate_used(m, linear);
    return at >= 0 && (uint64_t)at < m->memory_end && *kc_shadow_at(m, (uint64_t)at) == KC_RETURN ? at : -1;
}

bool kc_has_return(kc *m, uint32_t linear, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (marked(m, linear + i) >= 0)
            return true;
    return false;
}

void kc_forget_return(kc *m, uint32_t linear, uint32_t size)
{
    enum { IN_WORD = 3 };
    uint32_t end = (linear + size + IN_WORD) & ~(uint32_t)IN_WORD;

    for (uint32_t at = linear & ~(uint32_t)IN_WORD; at != end; at++) {
        int64_t physical = marked(m, at);
        if (physical >= 0)
            kc_shadow_unmark(m, (uint64_t)physical);
    }
}
