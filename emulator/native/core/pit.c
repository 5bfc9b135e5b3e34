/* The interval timer of a PC: 8254 at ports 0x40 to 0x43, channel 0 on interrupt line 0, channel 2 for the speaker, with its port 0x61.
 *
 * Kernels poll its counters, so it is here and not in Python. Time is virtual. A counter is not kept: it follows from the time at
 * which it was loaded. As in QEMU (hw/timer/i8254.c, hw/audio/pcspk.c), a control word does not stop a counter, the gate does not hold
 * one up but starts it again when it rises, and bit 4 of port 0x61, the refresh of memory, changes with each reading.
 *
 * A square wave begins high: loading it raises the line of channel 0, unless the one before was high at that moment.
 *
 * Shortcomings: a counter in BCD counts in binary; the output of channel 0 raises its line at the end of each period, or once. That the
 * 8259 forgets at its ICW1 that the line was high is not known here.
 *
 * Source: Intel 8254 data sheet; IBM PC/AT Technical Reference (wiring, port 0x61).
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/pit.h"

enum { CHANNELS = 3, FIRST_PORT = 0x40, COMMAND = 0x43, SPEAKER = 0x61, NOBODY = 0xff };
enum { TICK_LINE = 0 };
enum { FREQUENCY_HZ = 1193182, NS_PER_S = 1000000000, COUNT_MAX = 0x10000 };
enum { LATCH = 0, LOW = 1, HIGH = 2, BOTH = 3 }; /* access to a counter */
enum { READ_BACK = 3, NO_COUNT = 0x20, NO_STATUS = 0x10 };
enum { ONCE = 0, ONE_SHOT = 1, RATE = 2, SQUARE = 3, STROBE = 4, TRIGGERED = 5 }; /* modes */
enum { GATE = 0x01, SOUND = 0x02, REFRESH = 0x10, OUT = 0x20 };

struct channel {
    uint32_t count; /* to be counted down, 1 to COUNT_MAX */
    uint64_t loaded_ns;
    uint8_t control; /* access, mode and BCD, as in the status */
    bool is_square;  /* it was loaded in that mode */
    bool high_next_read, high_next_write;
    uint8_t low;     /* written, while the high byte is to come */
    uint16_t latched;
    uint8_t latched_access; /* how `latched` is read; 0: nothing is latched */
    bool has_status;
    uint8_t status;
};

struct pit {
    struct channel channels[CHANNELS];
    uint8_t speaker; /* GATE, SOUND, REFRESH */
};

static int access_of(const struct channel *c) { return c->control >> 4 & 3; }

static int mode_of(const struct channel *c)
{
    int mode = c->control >> 1 & 7;
    return mode > TRIGGERED ? mode & 3 : mode;
}

/* -- counting ------------------------------------------------------------------------------------ */

/* Clocks since the counter was loaded. */
static uint64_t elapsed(const kc *m, const struct channel *c)
{
    return (uint64_t)((unsigned __int128)(kc_clock_ns(m) - c->loaded_ns) * FREQUENCY_HZ / NS_PER_S);
}

static uint16_t counter(const kc *m, const struct channel *c)
{
    uint64_t clocks = elapsed(m, c);

    switch (mode_of(c)) {
    case RATE:
        return (uint16_t)(c->count - clocks % c->count);
    case SQUARE:
        return (uint16_t)(c->count - 2 * clocks % c->count);
    default:
        return (uint16_t)(c->count - clocks);
    }
}

static bool is_in_first_half(const kc *m, const struct channel *c)
{
    return elapsed(m, c) % c->count < (c->count + 1) / 2;
}

static bool output(const kc *m, const struct channel *c)
{
    uint64_t clocks = elapsed(m, c);

    switch (mode_of(c)) {
    case ONCE:
        return clocks >= c->count;
    case ONE_SHOT:
        return clocks < c->count;
    case RATE:
        return clocks && clocks % c->count == 0;
    case SQUARE:
        return is_in_first_half(m, c);
    default:
        return clocks == c->count;
    }
}

/* Let the line of channel 0 be raised when it has to be. */
static void set_ticks(kc *m, const struct channel *c)
{
    int mode = mode_of(c);
    kc_timer timer = {.line = TICK_LINE, .start_ns = c->loaded_ns, .frequency = FREQUENCY_HZ, .periodic = mode == RATE || mode == SQUARE};

    if (mode != ONE_SHOT && mode != TRIGGERED) /* their gate never rises */
        timer.clocks = c->count;
    kc_timer_set(m, KC_PIT_TIMER, &timer);
}

static void load(kc *m, struct channel *c, uint32_t count)
{
    bool was_high = c->is_square && is_in_first_half(m, c);

    c->count = count ? count : COUNT_MAX;
    c->loaded_ns = kc_clock_ns(m);
    c->is_square = mode_of(c) == SQUARE;
    if (c == m->pit->channels) {
        set_ticks(m, c);
        if (c->is_square && !was_high)
            kc_pic_request(m, TICK_LINE);
    }
}

/* -- ports ---------------------------------------------------------------------------------------- */

static void latch(const kc *m, struct channel *c)
{
    if (!c->latched_access) {
        c->latched = counter(m, c);
        c->latched_access = (uint8_t)access_of(c);
    }
}

static void read_back(const kc *m, struct channel *c, uint8_t command)
{
    if (!(command & NO_COUNT))
        latch(m, c);
    if (!(command & NO_STATUS) && !c->has_status) {
        c->status = (uint8_t)(output(m, c) << 7 | c->control);
        c->has_status = true;
    }
}

static void control(kc *m, uint8_t command)
{
    int number = command >> 6;
    struct channel *c = &m->pit->channels[number];

    if (number == READ_BACK) {
        for (int i = 0; i < CHANNELS; i++)
            if (command & (2 << i))
                read_back(m, &m->pit->channels[i], command);
    } else if ((command >> 4 & 3) == LATCH) {
        latch(m, c);
    } else {
        c->control = command & 0x3f;
        c->high_next_read = c->high_next_write = false;
    }
}

static uint8_t read_channel(const kc *m, struct channel *c)
{
    if (c->has_status) {
        c->has_status = false;
        return c->status;
    }
    if (c->latched_access) {
        bool high = c->latched_access == HIGH;
        c->latched_access = c->latched_access == BOTH ? HIGH : 0;
        return (uint8_t)(high ? c->latched >> 8 : c->latched);
    }
    bool high = access_of(c) == HIGH || (access_of(c) == BOTH && c->high_next_read);
    if (access_of(c) == BOTH)
        c->high_next_read = !c->high_next_read;
    return (uint8_t)(high ? counter(m, c) >> 8 : counter(m, c));
}

static void write_channel(kc *m, struct channel *c, uint8_t byte)
{
    if (access_of(c) == HIGH) {
        load(m, c, (uint32_t)byte << 8);
    } else if (access_of(c) != BOTH) {
        load(m, c, byte);
    } else if (!c->high_next_write) {
        c->low = byte;
        c->high_next_write = true;
    } else {
        c->high_next_write = false;
        load(m, c, (uint32_t)byte << 8 | c->low);
    }
}

static uint8_t read_speaker(kc *m)
{
    struct pit *p = m->pit;

    p->speaker ^= REFRESH;
    return p->speaker | (output(m, &p->channels[2]) ? OUT : 0);
}

static void write_speaker(kc *m, uint8_t byte)
{
    struct pit *p = m->pit;
    struct channel *c = &p->channels[2];
    bool rises = (byte & GATE) && !(p->speaker & GATE);

    p->speaker = (p->speaker & REFRESH) | (byte & (GATE | SOUND));
    if (rises && mode_of(c) != ONCE && mode_of(c) != STROBE)
        c->loaded_ns = kc_clock_ns(m);
}

static uint8_t read_byte(kc *m, uint32_t port)
{
    if (port == SPEAKER)
        return read_speaker(m);
    if (port == COMMAND)
        return 0;
    return port >= FIRST_PORT && port < COMMAND ? read_channel(m, &m->pit->channels[port - FIRST_PORT]) : NOBODY;
}

static void write_byte(kc *m, uint32_t port, uint8_t byte)
{
    if (port == SPEAKER)
        write_speaker(m, byte);
    else if (port == COMMAND)
        control(m, byte);
    else if (port >= FIRST_PORT && port < COMMAND)
        write_channel(m, &m->pit->channels[port - FIRST_PORT], byte);
}

uint32_t kc_pit_in(kc *m, uint32_t port, int size)
{
    uint32_t value = 0;

    for (int i = 0; i < size; i++)
        value |= (uint32_t)read_byte(m, port + (uint32_t)i) << 8 * i;
    return value;
}

void kc_pit_out(kc *m, uint32_t port, int size, uint32_t value)
{
    for (int i = 0; i < size; i++)
        write_byte(m, port + (uint32_t)i, (uint8_t)(value >> 8 * i));
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_pit_save(kc *m, void **out)
{
    struct pit *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = *m->pit;
    *out = saved;
    return 0;
}

int kc_pit_restore(kc *m, const void *saved)
{
    *m->pit = *(const struct pit *)saved;
    return 0;
}

/* As a PC's firmware leaves it: channel 0 ticks 18.2 times a second. */
int kc_pit_init(kc *m)
{
    if (KC_NEW(m->pit))
        return -1;
    for (int i = 0; i < CHANNELS; i++)
        m->pit->channels[i] = (struct channel){.count = COUNT_MAX, .control = SQUARE << 1};
    m->pit->channels[0].control = BOTH << 4 | RATE << 1;
    set_ticks(m, &m->pit->channels[0]);
    return 0;
}

void kc_pit_free(kc *m) { free(m->pit); }
