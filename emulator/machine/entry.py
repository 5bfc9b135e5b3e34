"""How a kernel finds the machine: what of memory is RAM and ROM, what a boot loader leaves in it, the CPU's registers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emulator.boot_protocol.rom import CODE_START
from emulator.errors import BadImage, KernelMismatch
from emulator.machine.address_map import GDT, MIB, RETURN_TO, ROM_START
from emulator.machine.core.handle import lib
from emulator.x86 import Eflags

if TYPE_CHECKING:
    from emulator.boot_protocol.boot_state import BootState
    from emulator.loader.image import KernelImage
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.handle import Core
    from emulator.machine.memory import PhysicalMemory, RamWindow

_GDT_ENTRIES = struct.pack("<QQQ", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF)  # null, flat code, flat data
_HLT = b"\xf4"


def map_memory(cpu: Cpu, ram: RamWindow) -> None:
    """Let memory be RAM and ROM.

    Args:
        cpu: Accesses it.
        ram: Extended RAM; the first MiB is always there.
    """
    cpu.map_ram(0, ROM_START)
    cpu.map_rom(ROM_START, CODE_START)
    cpu.map_rom(CODE_START, MIB, has_code=True)
    cpu.map_ram(ram.start, ram.end)


def show_kasan(core: Core, image: KernelImage, ram: RamWindow) -> None:
    """Let a kernel that was compiled with KASAN have the shadow that its code reads and writes.

    Raises:
        BadImage: The shadow lies in RAM, or not where the kernel's code looks for it.
        HostError: The host cannot give the memory.
        KernelMismatch: The machine has the reference MMU, which cannot show it.
    """
    if image.kasan is None:
        return
    offset, moved = image.kasan
    if offset < ram.end:
        problem = f"its KASAN shadow, from 0x{offset:08x} on, lies in RAM ({ram}); less RAM: --ram"
        raise BadImage(image.path, problem, value=offset)
    if core.reference:
        raise KernelMismatch(image.path, "with --memory reference there is no place for its KASAN shadow")
    core.check(lib.kc_kasan_open(core.raw, offset, moved, len(moved)))


def enter(cpu: Cpu, memory: PhysicalMemory, state: BootState) -> None:
    """Write and set what a boot loader would."""
    for address, data in (*state.pieces, (GDT, _GDT_ENTRIES), (RETURN_TO, _HLT)):
        memory.write(address, data)
    cpu.set_flat_segments(GDT, len(_GDT_ENTRIES) - 1)
    cpu.set_registers(cpu.registers()._replace(eflags=Eflags.ALWAYS_SET, **state.registers))
