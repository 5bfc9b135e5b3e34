/* Port I/O: what needs no device model is answered here, the rest goes to Python. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/bus.h"
#include "core/limits.h"
#include "core/ports.h"
#include "unicorn/counting.h"
#include "unicorn/engine.h"
#include "unicorn/interpose.h"

#define PORTS 65536u
#define CONSOLE_SIZE 4096
#define QUIET_NS 50000000u /* a console that was silent this long shows its next byte at once */

struct port {
    uint8_t out, out_value, in, in_value;
    uint64_t in_until_ns; /* from then on KC_CONSTANT asks; UINT64_MAX: never */
    uint16_t use; /* place in `used`, from 1; 0: it was not accessed, or there was no room */
};

struct used { uint32_t count; kc_port_use ports[KC_PORTS_USED]; };

struct ports {
    struct port ports[PORTS];
    struct used used;
    uint8_t console[CONSOLE_SIZE];
    uint32_t console_used, console_number;
    uint64_t console_flushed_ns;
    uint64_t clock_ns; /* at the start of the run */
    uint32_t instruction_ns;
};

static uint64_t virtual_ns(const kc *m) { return m->ports->clock_ns + kc_count(m) * m->ports->instruction_ns; }

void kc_ports_clock(kc *m, uint64_t now_ns, uint32_t instruction_ns)
{
    m->ports->clock_ns = now_ns;
    m->ports->instruction_ns = instruction_ns;
}

static void console_put(kc *m, uint8_t number, uint8_t byte)
{
    struct ports *p = m->ports;

    if (number != p->console_number) {
        kc_console_flush(m);
        p->console_number = number;
    }
    p->console[p->console_used++] = byte;
    if (byte == '\n' || p->console_used == CONSOLE_SIZE || kc_now_ns() - p->console_flushed_ns > QUIET_NS)
        kc_console_flush(m);
}

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

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *data)
{
    kc *m = data;
    const struct port *p = &m->ports->ports[port &= PORTS - 1];
    kc_port_use *use = use_of(m, port);
    (void)uc;

    if (use && !use->reads++)
        use->first_read = kc_reg(m, UC_X86_REG_EIP); /* the engine keeps it at each `in` */
    kc_note_read(m, port);
    if (p->in == KC_CONSTANT && size == 1 && (p->in_until_ns == UINT64_MAX || virtual_ns(m) < p->in_until_ns))
        return p->in_value;
    return p->in == KC_OPEN ? 0xffffffffu : python.port_read(m->handle, port, size);
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *data)
{
    kc *m = data;
    const struct port *p = &m->ports->ports[port &= PORTS - 1];
    kc_port_use *use = use_of(m, port);
    (void)uc;

    if (use && !use->writes++)
        use->first_write = kc_eip_of_out(m);
    if (p->out == KC_SINK && size == 1)
        console_put(m, p->out_value, (uint8_t)value);
    else if (p->out != KC_OPEN)
        python.port_write(m->handle, port, size, value);
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
    return 0;
}

int kc_ports_init(kc *m)
{
    if (KC_NEW(m->ports))
        return -1;
    int error = kc_hook(m, UC_HOOK_INSN, on_in, UC_X86_INS_IN);
    return error ? error : kc_hook(m, UC_HOOK_INSN, on_out, UC_X86_INS_OUT);
}

void kc_ports_free(kc *m) { free(m->ports); }
