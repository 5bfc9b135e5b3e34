/* The translations that a TLB may hold.
 *
 * Theory of operation. Arrays by page and by frame lead to a translation in one step; the host gives memory only for those parts of
 * them that are used. A frame with page tables leads to the chain of all translations that come from it, so that a write to an entry
 * finds its own among at most 1024 × 1024 of a directory, or 1024 of a table. A translation stays in its chains until all are
 * forgotten, or until its page comes from another table.
 *
 * Shortcomings. The entries of the first of three levels (PAE) are not kept.
 */
#include <stdlib.h>
#include <string.h>

#include "observe/translations.h"

enum { DIRECTORY, TABLE, PAGES_4GIB = 1 << 20, FIRST_CAPACITY = 256 };

bool kc_translations_init(struct translations *t, uint64_t frames)
{
    *t = (struct translations){.frames = frames};
    for (int i = 0; i < 2; i++) {
        t->of_pages[i] = calloc(PAGES_4GIB, sizeof *t->of_pages[i]);
        t->of_frames[i] = calloc(frames, sizeof *t->of_frames[i]);
    }
    if (t->of_pages[0] && t->of_pages[1] && t->of_frames[0] && t->of_frames[1])
        return true;
    kc_translations_free(t);
    return false;
}

void kc_translations_free(struct translations *t)
{
    for (int i = 0; i < 2; i++) {
        free(t->of_pages[i]);
        free(t->of_frames[i]);
    }
    free(t->all);
    *t = (struct translations){0};
}

/* The head of a chain; NULL: a large page has no table. */
static uint32_t *chain_of(const struct translations *t, const struct kc_translation *as, int level)
{
    uint64_t at = as->entries_at[level];
    return at == KC_NO_ENTRY ? NULL : &t->of_frames[level][at >> PAGE_SHIFT];
}

static uint32_t *number_of(const struct translations *t, uint32_t linear, bool user)
{
    return &t->of_pages[user][linear >> PAGE_SHIFT];
}

void kc_translations_clear(struct translations *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct kc_translation *as = &t->all[i].as;
        *number_of(t, as->linear, as->user) = 0;
        for (int level = DIRECTORY; level <= TABLE; level++)
            if (chain_of(t, as, level))
                *chain_of(t, as, level) = 0;
    }
    t->count = 0;
}

struct held *kc_translations_find(const struct translations *t, uint32_t linear, bool user)
{
    uint32_t number = *number_of(t, linear, user);
    struct held *held = number ? &t->all[number - 1] : NULL;
    return held && held->is_held ? held : NULL;
}

static void chain_in(struct translations *t, uint32_t number)
{
    struct held *held = &t->all[number - 1];

    for (int level = DIRECTORY; level <= TABLE; level++) {
        uint32_t *head = chain_of(t, &held->as, level);
        if (!head)
            continue;
        held->next[level] = *head;
        *head = number;
    }
}

static void unchain(struct translations *t, uint32_t number)
{
    struct held *held = &t->all[number - 1];

    for (int level = DIRECTORY; level <= TABLE; level++) {
        uint32_t *at = chain_of(t, &held->as, level);
        while (at && *at != number)
            at = &t->all[*at - 1].next[level];
        if (at)
            *at = held->next[level];
    }
}

static uint32_t new_number(struct translations *t)
{
    if (t->count == t->capacity) {
        uint32_t capacity = t->capacity ? 2 * t->capacity : FIRST_CAPACITY;
        struct held *all = realloc(t->all, capacity * sizeof *all);
        if (!all)
            return 0;
        t->all = all;
        t->capacity = capacity;
    }
    return ++t->count;
}

struct held *kc_translations_add(struct translations *t, const struct kc_translation *filled)
{
    uint32_t *of_page = number_of(t, filled->linear, filled->user), number = *of_page;
    struct held *held = number ? &t->all[number - 1] : NULL;
    bool stays = held && memcmp(held->as.entries_at, filled->entries_at, sizeof filled->entries_at) == 0;
    struct held filled_now = {.as = *filled, .is_held = true};

    if (held && !stays)
        unchain(t, number);
    if (!number && !(number = new_number(t)))
        return NULL;
    held = &t->all[number - 1];
    if (stays)
        memcpy(filled_now.next, held->next, sizeof held->next);
    *held = filled_now;
    *of_page = number;
    if (!stays)
        chain_in(t, number);
    return held;
}

bool kc_translations_use(const struct translations *t, uint64_t frame)
{
    return frame < t->frames && (t->of_frames[DIRECTORY][frame] || t->of_frames[TABLE][frame]);
}
