/* The values of a call: words of the stack, registers, constants, and what a profile computes from them and from memory. */
#include "core/mmu.h"
#include "record/values.h"
#include "unicorn/state.h"

static uint32_t loaded(kc *m, uint32_t address, uint32_t mask)
{
    uint32_t word;

    kc_words(m, kc_segment_base(m, DS) + address, &word, 1);
    return word & mask;
}

static uint32_t combined(uint32_t kind, uint32_t left, uint32_t right)
{
    switch (kind) {
    case KC_ADD: return left + right;
    case KC_SUBTRACT: return left - right;
    case KC_MULTIPLY: return left * right;
    case KC_DIVIDE: return right ? left / right : 0;
    case KC_AND: return left & right;
    case KC_OR: return left | right;
    case KC_SHIFT_LEFT: return right < 32 ? left << right : 0;
    case KC_SHIFT_RIGHT: return right < 32 ? left >> right : 0;
    case KC_EQUAL: return left == right;
    case KC_DIFFERENT: return left != right;
    default: return left < right;
    }
}

__attribute__((noinline)) uint32_t kc_computed(kc *m, const kc_operation *operation, const uint32_t values[KC_VALUES], uint32_t result)
{
    uint32_t stack[KC_DEPTH], depth = 0;

    for (; operation->kind != KC_END; operation++)
        switch (operation->kind) {
        case KC_PUSH: stack[depth++] = operation->operand; break;
        case KC_VALUE: stack[depth++] = values[operation->operand]; break;
        case KC_RESULT: stack[depth++] = result; break;
        case KC_LOAD8: stack[depth - 1] = loaded(m, stack[depth - 1], 0xff); break;
        case KC_LOAD16: stack[depth - 1] = loaded(m, stack[depth - 1], 0xffff); break;
        case KC_LOAD32: stack[depth - 1] = loaded(m, stack[depth - 1], UINT32_MAX); break;
        default:
            depth--;
            stack[depth - 1] = combined(operation->kind, stack[depth - 1], stack[depth]);
        }
    return stack[0];
}

static uint32_t register_value(kc *m, uint32_t number)
{
    static const int ids[] = {UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,
                              UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI};
    return kc_reg(m, ids[number]);
}

void kc_values_at_entry(kc *m, const kc_call_entry *entry, const kc_operation *operations, uint32_t esp, const uint32_t words[KC_WORDS_AT_ENTRY],
                        uint32_t values[KC_VALUES])
{
    for (uint32_t i = 0; i < entry->value_count; i++) {
        uint32_t operand = entry->values[i].operand;
        switch (entry->values[i].kind) {
        case KC_ON_STACK: values[i] = operand % 4 == 0 && operand / 4 < KC_WORDS_AT_ENTRY ? words[operand / 4] : kc_stack_word(m, esp + operand); break;
        case KC_IN_REGISTER: values[i] = register_value(m, operand); break;
        case KC_IMMEDIATE: values[i] = operand; break;
        case KC_COMPUTED: values[i] = kc_computed(m, operations + operand, values, 0); break;
        default: values[i] = 0;
        }
    }
}
