/* Port I/O: what needs no device model is answered here, the rest goes to Python. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/bus.h"
#include "core/limits.h"
#include "core/pic.h"
#include "core/pit.h"
#include "core/ports.h"
#include "unicorn/counting.h"
#include "unicorn/state.h"

#define PORTS 65536u
#define CONSOLE_SIZE 4096
#define NS_PER_S 1000000000u
#define CLOCK_MASK 0xffffffu
#define QUIET_NS 50000000u /* a console that was silent this long shows its next byte at once */

struct port {
    uint8_t out, out_value, in, in_value;
    uint8_t data; /* number of its kc_data_port, from 1; 0: it is none */
    uint64_t in_until_ns; /* from then on KC_CONSTANT asks; UINT64_MAX: never */
    uint32_t frequency;   /* of KC_CLOCK */
    uint16_t use; /* place in `used`, from 1; 0: it was not accessed, or there was no room */
};

struct used { uint32_t count; kc_port_use ports[KC_PORTS_USED]; };

struct ports {
    struct port ports[PORTS];
    struct used used;
    uint8_t console[CONSOLE_SIZE];
    uint32_t console_used, console_number;
    int console_flushed_at; /* a byte; -1: none */
    uint64_t console_flushed_ns;
    kc_data_port *data_ports[KC_DATA_PORTS];
    int data_port_count;
};

static void console_put(kc *m, uint8_t number, uint8_t byte)
{
    struct ports *p = m->ports;

    if (number != p->console_number) {
        kc_console_flush(m);
        p->console_number = number;
    }
    p->console[p->console_used++] = byte;
    if (byte == '\n' || byte == p->console_flushed_at || p->console_used == CONSOLE_SIZE || kc_now_ns() - p->console_flushed_ns > QUIET_NS)
        kc_console_flush(m);
}

void kc_console_flush_at(kc *m, int byte) { m->ports->console_flushed_at = byte; }

void kc_console_flush(kc *m)
{
    struct ports *p = m->ports;
    uint32_t count = p->console_used;

    p->console_flushed_ns = kc_now_ns();
    p->console_used = 0;
    if (count)
        python.console(m->handle, p->console_number, p->console, count);
}

static kc_port_use *use_of(kc *m, uint32_t port)
{
    struct used *used = &m->ports->used;
    struct port *p = &m->ports->ports[port];

    if (p->use)
        return &used->ports[p->use - 1];
    if (used->count == KC_PORTS_USED)
        return NULL;
    used->ports[used->count] = (kc_port_use){.port = port};
    p->use = (uint16_t)++used->count;
    return &used->ports[p->use - 1];
}

/* Where the bytes of an access lie that the core moves alone. NULL: Python has to be asked. */
static uint8_t *data_pass(kc *m, const struct port *p, int size, bool to_guest)
{
    kc_data_port *data = p->data ? m->ports->data_ports[p->data - 1] : NULL;

    if (!data || size == 1 || data->to_guest != to_guest || data->position + (uint32_t)size >= data->end)
        return NULL;
    data->position += (uint32_t)size;
    return data->buffer + data->position - size;
}

kc_data_port *kc_data_port_add(kc *m, uint16_t port)
{
    struct ports *p = m->ports;

    if (p->data_port_count == KC_DATA_PORTS)
        return NULL;
    kc_data_port *data = calloc(1, sizeof *data);
    if (!data)
        return NULL;
    p->data_ports[p->data_port_count++] = data;
    p->ports[port].data = (uint8_t)p->data_port_count;
    return data;
}

/* What answers a port gets the time of this instruction; its block is counted to the end. */
static uint64_t count_to_here(kc *m)
{
    uint64_t ahead = kc_count(m) - kc_count_here(m);

    kc_count_more(m, -(int)ahead);
    return ahead;
}

static uint32_t read_port(kc *m, uint32_t port, int size)
{
    const struct port *p = &m->ports->ports[port];
    kc_port_use *use = use_of(m, port);

    if (use && !use->reads++)
        use->first_read = kc_reg(m, UC_X86_REG_EIP);
    kc_note_read(m, port);
    if (p->in == KC_CONSTANT && size == 1 && (p->in_until_ns == UINT64_MAX || kc_clock_ns(m) < p->in_until_ns))
        return p->in_value;
    if (p->in == KC_PIC)
        return kc_pic_in(m, port, size);
    if (p->in == KC_PIT)
        return kc_pit_in(m, port, size);
    if (p->in == KC_CLOCK)
        return (uint32_t)((unsigned __int128)kc_clock_ns(m) * p->frequency / NS_PER_S) & CLOCK_MASK;
    const uint8_t *bytes = data_pass(m, p, size, true);
    if (bytes) {
        uint32_t value = 0;
        memcpy(&value, bytes, (size_t)size);
        return value;
    }
    return p->in == KC_OPEN ? 0xffffffffu : python.port_read(m->handle, port, size);
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *data)
{
    kc *m = data;
    uint64_t ahead = count_to_here(m);
    uint32_t value = read_port(m, port & (PORTS - 1), size);
    (void)uc;

    kc_count_more(m, (int)ahead);
    return value;
}

static void write_port(kc *m, uint32_t port, int size, uint32_t value)
{
    const struct port *p = &m->ports->ports[port];
    kc_port_use *use = use_of(m, port);
    uint8_t *bytes;

    if (use && !use->writes++)
        use->first_write = kc_reg(m, UC_X86_REG_EIP);
    if (p->out == KC_SINK && size == 1)
        console_put(m, p->out_value, (uint8_t)value);
    else if (p->out == KC_PIC)
        kc_pic_out(m, port, size, value);
    else if (p->out == KC_PIT)
        kc_pit_out(m, port, size, value);
    else if ((bytes = data_pass(m, p, size, false)))
        memcpy(bytes, &value, (size_t)size);
    else if (p->out != KC_OPEN)
        python.port_write(m->handle, port, size, value);
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *data)
{
    kc *m = data;
    uint64_t ahead = count_to_here(m);
    (void)uc;

    write_port(m, port & (PORTS - 1), size, value);
    kc_count_more(m, (int)ahead);
}

void kc_port_out(kc *m, uint16_t port, int mode, uint8_t value)
{
    m->ports->ports[port].out = (uint8_t)mode;
    m->ports->ports[port].out_value = value;
}

void kc_port_in(kc *m, uint16_t port, int mode, uint8_t value)
{
    m->ports->ports[port].in = (uint8_t)mode;
    m->ports->ports[port].in_value = value;
    m->ports->ports[port].in_until_ns = UINT64_MAX;
}

void kc_port_in_clock(kc *m, uint16_t port, uint32_t frequency)
{
    m->ports->ports[port].in = KC_CLOCK;
    m->ports->ports[port].frequency = frequency;
}

void kc_port_in_until(kc *m, uint16_t port, uint64_t until_ns) { m->ports->ports[port].in_until_ns = until_ns; }

const kc_port_use *kc_ports_used(const kc *m, uint32_t *count)
{
    *count = m->ports->used.count;
    return m->ports->used.ports;
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

static size_t size_of(const struct used *used) { return offsetof(struct used, ports) + used->count * sizeof *used->ports; }

int kc_ports_save(kc *m, void **out)
{
    size_t size = size_of(&m->ports->used);

    if (!(*out = malloc(size)))
        return -1;
    memcpy(*out, &m->ports->used, size);
    return 0;
}

int kc_ports_restore(kc *m, const void *data)
{
    const struct used *saved = data;
    struct ports *p = m->ports;

    for (uint32_t i = saved->count; i < p->used.count; i++)
        p->ports[p->used.ports[i].port].use = 0;
    memcpy(&p->used, saved, size_of(saved));
    for (uint32_t i = 0; i < saved->count; i++)
        p->ports[p->used.ports[i].port].use = (uint16_t)(i + 1);
    return 0;
}

int kc_ports_init(kc *m)
{
    if (KC_NEW(m->ports))
        return -1;
    m->ports->console_flushed_at = -1;
    int error = kc_hook(m, UC_HOOK_INSN, on_in, UC_X86_INS_IN);
    return error ? error : kc_hook(m, UC_HOOK_INSN, on_out, UC_X86_INS_OUT);
}

void kc_ports_free(kc *m)
{
    for (int i = 0; m->ports && i < m->ports->data_port_count; i++)
        free(m->ports->data_ports[i]);
    free(m->ports);
}
