"""Serial ports: int 14h.

Source: Ralf Brown's list, file INTERRUP.LST; what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.bios.pc import DataArea

if TYPE_CHECKING:
    from emulator.bios.pc import Call

_PORTS: Final = 4
_DIVISORS: Final = (0x417, 0x300, 0x180, 0xC0, 0x60, 0x30, 0x18, 0x0C)  # of 110 to 9600 baud
_LINE_CONTROL, _LINE_STATUS, _MODEM_STATUS, _INTERRUPTS = 3, 5, 6, 1
_DIVISOR_LATCH: Final = 0x80
_READY_TO_SEND, _RECEIVED, _TIMEOUT = 0x20, 0x01, 0x80


def serve(call: Call) -> None:
    """Serve int 14h."""
    base = DataArea(call.pc).get(2 * call.dx, 2) if call.dx < _PORTS else 0
    if not base:
        call.failed(call.ah)  # as SeaBIOS has it
        return
    pc = call.pc
    match call.ah:
        case 0x00:
            divisor = _DIVISORS[call.al >> 5]
            pc.write_port(base + _LINE_CONTROL, call.al & 0x1F | _DIVISOR_LATCH)
            pc.write_port(base, divisor & 0xFF)
            pc.write_port(base + 1, divisor >> 8)
            pc.write_port(base + _LINE_CONTROL, call.al & 0x1F)
            call.ah = pc.read_port(base + _LINE_STATUS)
            call.al = pc.read_port(base + _MODEM_STATUS)
        case 0x01:
            call.ah = pc.read_port(base + _LINE_STATUS)
            if call.ah & _READY_TO_SEND:
                pc.write_port(base, call.al)
            else:
                call.ah |= _TIMEOUT
        case 0x02:
            call.ah = pc.read_port(base + _LINE_STATUS)
            if call.ah & _RECEIVED:
                call.al = pc.read_port(base)
            else:
                call.ah |= _TIMEOUT
                call.asked_in_vain()
        case 0x03:
            call.ah = pc.read_port(base + _LINE_STATUS)
            call.al = pc.read_port(base + _MODEM_STATUS)
            call.asked_in_vain()
        case _:
            call.lacks()
            return
    call.set_carry(on=False)
