"""What the PC is made of, its memory, gate A20: int 11h, 12h and 15h.

Source: Ralf Brown's list, file INTERRUP.LST; what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.bios import clock
from emulator.bios.pc import DataArea
from emulator.boot_protocol.pc_memory import HIGH_START, KIB, memory_map
from emulator.boot_protocol.rom import FEATURES
from emulator.devices import addresses

if TYPE_CHECKING:
    from emulator.bios.pc import Call

_EQUIPMENT, _LOW_KIB, _EXTENDED_SEGMENT = 0x10, 0x13, 0x0E  # in the data area
_MIB: Final = KIB * KIB
_SMAP: Final = 0x534D4150
_ENTRY = struct.Struct("<QQI")
(_SYSTEM_CONTROL,) = addresses.SYSTEM_CONTROL
_A20: Final = 0x02
_ROM_SEGMENT = 0xF000
_A20_WAYS: Final = 3  # through the keyboard controller, and through port 0x92
_BAD_COMMAND: Final = 0x86


def equipment(call: Call) -> None:
    """Return the equipment word (int 11h)."""
    call.ax = DataArea(call.pc).get(_EQUIPMENT, 2)


def memory_size(call: Call) -> None:
    """Return KiB of low memory (int 12h)."""
    call.ax = DataArea(call.pc).get(_LOW_KIB, 2)


def reset(call: Call) -> None:
    """Start the PC anew, by the keyboard controller."""
    call.pc.write_port(0x64, 0xFE)


def serve(call: Call) -> None:
    """Serve int 15h."""
    match call.ah:
        case 0x24:
            _gate_a20(call)
        case 0x4F:
            call.set_carry(on=True)  # the key that is to be looked at stays
        case 0x52 | 0x90 | 0x91:
            call.set_carry(on=False)
        case 0x86:
            clock.wait(call)
        case 0x87:
            _move(call)
        case 0x88:
            call.ax = min(call.pc.ram_end // KIB - KIB, 63 * KIB)
            call.set_carry(on=False)
        case 0xC0:
            call.es, call.bx = _ROM_SEGMENT, FEATURES
            call.done()
        case 0xC1:
            call.es = DataArea(call.pc).get(_EXTENDED_SEGMENT, 2)
            call.set_carry(on=False)
        case 0xE8:
            _memory(call)
        case _:
            call.lacks()


def _gate_a20(call: Call) -> None:
    pc = call.pc
    control = pc.read_port(_SYSTEM_CONTROL)
    match call.al:
        case 0x00:
            pc.write_port(_SYSTEM_CONTROL, control & ~_A20 & 0xFE)
        case 0x01:
            pc.write_port(_SYSTEM_CONTROL, (control | _A20) & 0xFE)
        case 0x02:
            call.al = int(bool(control & _A20))
        case 0x03:
            call.bx = _A20_WAYS
        case _:
            call.lacks(by="AX")
            return
    call.done()


def _move(call: Call) -> None:
    """Move CX words between two segments that descriptors at ES:SI name."""
    table = call.pc.read(call.at("es", call.si), 0x30)
    source, target = _base(table[0x10:0x18]), _base(table[0x18:0x20])
    call.pc.write_physical(target, call.pc.read_physical(source, call.cx * 2))
    call.done()


def _base(descriptor: bytes) -> int:
    return int.from_bytes(descriptor[2:5] + descriptor[7:8], "little")


def _memory(call: Call) -> None:
    ram_end = call.pc.ram_end
    match call.al:
        case 0x01:
            below = min(ram_end, 16 * _MIB)
            call.ax = (below - HIGH_START) // KIB
            call.bx = (ram_end - below) // (64 * KIB)
            call.cx, call.dx = call.ax, call.bx
            call.set_carry(on=False)
        case 0x20:
            _memory_map(call)
        case _:
            call.lacks(by="AX")


def _memory_map(call: Call) -> None:
    """Return the entry EBX of the memory map at ES:DI; it is that of Multiboot."""
    registers, regions = call.registers, memory_map(call.pc.ram_end)
    number = registers["ebx"]
    if registers["edx"] != _SMAP or registers["ecx"] < _ENTRY.size or number >= len(regions):
        call.failed(_BAD_COMMAND)
        return
    start, end, available = regions[number]
    call.pc.write(call.at("es", call.di), _ENTRY.pack(start, end - start, 1 if available else 2))
    registers["eax"], registers["ecx"] = _SMAP, _ENTRY.size
    registers["ebx"] = (number + 1) % len(regions)
    call.set_carry(on=False)
