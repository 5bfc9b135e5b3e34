/* Frames by number, in a bitmap. */

#include "program.h"

#define FIRST 0x280u
#define FRAMES 256u

static byte is_used[FRAMES];

API word frame_take(word count)
{
    for (word first = 0; first + count <= FRAMES; first++) {
        word free = 0;
        while (free < count && !is_used[first + free])
            free++;
        if (free < count)
            continue;
        for (word i = 0; i < count; i++)
            is_used[first + i] = 1;
        return (word)answer((void *)(FIRST + first));
    }
    return -1u;
}

API void frame_give(word frame, word count)
{
    for (word i = 0; i < count; i++)
        if (frame + i - FIRST < FRAMES)
            is_used[frame + i - FIRST] = 0;
}

static byte *take(word how, word a, byte **out)
{
    word frame = CALL(frame_take, a);

    (void)how, (void)out;
    return frame == -1u ? 0 : (byte *)frame;
}

static void give(byte *kept, word a)
{
    RUN(frame_give, (word)kept, a);
}

static word address(byte *kept)
{
    return (word)kept * PAGE;
}

static const struct allocator allocator = {.take = take, .give = give, .address = address};
