"""Random programs that access the devices of a PC: ports, registers in memory, video memory; interrupts are let in now and then."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.machine.memory import DEFAULT_RAM
from emulator.run.ending import Budget
from emulator.run.to_end import run_to_end
from tests.fuzz.harness.target import Case, Target
from tests.unit.loader.elf_builder import Elf, Load, build_elf

if TYPE_CHECKING:
    from random import Random

    from emulator.run.ending import How
    from tests.fuzz.harness.limits import Meter

# All of it where gate A20 makes no difference.
_TABLES, _HANDLER, _STACK, _READ, _TICKS, _CODE, _CODE_SIZE = (
    0x200000, 0x202000, 0x20F000, 0x220000, 0x222000, 0x280000, 0x4000,
)  # fmt: skip
_FLAT: Final = struct.pack("<3Q", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF)
_IDT, _GDTR, _IDTR = _TABLES + 0x1000, _TABLES + 0x100, _TABLES + 0x110
_GATE: Final = struct.pack("<HHBBH", _HANDLER & 0xFFFF, 8, 0, 0x8E, _HANDLER >> 16)
_TICK: Final = (
    bytes.fromhex("60 ff 05") + struct.pack("<I", _TICKS) + bytes.fromhex("b0 20 e6 a0 e6 20 61 cf")
)  # pusha, count, end of interrupt to both controllers, popa, iret
_START: Final = (
    b"\xbc" + struct.pack("<I", _STACK)
    + b"\x0f\x01\x15" + struct.pack("<I", _GDTR)
    + b"\xea" + struct.pack("<IH", _CODE + 19, 8)
    + bytes.fromhex("66 b8 10 00 8e d8 8e c0 8e d0 0f 01 1d") + struct.pack("<I", _IDTR)
    + b"\xbf" + struct.pack("<I", _READ)
)  # fmt: skip
_END: Final = bytes.fromhex("fa 31 c0 66 ba f4 00 ef f4")  # cli, exit with 0
_KEEP: Final = b"\xab\x81\xe7\xff\x0f\x00\x00\x81\xcf" + struct.pack("<I", _READ)  # stosl, in one page

_INTERRUPTS, _TIMER = (0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1), (0x40, 0x41, 0x42, 0x43, 0x61)
_PORTS: Final = (
    *(addresses.KEYBOARD, addresses.RTC, addresses.SYSTEM_CONTROL, addresses.DMA, addresses.FLOPPY),
    *(addresses.IDE, addresses.DISPLAY_INTERFACE, addresses.VGA, addresses.CRTC, addresses.COM1),
    *(addresses.COM2, addresses.ACPI, addresses.PCI, addresses.DEBUG_CONSOLE, _INTERRUPTS, _TIMER),
)
_PAIRS: Final = (
    *((0x70, 0x71, 1), (0x3C4, 0x3C5, 1), (0x3CE, 0x3CF, 1), (0x3D4, 0x3D5, 1), (0x3C0, 0x3C0, 1)),
    *((0x1CE, 0x1CF, 2), (0xCF8, 0xCFC, 4)),
)  # ports of an index and of what it selects, and the size of both
_RESETS: Final = {0x64: 0x10, 0x92: 0x01, 0xCF8: 0x0400, 0xCF9: 0x04, 0x604: 0x2000, 0xB004: 0x2000}
"""Bits that mostly end the run where they are written."""
_SIZES: Final = {1: b"\xee", 2: b"\x66\xef", 4: b"\xef"}  # out
_WINDOWS: Final = (addresses.LOCAL_APIC, addresses.IO_APIC, addresses.GRAPHICS_REGISTERS)
_MEMORY: Final = (*_WINDOWS, *_WINDOWS, (0xA0000, 0xC0000), addresses.FRAME_BUFFER, (0x300000, 0x310000))
_BUDGET, _TIMEOUT_S = 20_000, 5.0
_NEW_EVERY, _CASES_FOR_A_MACHINE = 4, 100


class _Observed(NamedTuple):
    """What a program did, as far as it can see itself."""

    how: How
    problem: str
    instructions: int | None
    now_ns: int
    registers: tuple[int, ...]
    seen: str  # memory and picture
    output: str


class Devices(Target):
    """Programs that are run three times: twice on a machine that others have used, from a snapshot; some on a new one."""

    name = "devices"
    suffix = ".elf"
    count = 5_000

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._used = 0

    def prepare(self) -> None:
        pass

    def make(self, random: Random) -> Case:
        kinds = random.choices(
            (_out, _in, _pair, _memory, _waits), (6, 4, 4, 6, 3), k=random.choice((8, 60, 150))
        )
        code = b"".join(kind(random) for kind in kinds)
        tables = (_FLAT.ljust(0x100, b"\0") + struct.pack("<HI", 23, _TABLES)).ljust(0x110, b"\0")
        tables += struct.pack("<HI", 2047, _IDT)
        loads = [
            Load(_CODE, (_START + code + _END).ljust(_CODE_SIZE, b"\xf4")),
            Load(_TABLES, tables.ljust(0x1000, b"\0") + _GATE * 256),
            Load(_HANDLER, _TICK),
        ]
        command = ("boot", "{}", "--max-instructions", str(_BUDGET), "--timeout", str(_TIMEOUT_S))
        return Case(
            build_elf(Elf(loads, _CODE)), (command,), _TIMEOUT_S, DEFAULT_RAM.end, f"{len(kinds)} accesses"
        )

    def run(self, case: Case, meter: Meter, number: int) -> str:
        image = KernelImage(case.data, "guest.elf")
        if self._machine is None or self._used == _CASES_FOR_A_MACHINE:
            self._machine, self._used = Machine(image), 0
        self._used += 1
        machine = self._machine
        with meter.watch(3 * case.timeout_s, machine.ram.end), machine.snapshot():
            for segment in image.segments:
                machine.memory.write(segment.physical, segment.data)
            machine.cpu.flush_code()
            with machine.snapshot() as start:
                first = _observed(machine)
                start.reset()
                others = [_observed(machine)]
            if number % _NEW_EVERY == 0:
                others.append(_observed(Machine(image)))
        for other in others:
            assert first == other, f"runs differ:\n{first}\n{other}"
        return first.problem.split(" at ")[0] or first.how.value


def _observed(machine: Machine) -> _Observed:
    ending = run_to_end(machine, Budget(_BUDGET, _TIMEOUT_S))
    seen = hashlib.blake2b(machine.memory.view(0, len(machine.memory)))
    seen.update(machine.screenshot().pixels)
    return _Observed(
        ending.how,
        str(ending.error or ""),
        ending.instructions,
        machine.interrupts.now_ns(),
        machine.cpu.registers(),
        seen.hexdigest(),
        repr([*machine.output.values()]),
    )


# -- the code ----------------------------------------------------------------------------------------------


def _value(random: Random) -> int:
    return random.choice(
        (0, 1, 3, 0x11, 0x20, 0x41, 0x80, 0xFF, random.randrange(0x100), random.getrandbits(32))
    )


def _write(port: int, value: int, size: int) -> bytes:
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb8" + struct.pack("<I", value) + _SIZES[size]


def _port(random: Random) -> int:
    return random.choice(random.choice(_PORTS)) if random.randrange(16) else random.randrange(0x10000)


def _out(random: Random) -> bytes:
    port, value = _port(random), _value(random)
    if random.randrange(32):
        value &= ~_RESETS.get(port, 0)
    return _write(port, value, random.choice((1, 1, 1, 2, 4)))


def _in(random: Random) -> bytes:
    size = random.choice((b"\xec", b"\xec", b"\x66\xed", b"\xed"))
    return b"\x31\xc0\x66\xba" + struct.pack("<H", _port(random)) + size + _KEEP


def _pair(random: Random) -> bytes:
    """Write an index, and what it selects."""
    port, data, size = random.choice(_PAIRS)
    index = 0x80000000 | random.getrandbits(14) << 2 if size == 4 else random.randrange(0x20)
    return _write(port, index, size) + _write(data, _value(random), size)


def _memory(random: Random) -> bytes:
    """Load, store, or fill a little."""
    start, end = random.choice(_MEMORY)
    at = start + random.choice((16 * random.randrange(64), random.randrange(end - start - 0x400)))
    address, value = struct.pack("<I", at), b"\xb8" + struct.pack("<I", _value(random))
    return random.choice(
        (
            *(b"\xa1" + address + _KEEP, b"\x31\xc0\xa0" + address + _KEEP),  # load 4 bytes, one byte
            *(
                value + b"\xa3" + address,
                value + b"\xa2" + address,
                value + b"\x01\x05" + address,
            ),  # store; add
            b"\x57\xbf" + address + b"\xb9\x40\x00\x00\x00" + value + b"\xf3\xab\x5f",  # rep stosl
        )
    )


def _waits(random: Random) -> bytes:
    """Let time pass, with interrupts or without."""
    loop = b"\xb9" + struct.pack("<I", random.choice((10, 300, 3000))) + b"\xe2\xfe"
    return random.choice((b"\xfb" + loop + b"\xfa", loop, b"\xfb\xf4\xfa"))
