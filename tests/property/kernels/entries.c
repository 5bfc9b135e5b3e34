/* Frames that are given back by the entry of a page table in which they are; that is how a program keeps them, too. */

#include "program.h"

#define FIRST 0x280u
#define FRAMES 256u
#define PRESENT 3u

static byte is_taken[FRAMES];

API word frame_take(void)
{
    for (word frame = 0; frame < FRAMES; frame++)
        if (!is_taken[frame]) {
            is_taken[frame] = 1;
            if (is_broken)
                frame = (word)slots[0] / PAGE - FIRST;
            is_broken = 0;
            return FIRST + frame;
        }
    return -1u;
}

API void frame_give(word *entry)
{
    word frame = *entry / PAGE - FIRST;

    if (frame < FRAMES)
        is_taken[frame] = 0;
    *entry = 0;
}

static byte *take(word how, word a, byte **out)
{
    (void)how, (void)a, (void)out;
    return (byte *)(CALL(frame_take) * PAGE | PRESENT);
}

static void give(byte *kept, word a)
{
    word entry = (word)kept;

    (void)a;
    RUN(frame_give, &entry);
}

static word address(byte *kept)
{
    return (word)kept & -PAGE;
}

static const struct allocator allocator = {.take = take, .give = give, .address = address};
