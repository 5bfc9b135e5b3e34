"""The PCI bus: int 1Ah, AH=B1.

Source: PCI BIOS Specification, revision 2.1, chapter 4; what depends on the BIOS as SeaBIOS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.devices import addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.bios.pc import Call, Pc

_ADDRESS, _DATA = addresses.PCI[0], addresses.PCI[4]
_ENABLED: Final = 1 << 31
_VERSION: Final = 0x0210
_SIGNATURE: Final = int.from_bytes(b"PCI ", "little")
_MECHANISM_1: Final = 0x01
_NOBODY: Final = 0xFFFFFFFF
_BAD_FUNCTION, _NOT_FOUND, _BAD_REGISTER = 0x81, 0x86, 0x87
_FUNCTIONS: Final = range(256)  # of the only bus: 32 devices of 8
_MANY: Final = 0x800000  # functions, of the header's type


def serve(call: Call) -> None:
    """Serve int 1Ah, AH=B1."""
    if not call.pc.has_port(_ADDRESS):
        call.lacks(ah=_BAD_FUNCTION, by="AX")
        return
    match call.al:
        case 0x01:
            call.al, call.bx, call.cl = _MECHANISM_1, _VERSION, 0  # the number of the last bus
            call.registers["edx"], call.registers["edi"] = _SIGNATURE, 0  # no entry of 32 bits
            call.done()
        case 0x02:
            wanted = call.cx << 16 | call.dx
            _find(call, lambda function: _read(call.pc, function, 0, 4) == wanted)
        case 0x03:
            wanted = call.registers["ecx"] & 0xFFFFFF
            _find(call, lambda function: _read(call.pc, function, 8, 4) >> 8 == wanted)
        case 0x08 | 0x09 | 0x0A:
            _read_register(call, 1 << call.al - 8)
        case 0x0B | 0x0C | 0x0D:
            _write_register(call, 1 << call.al - 11)
        case _:
            call.lacks(ah=_BAD_FUNCTION, by="AX")


def _select(pc: Pc, function: int, register: int) -> int:
    """Select a register, and return the port of its first byte."""
    pc.write_port(_ADDRESS, _ENABLED | function << 8 | register & 0xFC, 4)
    return _DATA + register % 4


def _read(pc: Pc, function: int, register: int, size: int) -> int:
    return pc.read_port(_select(pc, function, register), size)


def _there(pc: Pc) -> Iterator[int]:
    """Yield the functions on the bus, as in BX: the bus, the device in 5 bits, the function in 3."""
    has_many = False
    for function in _FUNCTIONS:
        if function % 8 == 0:
            has_many = bool(_read(pc, function, 0x0C, 4) & _MANY)
        if (function % 8 == 0 or has_many) and _read(pc, function, 0, 4) != _NOBODY:
            yield function


def _find(call: Call, is_wanted: Callable[[int], bool]) -> None:
    """Return, as number SI from 0, one of the functions that are wanted."""
    found = [function for function in _there(call.pc) if is_wanted(function)]
    if call.si < len(found):
        call.bx = found[call.si]
        call.done()
    else:
        call.failed(_NOT_FOUND)


def _read_register(call: Call, size: int) -> None:
    if call.di >= 0x100 or call.di % size:  # noqa: PLR2004 - registers
        call.failed(_BAD_REGISTER)
        return
    value = _read(call.pc, call.bx, call.di, size) if call.bh == 0 else (1 << 8 * size) - 1
    mask = (1 << 8 * size) - 1
    call.registers["ecx"] = call.registers["ecx"] & ~mask | value
    call.done()


def _write_register(call: Call, size: int) -> None:
    if call.di >= 0x100 or call.di % size:  # noqa: PLR2004 - registers
        call.failed(_BAD_REGISTER)
        return
    if call.bh == 0:
        value = call.registers["ecx"] & (1 << 8 * size) - 1
        call.pc.write_port(_select(call.pc, call.bx, call.di), value, size)
    call.done()
