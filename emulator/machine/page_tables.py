"""The guest's address spaces: its page tables, read as the CPU reads them now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import NotEmulated
from emulator.machine.address_map import VGA_START
from emulator.wording import code_location
from emulator.x86 import WORD_MAX, Cr0, Cr4
from kernel_model.address_space import AddressSpace

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


def address_space_of(machine: Machine, cr3: int | None) -> AddressSpace:
    """Return an address space; see `emulator.machine.machine.Machine.address_space`."""
    if cr3 is not None and not 0 <= cr3 <= WORD_MAX:
        raise ValueError(f"{cr3:#x} is not a number of 32 bits, as CR3 is")
    registers = machine.registers()
    nx = machine.cpu.forbids_execution()
    if nx is None:
        location = code_location(*machine.image.location(registers.eip))
        raise NotEmulated("the page tables of 64-bit mode are not read", registers.eip, location)
    if cr3 is None and registers.cr0 & Cr0.PG:
        cr3 = registers.cr3
    return AddressSpace(
        machine.memory,
        cr3,
        pse=bool(registers.cr4 & Cr4.PSE),
        pae=bool(registers.cr4 & Cr4.PAE),
        nx=nx,
        ram=((0, VGA_START), machine.ram),
    )
