/* The code of recorded functions: see code.h. */
#include <string.h>

#include "record/code.h"

enum { UNSIZED = 16 }; /* bytes of a symbol without a size */

void kc_code_keep(const kc *m, const kc_call_entry *entry, struct code *code)
{
    uint32_t size = entry->end > entry->start ? entry->end - entry->start : UNSIZED;

    size = size < KC_CODE_KEPT ? size : KC_CODE_KEPT;
    code->size = 0;
    if ((uint64_t)entry->physical + size > m->memory_end)
        return;
    code->size = size;
    memcpy(code->words, kc_at(m, entry->physical), size);
}

bool kc_code_is_there(kc *m, const kc_call_entry *entry, const struct code *code)
{
    uint32_t words[KC_CODE_KEPT / 4];

    if (kc_translate_used(m, entry->start) == (int64_t)entry->physical)
        return true;
    kc_words(m, entry->start, words, KC_CODE_KEPT / 4);
    return memcmp(words, code->words, code->size) == 0;
}
