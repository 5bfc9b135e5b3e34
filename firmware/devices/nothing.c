/*
 * Ports that nothing on the board owns: reads give all ones, writes have no effect. Absent disks,
 * serial ports, parallel ports and floppies look so to the kernels that probe them.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    static const uint16_t ports[] = {0x3E8, 0x2E8, 0x278, 0x378, 0x379, 0x200, 0x201, 0x220, 0x300, 0x330,
                                     0x388, 0xED, 0x1234, 0x5678, 0x8000, 0xFFFF};

    console_init();
    for (uint32_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        uint8_t first = port_read_u8(ports[i]);
        port_write_u8(ports[i], 0x5A);
        kprintf("port %04x: %02x, written %02x", ports[i], first, port_read_u8(ports[i]));
        if ((ports[i] & 3) == 0) {
            kprintf(", 16 bits %04x, 32 bits %08x", port_read_u16(ports[i]), port_read_u32(ports[i]));
        }
        kprintf("\n");
    }
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
