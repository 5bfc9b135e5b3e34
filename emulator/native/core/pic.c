/* The two interrupt controllers of a PC: 8259A, the slave on line 2 of the master (Intel 8259A data sheet, ICW1-4, OCW1-3).
 *
 * Edge triggered, fully nested, with the fixed priorities of the PC: line 0 first, lines 8 to 15 in the place of line 2. Rotation of
 * priorities is ignored: no kernel of a PC uses it.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/interrupts.h"
#include "core/pic.h"

enum { MASTER = 0x20, SLAVE = 0xa0, LINES = 8, CASCADE = 1 << 2, SPURIOUS = 7, NOBODY = 0xff };
enum { ICW1 = 0x10, ICW1_NEEDS_ICW4 = 0x01, ICW1_SINGLE = 0x02, ICW4_AUTO_EOI = 0x02 };
enum { OCW3 = 0x08, OCW3_READ = 0x02, OCW3_READ_ISR = 0x01, EOI = 0x20, EOI_SPECIFIC = 0x60, COMMAND = 0xe0 };
enum { FIRMWARE_MASTER = 0x08, FIRMWARE_SLAVE = 0x70 }; /* vectors of line 0, as a BIOS leaves them */
enum { COM1_LINE = 1 << 4 }; /* has asked while a BIOS looked for COM1 */

/* Initialization words to come. */
enum { VECTOR = 1 << 0, CASCADE_WORD = 1 << 1, MODE = 1 << 2 };

struct chip {
    uint8_t requested, in_service, mask; /* IRR, ISR, IMR */
    uint8_t vector;                      /* of line 0 */
    uint8_t expected;
    bool auto_eoi, reads_isr;
};

struct pic {
    struct chip master, slave;
    bool pending; /* the CPU is asked for an interrupt */
    /* What the APICs say, which Python has. */
    bool apic_asks, passes; /* passes: this pair's interrupts reach the CPU */
    uint32_t apic_lines;    /* that the I/O APIC lets through */
};

static uint32_t lowest(uint32_t bits) { return bits & -bits; }

static uint32_t number_of(uint32_t bit) { return (uint32_t)__builtin_ctz(bit); }

/* The bit of the line that would interrupt now: the most urgent one, if no other as urgent is in service. */
static uint32_t pending_line(const struct chip *chip)
{
    uint32_t bit = lowest(chip->requested & ~chip->mask), service = lowest(chip->in_service);

    return !service || bit < service ? bit : 0;
}

/* The CPU takes a line: its vector. */
static uint32_t take(struct chip *chip, uint32_t bit)
{
    chip->requested &= (uint8_t)~bit;
    if (!chip->auto_eoi)
        chip->in_service |= (uint8_t)bit;
    return chip->vector + number_of(bit);
}

/* Put the slave's request on the master's cascade line, and ask the CPU. */
static void changed(kc *m)
{
    struct pic *p = m->pic;

    if (pending_line(&p->slave))
        p->master.requested |= CASCADE;
    else
        p->master.requested &= (uint8_t)~CASCADE;
    p->pending = pending_line(&p->master);
    kc_irq_changed(m);
}

/* -- lines --------------------------------------------------------------------------------------- */

static struct chip *chip_of(const kc *m, uint32_t line) { return line < LINES ? &m->pic->master : &m->pic->slave; }

static bool apic_takes(const kc *m, uint32_t line) { return m->pic->apic_lines >> line & 1; }

bool kc_pic_pending(const kc *m) { return m->pic->pending; }

bool kc_irq_waits(const kc *m) { return m->pic->apic_asks || (m->pic->pending && m->pic->passes); }

bool kc_pic_is_requested(const kc *m, uint32_t line)
{
    return !apic_takes(m, line) && (chip_of(m, line)->requested >> line % LINES & 1);
}

bool kc_pic_is_masked(const kc *m, uint32_t line)
{
    bool cut_off = !m->pic->passes || (line >= LINES && (m->pic->master.mask & CASCADE));

    if (apic_takes(m, line))
        return false;
    return cut_off || (chip_of(m, line)->mask >> line % LINES & 1);
}

void kc_pic_request(kc *m, uint32_t line)
{
    chip_of(m, line)->requested |= (uint8_t)(1 << line % LINES);
    changed(m);
    if (apic_takes(m, line))
        python.apic_line(m->handle, line);
}

void kc_apic_says(kc *m, bool asks, bool passes_pic, uint32_t lines)
{
    m->pic->apic_asks = asks;
    m->pic->passes = passes_pic;
    m->pic->apic_lines = lines;
    kc_irq_changed(m);
}

uint32_t kc_irq_acknowledge(kc *m)
{
    bool from_pic = m->pic->pending && m->pic->passes;

    return from_pic || !m->pic->apic_asks ? kc_pic_acknowledge(m) : python.apic_acknowledge(m->handle);
}

uint32_t kc_pic_acknowledge(kc *m)
{
    struct pic *p = m->pic;
    uint32_t bit = pending_line(&p->master);

    if (!bit)
        return p->master.vector + SPURIOUS;
    kc_clock_tick_waiting(m);
    uint32_t vector = take(&p->master, bit), second = bit == CASCADE ? pending_line(&p->slave) : 0;
    if (second)
        vector = take(&p->slave, second);
    changed(m);
    return vector;
}

/* -- ports --------------------------------------------------------------------------------------- */

/* Everything but the vector is as after power-on, and no line is masked. */
static void initialize(struct chip *chip, uint8_t icw1)
{
    *chip = (struct chip){.vector = chip->vector, .expected = VECTOR};
    if (!(icw1 & ICW1_SINGLE))
        chip->expected |= CASCADE_WORD;
    if (icw1 & ICW1_NEEDS_ICW4)
        chip->expected |= MODE;
}

static void write_data(struct chip *chip, uint8_t byte)
{
    uint32_t word = lowest(chip->expected);

    chip->expected &= (uint8_t)~word;
    if (!word)
        chip->mask = byte;
    else if (word == VECTOR)
        chip->vector = byte & 0xf8;
    else if (word == MODE)
        chip->auto_eoi = byte & ICW4_AUTO_EOI;
}

static void write_command(struct chip *chip, uint8_t byte)
{
    if (byte & ICW1)
        initialize(chip, byte);
    else if ((byte & OCW3) && (byte & OCW3_READ))
        chip->reads_isr = byte & OCW3_READ_ISR;
    else if (byte & OCW3)
        ; /* special mask mode, poll: as without */
    else if ((byte & COMMAND) == EOI_SPECIFIC)
        chip->in_service &= (uint8_t)~(1 << (byte & 7));
    else if ((byte & COMMAND) == EOI)
        chip->in_service &= (uint8_t)(chip->in_service - 1); /* the most urgent one */
}

static struct chip *chip_at(const kc *m, uint32_t port)
{
    uint32_t first = port & ~1u;
    return first == MASTER ? &m->pic->master : first == SLAVE ? &m->pic->slave : NULL;
}

uint32_t kc_pic_in(kc *m, uint32_t port, int size)
{
    uint32_t value = 0;

    for (int i = 0; i < size; i++) {
        const struct chip *chip = chip_at(m, port + (uint32_t)i);
        uint32_t byte = !chip ? NOBODY
                        : (port + (uint32_t)i) & 1 ? chip->mask
                        : chip->reads_isr ? chip->in_service : chip->requested;
        value |= byte << 8 * i;
    }
    return value;
}

void kc_pic_out(kc *m, uint32_t port, int size, uint32_t value)
{
    kc_clock_tick_waiting(m);
    for (int i = 0; i < size; i++) {
        struct chip *chip = chip_at(m, port + (uint32_t)i);
        if (chip && ((port + (uint32_t)i) & 1))
            write_data(chip, (uint8_t)(value >> 8 * i));
        else if (chip)
            write_command(chip, (uint8_t)(value >> 8 * i));
    }
    changed(m);
}

/* -- life, snapshots ----------------------------------------------------------------------------- */

int kc_pic_save(kc *m, void **out)
{
    struct pic *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = *m->pic;
    *out = saved;
    return 0;
}

int kc_pic_restore(kc *m, const void *saved)
{
    *m->pic = *(const struct pic *)saved;
    kc_irq_changed(m);
    return 0;
}

int kc_pic_init(kc *m)
{
    if (KC_NEW(m->pic))
        return -1;
    m->pic->passes = true;
    m->pic->master = (struct chip){.mask = 0xb8, .requested = COM1_LINE, .vector = FIRMWARE_MASTER};
    m->pic->slave = (struct chip){.mask = 0x8e, .vector = FIRMWARE_SLAVE};
    return 0;
}

void kc_pic_free(kc *m) { free(m->pic); }
