/*
 * Theory of operation
 *
 * One bit for each 4 KiB frame of the managed window, 0 = free. All searches are one question, "where is the
 * next bit of this value": the first free frame is the next 0, a run of free frames reaches from a 0 to the next
 * 1. The answer is found 32 frames at a time: a word of the other value is skipped with one comparison, and
 * in the word that is left a bit scan points at the frame. A run always takes the lowest gap that fits, which
 * keeps the upper end of the window in one piece.
 *
 * The bitmap lies at `__end`. Where it does not fill its last word, that part is read byte by byte: what
 * lies after the bitmap is somebody else's and is neither read nor written.
 *
 * Every call works under memmap_lock with interrupts off.
 *
 * Shortcomings
 *
 * Each search starts at the bottom, so the cost of alloc_frame() grows with the number of frames in use below
 * the first free one: 24576 words in the worst case of a 3 GiB window. A frame has no owner and no count:
 * giving back another's frame, or a reserved one, is not noticed.
 */

#include "litecore/memmap.h"

#include "common/string.h"

#define WORD_BITS 32u
#define ALL_FREE  0x00000000u
#define ALL_USED  0xFFFFFFFFu

extern uint8_t __end[]; /* kernel.ld */

memmap_t memmap;
spinlock_t memmap_lock;

/*
 * Index of the first frame in [from, limit) that differs from `uniform` (ALL_FREE finds a used frame, ALL_USED a free
 * one); `limit` if there is none.
 */
static uint32_t find_other(uint32_t uniform, uint32_t from, uint32_t limit)
{
    uint32_t word_limit = bitmap_size(memmap.max_frames) / 4 * WORD_BITS;

    while (from < limit) {
        uint32_t others;
        if (from % WORD_BITS == 0 && from < word_limit) {
            others = ((const uint32_t *)memmap.bitmap)[from / WORD_BITS] ^ uniform;
            if (others == 0) {
                from += WORD_BITS;
                continue;
            }
        } else {
            others = (uint32_t)(uint8_t)(memmap.bitmap[from / 8] ^ uniform) >> from % 8;
            if (others == 0) {
                from = (from | 7) + 1;
                continue;
            }
        }
        from += lowest_set_bit(others);
        break;
    }
    return from < limit ? from : limit;
}

/* Index of the lowest run of `count` free frames; FRAME_NONE if there is none or `count` is 0. */
static uint32_t find_run(uint32_t count)
{
    uint32_t max = memmap.max_frames;
    uint32_t first = find_other(ALL_USED, 0, max);

    while (count != 0 && first < max && count <= max - first) {
        uint32_t end = find_other(ALL_FREE, first, first + count);
        if (end == first + count) {
            return first;
        }
        first = find_other(ALL_USED, end, max);
    }
    return FRAME_NONE;
}

/* Makes the `count` bits from index `first` equal to those of `uniform`. */
static void set_frames(uint32_t uniform, uint32_t first, uint32_t count)
{
    while (count > 0) {
        if (first % 8 == 0 && count >= 8) {
            memset(&memmap.bitmap[first / 8], (uint8_t)uniform, count / 8);
            first += count & ~7u;
            count %= 8;
        } else {
            uint8_t bit = (uint8_t)(1u << first % 8);
            memmap.bitmap[first / 8] = (uint8_t)((memmap.bitmap[first / 8] & ~bit) | (uniform & bit));
            first++;
            count--;
        }
    }
}

/* Takes the lowest run of `count` frames. Returns the first one's number, or FRAME_NONE. */
static uint32_t take_run(uint32_t count)
{
    uint32_t flags = spin_lock_irqsave(&memmap_lock);
    uint32_t index = find_run(count);
    uint32_t frame = FRAME_NONE;

    if (index != FRAME_NONE) {
        set_frames(ALL_USED, index, count);
        frame = memmap.start_frame + index;
    }
    spin_unlock_irqrestore(&memmap_lock, flags);
    return frame;
}

/* Are there `count` > 0 managed frames from index `first`, all in use? */
static bool all_used(uint32_t first, uint32_t count)
{
    return count != 0 && first < memmap.max_frames && count <= memmap.max_frames - first &&
           find_other(ALL_USED, first, first + count) == first + count;
}

/* Gives `count` frames back; 0, or -1 with nothing changed. */
static int give_run(uint32_t frame, uint32_t count)
{
    uint32_t flags = spin_lock_irqsave(&memmap_lock);
    uint32_t index = frame - memmap.start_frame; /* wraps far above max_frames when it is below */
    int result = -1;

    if (all_used(index, count)) {
        set_frames(ALL_FREE, index, count);
        result = 0;
    }
    spin_unlock_irqrestore(&memmap_lock, flags);
    return result;
}

void memmap_init(uint32_t start, uint32_t end)
{
    uint32_t first = start / FRAME_SIZE + (start % FRAME_SIZE != 0);
    uint32_t limit = end / FRAME_SIZE;

    if (limit <= first) {
        return;
    }
    uint32_t flags = spin_lock_irqsave(&memmap_lock);
    uint32_t frames = limit - first;
    memmap = (memmap_t){
        .start_addr = first * FRAME_SIZE,
        .end_addr = limit * FRAME_SIZE,
        .start_frame = first,
        .max_frames = frames,
        .bitmap = (uint8_t *)(((uintptr_t)__end + 3) & ~3u),
    };
    set_frames(ALL_FREE, 0, frames);
    set_frames(ALL_USED, frames, bitmap_size(frames) * 8 - frames); /* no frames for these bits */
    spin_unlock_irqrestore(&memmap_lock, flags);
}

uint32_t alloc_frame(void)
{
    return take_run(1);
}

uint32_t alloc_frames(uint32_t count)
{
    return take_run(count);
}

int free_frame(uint32_t frame)
{
    return give_run(frame, 1);
}

int free_frames(uint32_t first, uint32_t count)
{
    return give_run(first, count);
}

void memmap_reserve(uint32_t start, uint32_t end)
{
    if (end <= start) {
        return;
    }
    uint32_t flags = spin_lock_irqsave(&memmap_lock);
    uint32_t window_limit = memmap.start_frame + memmap.max_frames;
    uint32_t first = start / FRAME_SIZE;
    uint32_t limit = end / FRAME_SIZE + (end % FRAME_SIZE != 0);
    if (first < memmap.start_frame) {
        first = memmap.start_frame;
    }
    if (limit > window_limit) {
        limit = window_limit;
    }
    if (first < limit) {
        set_frames(ALL_USED, first - memmap.start_frame, limit - first);
    }
    spin_unlock_irqrestore(&memmap_lock, flags);
}

const memmap_t *memmap_get(void)
{
    return &memmap;
}

/* Number of set bits, by adding neighbours in parallel; the compiler's own way needs libgcc. */
static inline uint32_t count_set_bits(uint32_t word)
{
    word -= word >> 1 & 0x55555555;
    word = (word & 0x33333333) + (word >> 2 & 0x33333333);
    word = (word + (word >> 4)) & 0x0F0F0F0F;
    return word * 0x01010101 >> 24;
}

uint32_t memmap_free_count(void)
{
    uint32_t flags = spin_lock_irqsave(&memmap_lock);
    uint32_t bytes = bitmap_size(memmap.max_frames);
    const uint32_t *words = (const uint32_t *)memmap.bitmap;
    uint32_t count = 0;

    for (uint32_t i = 0; i < bytes / 4; i++) {
        count += count_set_bits(~words[i]);
    }
    for (uint32_t i = bytes & ~3u; i < bytes; i++) {
        count += count_set_bits((uint8_t)~memmap.bitmap[i]);
    }
    spin_unlock_irqrestore(&memmap_lock, flags);
    return count;
}

bool memmap_has_run(uint32_t count)
{
    uint32_t flags = spin_lock_irqsave(&memmap_lock);
    bool found = find_run(count) != FRAME_NONE;

    spin_unlock_irqrestore(&memmap_lock, flags);
    return found;
}
