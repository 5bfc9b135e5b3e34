/*
 * Memory for allocators whose point is another: first fit in units of 16 bytes, the last two of which are a gap. What is known of them lies
 * apart, and points nowhere.
 */

#define UNIT 16u
#define UNITS 4096u
#define GAP 2u /* so that a block that begins too late still ends in time */

static byte store[UNITS * UNIT] __attribute__((aligned(4096)));
static unsigned short lengths[UNITS]; /* of what begins there, in units */

static byte *carve(word size)
{
    word units = (size + GAP + UNIT - 1) / UNIT, free = 0;

    for (word at = 0; at < UNITS; at += lengths[at] ? lengths[at] : 1) {
        free = lengths[at] ? 0 : free + 1;
        if (free == units) {
            byte *found = store + (at + 1 - units) * UNIT;
            lengths[at + 1 - units] = (unsigned short)units;
            for (word i = 0; i < size; i++)
                found[i] = 0; /* what was there may look like a pointer to a block */
            return found;
        }
    }
    return 0;
}

/* Return the bytes of what begins at an address; 0: nothing does. */
static word carved(void *block)
{
    word at = (word)((byte *)block - store);

    return at < sizeof store && at % UNIT == 0 ? lengths[at / UNIT] * UNIT : 0;
}

static void put_back(void *block)
{
    if (carved(block))
        lengths[((byte *)block - store) / UNIT] = 0;
}
