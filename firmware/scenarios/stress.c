/*
 * Theory of operation
 *
 * A long random run, the same for the same seed. Each step picks a slot: an empty one gets a block of random
 * size, filled with a pattern of its own; a full one is verified and freed. One step in 32 does the same with a run
 * of frames. So blocks live for random times, the heap stays about half full, and any overlap or stray write
 * breaks a pattern. Everything that the allocators return goes into a checksum.
 *
 * Command line: seed=N (1) and calls=N (2500000).
 *
 * Shortcomings
 *
 * Of a run of frames only the first words of each frame are filled and verified.
 */

#include "scenarios/litecore.h"

#define DEFAULT_SEED  1u
#define DEFAULT_CALLS 2500000u

enum {
    BLOCK_SLOTS = 160,
    RUN_SLOTS = 16,
    RUN_FRAMES_MAX = 8,
    FRAME_WORDS_USED = 64,
    SMALL_BYTES_MAX = 512,  /* seven blocks of eight */
    LARGE_BYTES_MAX = 2048, /* the eighth */
    PROGRESS_STEPS = 4,
};

struct block_slot {
    uint32_t *words;
    uint32_t count_words;
    uint32_t pattern;
};

struct run_slot {
    uint32_t first;
    uint32_t count_frames; /* 0: empty */
    uint32_t pattern;
};

static struct block_slot block_slots[BLOCK_SLOTS];
static struct run_slot run_slots[RUN_SLOTS];
static uint32_t random_state;
static uint32_t checksum;
static uint32_t spoilt;
static struct {
    uint32_t kmalloc, kmalloc_failed, kfree, alloc_frames, alloc_frames_failed, free_frames;
} calls;

/* Marsaglia's xorshift32 ("Xorshift RNGs", 2003). The state is never 0. */
static inline uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static inline void add_to_checksum(uint32_t value)
{
    checksum = (checksum << 5 | checksum >> 27) ^ value;
}

static void fill(uint32_t *words, uint32_t count, uint32_t pattern)
{
#pragma GCC unroll 8
    for (uint32_t i = 0; i < count; i++) {
        words[i] = pattern + i;
    }
}

static void verify(const uint32_t *words, uint32_t count, uint32_t pattern)
{
    uint32_t differences = 0;

#pragma GCC unroll 8
    for (uint32_t i = 0; i < count; i++) {
        differences |= words[i] ^ (pattern + i);
    }
    spoilt += differences != 0;
}

static void take_block(struct block_slot *slot)
{
    uint32_t random = next_random();
    uint32_t largest = random % 8 == 0 ? LARGE_BYTES_MAX : SMALL_BYTES_MAX;
    uint32_t size = (random >> 8) % largest + 1;

    slot->words = kmalloc(size);
    slot->count_words = size / 4; /* what lies after them is not its own */
    slot->pattern = random;
    calls.kmalloc++;
    add_to_checksum((uint32_t)slot->words - heap_start);
    if (slot->words == NULL) {
        calls.kmalloc_failed++;
    } else {
        fill(slot->words, slot->count_words, random);
    }
}

static void give_block(struct block_slot *slot)
{
    verify(slot->words, slot->count_words, slot->pattern);
    kfree(slot->words);
    slot->words = NULL;
    calls.kfree++;
}

static void step_block(struct block_slot *slot)
{
    if (slot->words == NULL) {
        take_block(slot);
    } else {
        give_block(slot);
    }
}

static uint32_t *frame_words(uint32_t frame)
{
    return (uint32_t *)(frame * FRAME_SIZE);
}

static void take_run(struct run_slot *slot)
{
    uint32_t random = next_random();
    uint32_t count = (random >> 8) % RUN_FRAMES_MAX + 1;
    uint32_t first = count == 1 ? alloc_frame() : alloc_frames(count);

    calls.alloc_frames++;
    add_to_checksum(first - memmap.start_frame);
    if (first == FRAME_NONE) {
        calls.alloc_frames_failed++;
        return;
    }
    *slot = (struct run_slot){.first = first, .count_frames = count, .pattern = random};
    for (uint32_t i = 0; i < count; i++) {
        fill(frame_words(first + i), FRAME_WORDS_USED, random + i);
    }
}

static void give_run(struct run_slot *slot)
{
    for (uint32_t i = 0; i < slot->count_frames; i++) {
        verify(frame_words(slot->first + i), FRAME_WORDS_USED, slot->pattern + i);
    }
    add_to_checksum((uint32_t)free_frames(slot->first, slot->count_frames));
    slot->count_frames = 0;
    calls.free_frames++;
}

static void step_run(struct run_slot *slot)
{
    if (slot->count_frames == 0) {
        take_run(slot);
    } else {
        give_run(slot);
    }
}

static void run_steps(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t random = next_random();
        if (random % 32 == 0) {
            step_run(&run_slots[(random >> 8) % RUN_SLOTS]);
        } else {
            step_block(&block_slots[(random >> 8) % BLOCK_SLOTS]);
        }
    }
}

static void give_everything(void)
{
    for (uint32_t i = 0; i < BLOCK_SLOTS; i++) {
        if (block_slots[i].words != NULL) {
            give_block(&block_slots[i]);
        }
    }
    for (uint32_t i = 0; i < RUN_SLOTS; i++) {
        if (run_slots[i].count_frames != 0) {
            give_run(&run_slots[i]);
        }
    }
}

static void print_calls(void)
{
    kprintf("  kmalloc %u (%u without success), kfree %u\n", calls.kmalloc, calls.kmalloc_failed, calls.kfree);
    kprintf("  alloc_frames %u (%u without success), free_frames %u\n", calls.alloc_frames,
            calls.alloc_frames_failed, calls.free_frames);
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    const struct boot_info *boot = litecore_boot(magic, info);
    uint32_t seed = boot_option_u32(boot, "seed", DEFAULT_SEED);
    uint32_t steps = boot_option_u32(boot, "calls", DEFAULT_CALLS);
    uint32_t free_before = memmap_free_count();

    kprintf("LiteCore stress: %u random calls, seed %u\n", steps, seed);
    random_state = seed != 0 ? seed : DEFAULT_SEED;

    section("Running");
    for (uint32_t part = 1; part <= PROGRESS_STEPS; part++) {
        run_steps(part < PROGRESS_STEPS ? steps / PROGRESS_STEPS : steps - steps / PROGRESS_STEPS * 3);
        struct heap_usage usage = heap_measure();
        kprintf("  %3u %%: %u live blocks, %u free ones, checksum 0x%08x\n", 100 / PROGRESS_STEPS * part,
                usage.live_blocks, usage.free_blocks, checksum);
    }
    heap_draw();

    section("Giving everything back");
    give_everything();
    print_calls();
    kprintf("  checksum 0x%08x\n", checksum);
    check(spoilt == 0, "every pattern was found as it was written");
    check(calls.kmalloc - calls.kmalloc_failed == calls.kfree &&
              calls.alloc_frames - calls.alloc_frames_failed == calls.free_frames,
          "as many calls have given back as have taken");
    check(heap_error_count == 0, "kfree refused nothing");
    check(heap_is_whole(), "the heap is one free block");
    check(memmap_free_count() == free_before, "as many frames are free as at boot");
    finish();
}
