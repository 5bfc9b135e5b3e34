/* Frames that interrupts and exceptions have pushed, on the stacks of all tasks.
 *
 * `iret` leaves a frame, and another interrupt at the same words replaces it. Kernels leave frames in other ways, too: they drop
 * the stack, return by `ret` or `sysexit`, or never. Such a frame is still listed, and its words may be left on the stack, below
 * or among newer ones. So a frame in the list is one that may be there; unwinding.c looks whether the stack goes through it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mmu.h"
#include "core/reports.h"
#include "core/windows.h"
#include "record/interrupt_frames.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { FRAMES_MAX = 256 }; /* of more, the oldest is forgotten */
enum { CHANGES_KEPT = 64 };

/* The newest last. */
struct interrupt_frames {
    uint64_t changes;
    uint32_t changed[CHANGES_KEPT]; /* ESP of the newest frames that came or went, by number of change */
    uint32_t count;
    struct interrupt_frame list[FRAMES_MAX];
};

static void note_change(struct interrupt_frames *f, const struct interrupt_frame *frame) { f->changed[f->changes++ % CHANGES_KEPT] = frame->at.esp; }

static void forget(struct interrupt_frames *f, uint32_t index)
{
    note_change(f, &f->list[index]);
    memmove(f->list + index, f->list + index + 1, (--f->count - index) * sizeof *f->list);
}

void kc_on_interrupt(kc *m, uint32_t at, uint32_t eip, uint32_t cs, uint32_t handler)
{
    struct interrupt_frames *f = m->interrupt_frames;

    kc_windows_exempt(m, false);
    if (!kc_sees_flags(m))
        return; /* it would never be known to be left */
    kc_frame_left(m, kc_frame_at(m, at)); /* the slot is used again */
    if (f->count == FRAMES_MAX)
        forget(f, 0);
    f->list[f->count++] = (struct interrupt_frame){kc_slot_at(m, at), eip, cs, handler};
    note_change(f, &f->list[f->count - 1]);
}

int kc_frame_at(kc *m, uint32_t esp)
{
    int i = (int)m->interrupt_frames->count;
    uint32_t memory = i ? kc_slot_memory(m, esp) : 0;

    while (i-- > 0 && m->interrupt_frames->list[i].at.physical != memory) {}
    return i;
}

void kc_frame_left(kc *m, int frame)
{
    if (frame >= 0)
        forget(m->interrupt_frames, (uint32_t)frame);
}

static bool is_there(kc *m, const struct interrupt_frame *frame)
{
    return kc_slot_is_here(m, &frame->at) && kc_stack_word(m, frame->at.esp) == frame->eip;
}

uint64_t kc_interrupt_frames_changes(const kc *m) { return m->interrupt_frames->changes; }

bool kc_interrupt_frames_changed(const kc *m, uint64_t changes, uint32_t esp, uint32_t size)
{
    const struct interrupt_frames *f = m->interrupt_frames;

    if (f->changes - changes > CHANGES_KEPT)
        return true;
    for (; changes < f->changes; changes++)
        if (f->changed[changes % CHANGES_KEPT] - esp < size)
            return true;
    return false;
}

const struct interrupt_frame *kc_interrupt_frame_above(kc *m, uint32_t from)
{
    const struct interrupt_frame *nearest = NULL;

    for (uint32_t i = 0; i < m->interrupt_frames->count; i++) {
        const struct interrupt_frame *each = &m->interrupt_frames->list[i];
        if (each->at.esp >= from && (!nearest || each->at.esp < nearest->at.esp) && is_there(m, each))
            nearest = each;
    }
    return nearest;
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_interrupt_frames_save(kc *m, void **out)
{
    struct interrupt_frames *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = *m->interrupt_frames;
    *out = saved;
    return 0;
}

int kc_interrupt_frames_restore(kc *m, const void *data)
{
    struct interrupt_frames *f = m->interrupt_frames;
    const struct interrupt_frames *saved = data;

    f->count = saved->count;
    memcpy(f->list, saved->list, saved->count * sizeof *saved->list);
    f->changes += CHANGES_KEPT + 1; /* of any of them */
    return 0;
}

int kc_interrupt_frames_init(kc *m) { return KC_NEW(m->interrupt_frames); }

void kc_interrupt_frames_free(kc *m) { free(m->interrupt_frames); }
