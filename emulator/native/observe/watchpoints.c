/* The last write to a word, and those that changed it, and where the kernel was then. */
#include <string.h>

#include "machine.h"

static uint32_t watched_bytes(const kc *m)
{
    uint32_t value = 0;
    memcpy(&value, m->memory + m->word_at, m->word_size);
    return value;
}

/* Before the write: what the watched bytes will be, which the access may cover in part. */
static uint32_t bytes_after(const kc *m, uint32_t address, uint32_t size, uint64_t value)
{
    uint32_t after = watched_bytes(m);

    for (uint32_t i = 0; i < size && i < sizeof value; i++)
        if (address + i - m->word_at < m->word_size)
            memcpy((uint8_t *)&after + (address + i - m->word_at), (const uint8_t *)&value + i, 1);
    return after;
}

static void on_write(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *data)
{
    kc *m = data;
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP);
    (void)uc, (void)type;

    if (address + (uint64_t)size <= m->word_at || address >= m->word_at + m->word_size)
        return;
    m->last_write = (kc_write){
        .eip = eip,
        .pc = kc_pc(m),
        .event = m->now.events,
        .before = watched_bytes(m),
        .after = bytes_after(m, (uint32_t)address, (uint32_t)size, (uint64_t)value),
        .stack = kc_stack_number(m, kc_stack_at(m, eip), 0),
        .count = m->last_write.count + 1,
    };
    if (m->last_write.before == m->last_write.after)
        return;
    m->last_change = m->last_write;
    if (!m->first_change.count)
        m->first_change = m->last_write;
}

int kc_watch_word(kc *m, uint32_t physical, uint32_t size)
{
    int error = 0;

    if (m->word_size) {
        U.uc_hook_del(m->uc, m->word_hook);
        m->word_size = 0;
    }
    if (size) {
        uint64_t first = physical < 15 ? 0 : physical - 15; /* no access is longer than 16 bytes */
        m->word_at = physical;
        memset(&m->last_write, 0, sizeof m->last_write);
        memset(&m->first_change, 0, sizeof m->first_change);
        memset(&m->last_change, 0, sizeof m->last_change);
        error = U.uc_hook_add(m->uc, &m->word_hook, UC_HOOK_MEM_WRITE, (void *)on_write, m, first, physical + size - 1);
        m->word_size = error ? 0 : size;
    }
    kc_flush_code(m);
    kc_flush_tlb(m);
    return error;
}

void kc_last_write(kc *m, kc_write *out) { *out = m->last_write; }

void kc_changes(kc *m, kc_write *first, kc_write *last)
{
    *first = m->first_change;
    *last = m->last_change;
}
