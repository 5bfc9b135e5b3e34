/* Port I/O: what needs no device model is answered here, the rest goes to Python. */
#include <stdlib.h>

#include "core/limits.h"
#include "core/ports.h"
#include "unicorn/counting.h"
#include "unicorn/engine.h"

#define PORTS 65536u
#define CONSOLE_SIZE 4096
#define QUIET_NS 50000000u /* a console that was silent this long shows its next byte at once */

struct port {
    uint8_t out, out_value, in, in_value;
    uint64_t in_until_ns; /* from then on KC_CONSTANT asks; UINT64_MAX: never */
};

struct ports {
    struct port ports[PORTS];
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

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *data)
{
    kc *m = data;
    const struct port *p = &m->ports->ports[port & (PORTS - 1)];
    (void)uc;

    if (p->in == KC_CONSTANT && size == 1 && (p->in_until_ns == UINT64_MAX || virtual_ns(m) < p->in_until_ns))
        return p->in_value;
    return p->in == KC_OPEN ? 0xffffffffu : python.port_read(m->handle, port, size);
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *data)
{
    kc *m = data;
    const struct port *p = &m->ports->ports[port & (PORTS - 1)];
    (void)uc;

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

int kc_ports_init(kc *m)
{
    if (KC_NEW(m->ports))
        return -1;
    int error = kc_hook(m, UC_HOOK_INSN, on_in, UC_X86_INS_IN);
    return error ? error : kc_hook(m, UC_HOOK_INSN, on_out, UC_X86_INS_OUT);
}

void kc_ports_free(kc *m) { free(m->ports); }
