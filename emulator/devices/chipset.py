"""The chips that PCI consists of in a PC: the host bridge 82441FX (i440FX), and the 82371SB (PIIX3) with its IDE controller.

There are the power management of the PIIX4 and QEMU's graphics adapter, too: their registers of PCI are here, the rest is
`emulator.devices.acpi_power` and `emulator.devices.vga`.

The registers are as SeaBIOS leaves them in QEMU's `pc` machine. What they switch is fixed here: shadowing of ROM, routing of
interrupts, timing.
"""

from __future__ import annotations

from emulator.devices import addresses
from emulator.devices.pci import Function

_INTEL, _QEMU = 0x8086, 0x1234
_HOST_BRIDGE, _ISA_BRIDGE, _IDE, _POWER, _GRAPHICS = 0x1237, 0x7000, 0x7010, 0x7113, 0x1111
_SUBSYSTEM = bytes.fromhex("f41a0011")  # at 0x2C: QEMU's
_COMMAND = 0x0103  # I/O and memory; SERR#
_PREFETCHABLE = 0x08  # memory


def _header(
    device: int, status: int, revision: int, class_code: int, maker: int = _INTEL
) -> dict[int, bytes]:
    """Return the registers of a function's header.

    Args:
        device: Number that its maker has given it.
        status: Status register.
        revision: Of the chip.
        class_code: Class, subclass and programming interface, 24 bits.
        maker: Number of its maker.
    """
    words = (maker | device << 16, _COMMAND | status << 16, revision | class_code << 8)
    return {0x00: b"".join(word.to_bytes(4, "little") for word in words), 0x2C: _SUBSYSTEM}


def chipset() -> dict[tuple[int, int], Function]:
    """Return the functions on bus 0, by device and function number."""
    host = Function(
        _header(_HOST_BRIDGE, 0, 2, 0x060000)
        | {0x57: b"\x02", 0x59: bytes.fromhex("10111111111133"), 0x72: b"\x0a"}
    )
    isa = Function(
        _header(_ISA_BRIDGE, 0x0200, 0, 0x060100)
        | {0x0E: b"\x80", 0x4C: bytes.fromhex("4d000300"), 0x60: bytes.fromhex("0a0a0b0b")}
        | {0x69: b"\x02", 0x70: b"\x80", 0x76: bytes.fromhex("0c0c02"), 0xA0: b"\x08", 0xA8: b"\x0f"}
    )
    base = (addresses.IDE_BUS_MASTER | 1).to_bytes(4, "little")
    ide = Function(
        _header(_IDE, 0x0280, 0, 0x010180) | {0x20: base, 0x40: bytes.fromhex("00800080")}, bases={0x20: 16}
    )
    power = Function(
        _header(_POWER, 0x0280, 3, 0x068000)
        | {0x3C: bytes.fromhex("0901"), 0x40: bytes.fromhex("0106"), 0x5B: b"\x02", 0x5F: b"\x10"}
        | {0x63: b"\x60", 0x67: b"\x98", 0x80: b"\x01", 0x90: bytes.fromhex("0107"), 0xD2: b"\x09"}
    )
    start, end = addresses.FRAME_BUFFER
    registers, registers_end = addresses.GRAPHICS_REGISTERS
    graphics = Function(
        _header(_GRAPHICS, 0, 2, 0x030000, _QEMU)
        | {0x10: (start | _PREFETCHABLE).to_bytes(4, "little"), 0x18: registers.to_bytes(4, "little")},
        bases={0x10: end - start, 0x18: registers_end - registers},
    )
    return {(0, 0): host, (1, 0): isa, (1, 1): ide, (1, 3): power, (2, 0): graphics}
