/* The two interrupt controllers of a PC: 8259A, the slave on line 2 of the master (Intel 8259A data sheet, ICW1-4, OCW1-3).
 *
 * Priorities are those of the PC at first: line 0 first, lines 8 to 15 in the place of line 2. Each mode is as QEMU has it; for those
 * of the data sheet that are not there (level triggering by ICW1, the cascade of ICW3, buffers of ICW4), see there. The registers
 * that choose level triggering, line by line (Intel 82371SB data sheet, ELCR), keep what is written: devices raise lines for a
 * moment, which are edges in either case.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/interrupts.h"
#include "core/pic.h"

enum { MASTER = 0x20, SLAVE = 0xa0, LEVELS = 0x4d0, LINES = 8, CASCADE = 2, SPURIOUS = 7, NOBODY = 0xff, NMI = 2 };
enum { ICW1 = 0x10, ICW1_NEEDS_ICW4 = 0x01, ICW1_SINGLE = 0x02, ICW4_AUTO_EOI = 0x02, ICW4_NESTED = 0x10 };
enum { OCW3 = 0x08, OCW3_READ_ISR = 0x01, OCW3_READ = 0x02, OCW3_POLL = 0x04, OCW3_SPECIAL_MASK = 0x20, OCW3_SET_MASK = 0x40 };
enum { EOI = 0x20, SPECIFIC = 0x40, ROTATE = 0x80, LINE = 0x07 }; /* of OCW2 */
enum { POLLED = 0x80 };
enum { LEVELS_OF_MASTER = 0xf8, LEVELS_OF_SLAVE = 0xde }; /* the other lines are edge triggered for ever */
enum { FIRMWARE_LEVELS = 0x0c }; /* lines 10 and 11, of PCI */
enum { FIRMWARE_MASTER = 0x08, FIRMWARE_SLAVE = 0x70 }; /* vectors of line 0, as a BIOS leaves them */
enum { SERIAL_LINES = 1 << 3 | 1 << 4 }; /* have asked while a BIOS looked for COM2 and COM1 */

/* Initialization words to come. */
enum { VECTOR = 1 << 0, CASCADE_WORD = 1 << 1, MODE = 1 << 2 };

struct chip {
    uint8_t requested, in_service, mask; /* IRR, ISR, IMR */
    uint8_t vector;                      /* of line 0 */
    uint8_t first;                       /* the most urgent line */
    uint8_t expected;
    uint8_t levels;                      /* lines that are said to be level triggered */
    bool auto_eoi, rotates;              /* rotates: at each automatic end */
    bool reads_isr, polls, special_mask;
    bool nested;                         /* special fully nested mode: other requests of the slave come through */
    bool cascade;                        /* of the master: whether the slave asks, of which a rise is a request */
};

struct pic {
    struct chip master, slave;
    bool pending; /* the CPU is asked for an interrupt */
    /* What the APICs say, which Python has. */
    bool apic_asks, passes; /* passes: this pair's interrupts reach the CPU */
    uint32_t apic_lines;    /* that the I/O APIC lets through, and KC_PIC_OUTPUT */
    bool nmi, in_nmi;       /* one waits; one was taken, and no iret came yet */
};

static uint32_t bit_of(uint32_t line) { return 1u << (line & LINE); }

static uint32_t line_of(const struct chip *chip, uint32_t priority) { return (chip->first + priority) & LINE; }

/* The priority of the most urgent line in a set, 0 first; LINES: the set is empty. */
static uint32_t priority_in(const struct chip *chip, uint32_t lines)
{
    uint32_t rotated = (lines | lines << LINES) >> chip->first & 0xff;

    return rotated ? (uint32_t)__builtin_ctz(rotated) : LINES;
}

/* The line that would interrupt now: the most urgent one, if no other as urgent is in service; LINES: none. */
static uint32_t pending_line(const struct chip *chip)
{
    uint32_t priority = priority_in(chip, chip->requested & ~chip->mask), service = chip->in_service;

    if (chip->special_mask)
        service &= ~chip->mask;
    if (chip->nested)
        service &= ~bit_of(CASCADE);
    return priority < priority_in(chip, service) ? line_of(chip, priority) : LINES;
}

/* The CPU takes a line: its vector. */
static uint32_t take(struct chip *chip, uint32_t line)
{
    chip->requested &= (uint8_t)~bit_of(line);
    if (!chip->auto_eoi)
        chip->in_service |= (uint8_t)bit_of(line);
    else if (chip->rotates)
        chip->first = (line + 1) & LINE;
    return chip->vector + line;
}

/* The master sees what the slave asks at its cascade line, which is edge triggered. */
static void slave_changed(struct pic *p)
{
    bool asks = pending_line(&p->slave) < LINES;

    if (asks && !p->master.cascade)
        p->master.requested |= bit_of(CASCADE);
    p->master.cascade = asks;
}

/* Ask the CPU. */
static void changed(kc *m, const struct chip *chip)
{
    struct pic *p = m->pic;

    if (chip == &p->slave)
        slave_changed(p);
    p->pending = pending_line(&p->master) < LINES;
    kc_irq_changed(m);
    if (p->pending && (p->apic_lines >> KC_PIC_OUTPUT & 1))
        python.apic_line(m->handle, KC_PIC_OUTPUT);
}

/* -- lines --------------------------------------------------------------------------------------- */

static struct chip *chip_of(const kc *m, uint32_t line) { return line < LINES ? &m->pic->master : &m->pic->slave; }

static bool apic_takes(const kc *m, uint32_t line) { return m->pic->apic_lines >> line & 1; }

bool kc_pic_pending(const kc *m) { return m->pic->pending; }

bool kc_nmi_waits(const kc *m) { return m->pic->nmi && !m->pic->in_nmi; }

bool kc_irq_waits(const kc *m) { return m->pic->apic_asks || (m->pic->pending && m->pic->passes) || kc_nmi_waits(m); }

bool kc_pic_is_requested(const kc *m, uint32_t line)
{
    return !apic_takes(m, line) && (chip_of(m, line)->requested >> line % LINES & 1);
}

bool kc_pic_is_masked(const kc *m, uint32_t line)
{
    bool is_output_closed = !m->pic->passes && !(m->pic->apic_lines >> KC_PIC_OUTPUT & 1);
    bool cut_off = is_output_closed || (line >= LINES && (m->pic->master.mask & bit_of(CASCADE)));

    if (apic_takes(m, line))
        return false;
    return cut_off || (chip_of(m, line)->mask >> line % LINES & 1);
}

void kc_pic_request(kc *m, uint32_t line)
{
    chip_of(m, line)->requested |= (uint8_t)bit_of(line);
    changed(m, chip_of(m, line));
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

/* -- the interrupt that cannot be masked (Intel SDM vol. 3A, 6.7) ------------------------------------ */

void kc_nmi(kc *m)
{
    m->pic->nmi = true;
    kc_irq_changed(m);
}

void kc_on_nmi_end(kc *m)
{
    m->pic->in_nmi = false;
    if (m->pic->nmi)
        kc_irq_changed(m);
}

/* -- what the CPU takes --------------------------------------------------------------------------- */

uint32_t kc_irq_acknowledge(kc *m)
{
    if (kc_nmi_waits(m)) {
        m->pic->nmi = false;
        m->pic->in_nmi = true;
        return NMI;
    }
    bool from_pic = m->pic->pending && m->pic->passes;

    return from_pic || !m->pic->apic_asks ? kc_pic_acknowledge(m) : python.apic_acknowledge(m->handle);
}

uint32_t kc_pic_acknowledge(kc *m)
{
    struct pic *p = m->pic;
    uint32_t line = pending_line(&p->master);

    if (line == LINES)
        return p->master.vector + SPURIOUS;
    kc_clock_tick_waiting(m);
    uint32_t vector = 0;
    if (line == CASCADE) {
        uint32_t second = pending_line(&p->slave);
        vector = second < LINES ? take(&p->slave, second) : p->slave.vector + (uint32_t)SPURIOUS;
        slave_changed(p);
    }
    uint32_t own = take(&p->master, line);
    changed(m, &p->master);
    return line == CASCADE ? vector : own;
}

/* -- ports --------------------------------------------------------------------------------------- */

/* Everything but the vector and what is level triggered is as after power-on, and no line is masked. */
static void initialize(struct chip *chip, uint8_t icw1)
{
    uint8_t levels = chip->levels, kept = (uint8_t)(chip->requested & levels);

    *chip = (struct chip){.vector = chip->vector, .levels = levels, .requested = kept, .expected = VECTOR};
    if (!(icw1 & ICW1_SINGLE))
        chip->expected |= CASCADE_WORD;
    if (icw1 & ICW1_NEEDS_ICW4)
        chip->expected |= MODE;
}

static void write_data(struct chip *chip, uint8_t byte, bool is_master)
{
    uint32_t word = chip->expected & -(uint32_t)chip->expected; /* the next one */

    chip->expected &= (uint8_t)~word;
    if (!word)
        chip->mask = byte;
    else if (word == VECTOR)
        chip->vector = byte & 0xf8;
    else if (word == MODE) {
        chip->auto_eoi = byte & ICW4_AUTO_EOI;
        chip->nested = is_master && (byte & ICW4_NESTED);
    }
}

/* OCW2: ends an interrupt, of a line by its number or the most urgent one, and lets a line become the least urgent. */
static void end(struct chip *chip, uint8_t byte)
{
    uint32_t line = byte & LINE, priority = priority_in(chip, chip->in_service);

    if (!(byte & (EOI | SPECIFIC))) {
        chip->rotates = byte & ROTATE; /* of automatic ends */
        return;
    }
    if (!(byte & SPECIFIC) && priority == LINES)
        return;
    if (!(byte & SPECIFIC))
        line = line_of(chip, priority);
    if (byte & EOI)
        chip->in_service &= (uint8_t)~bit_of(line);
    if (byte & ROTATE)
        chip->first = (line + 1) & LINE;
}

/* OCW3 */
static void choose(struct chip *chip, uint8_t byte)
{
    if (byte & OCW3_POLL)
        chip->polls = true;
    if (byte & OCW3_READ)
        chip->reads_isr = byte & OCW3_READ_ISR;
    if (byte & OCW3_SET_MASK)
        chip->special_mask = byte & OCW3_SPECIAL_MASK;
}

static void write_command(struct chip *chip, uint8_t byte)
{
    if (byte & ICW1)
        initialize(chip, byte);
    else if (byte & OCW3)
        choose(chip, byte);
    else
        end(chip, byte);
}

/* The CPU asks by reading, in place of an acknowledgement: which line, if any. */
static uint32_t poll(struct chip *chip)
{
    uint32_t line = pending_line(chip);

    chip->polls = false;
    if (line == LINES)
        return 0;
    take(chip, line);
    return POLLED | line;
}

static struct chip *chip_at(const kc *m, uint32_t port)
{
    uint32_t first = port & ~1u;

    if (first == LEVELS)
        return port & 1 ? &m->pic->slave : &m->pic->master;
    return first == MASTER ? &m->pic->master : first == SLAVE ? &m->pic->slave : NULL;
}

static uint32_t read_byte(kc *m, uint32_t port)
{
    struct chip *chip = chip_at(m, port);

    if (!chip)
        return NOBODY;
    if ((port & ~1u) == LEVELS)
        return chip->levels;
    if (!chip->polls)
        return port & 1 ? chip->mask : chip->reads_isr ? chip->in_service : chip->requested;
    kc_clock_tick_waiting(m);
    uint32_t polled = poll(chip);
    changed(m, chip);
    return polled;
}

static void write_byte(kc *m, uint32_t port, uint8_t byte)
{
    struct chip *chip = chip_at(m, port);

    if (!chip)
        return;
    if ((port & ~1u) == LEVELS)
        chip->levels = (uint8_t)(byte & (chip == &m->pic->master ? LEVELS_OF_MASTER : LEVELS_OF_SLAVE));
    else if (port & 1)
        write_data(chip, byte, chip == &m->pic->master);
    else
        write_command(chip, byte);
    if (port & 1 || (byte & (ICW1 | OCW3)) != OCW3) /* OCW3 has effect with the next change, as in QEMU */
        changed(m, chip);
}

uint32_t kc_pic_in(kc *m, uint32_t port, int size)
{
    uint32_t value = 0;

    for (int i = 0; i < size; i++)
        value |= read_byte(m, port + (uint32_t)i) << 8 * i;
    return value;
}

void kc_pic_out(kc *m, uint32_t port, int size, uint32_t value)
{
    kc_clock_tick_waiting(m);
    for (int i = 0; i < size; i++)
        write_byte(m, port + (uint32_t)i, (uint8_t)(value >> 8 * i));
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
    m->pic->master = (struct chip){.mask = 0xb8, .requested = SERIAL_LINES, .vector = FIRMWARE_MASTER};
    m->pic->slave = (struct chip){.mask = 0x8e, .vector = FIRMWARE_SLAVE, .levels = FIRMWARE_LEVELS};
    return 0;
}

void kc_pic_free(kc *m) { free(m->pic); }
