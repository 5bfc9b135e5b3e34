"""What the CPU itself uses: the tables of segments and interrupts, tasks, their stacks, and the segments that these describe.

A block that holds one of them is in use, whoever points to it: the base of a segment lies in three pieces in its descriptor,
where no search for pointers sees it. The TSS says where a stack ends, and the CPU writes below that address: what begins there is none of its.

Source: Intel SDM volume 3A, 2.4 (memory management registers), 3.4.5 (segment descriptors), 3.5 (system descriptors), 7.2.1 (TSS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.x86 import WORD_SIZE, Cr0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.machine import Machine

_DESCRIPTOR: Final = 8  # bytes
_PRESENT: Final = 0x80
_IS_SEGMENT: Final = 0x10
_WITH_BASE: Final = (
    0x1,
    0x2,
    0x3,
    0x9,
    0xB,
)  # types of system descriptors: TSS of 16 bits, LDT, TSS; the others are gates
_TSS_SIZE: Final = 104  # bytes, one of 16 bits has less
_STACKS: Final = (4, 12, 20)  # where ESP0, ESP1 and ESP2 lie in it


def cpu_tables(machine: Machine) -> Iterator[tuple[str, int]]:
    """Yield what the CPU of a machine uses in memory: its name and its linear address."""
    registers = machine.registers()
    if not registers.cr0 & Cr0.PE:
        return
    tables = (
        ("the GDT", registers.gdt_base, registers.gdt_limit),
        ("the IDT", registers.idt_base, registers.idt_limit),
        ("the LDT", registers.ldt_base, registers.ldt_limit),
        ("the TSS", registers.tr_base, registers.tr_limit),
    )
    yield from ((name, base) for name, base, limit in tables if limit)
    for ring, top in enumerate(stack_tops(machine).values()):
        yield f"the stack of ring {ring}", (top - 1) % (1 << 32)
    for name in ("es", "cs", "ss", "ds", "fs", "gs"):
        yield f"the segment in {name.upper()}", getattr(registers, f"{name}_base")
    yield from _described(machine, "GDT", registers.gdt_base, registers.gdt_limit)
    if registers.ldt_base:
        yield from _described(machine, "LDT", registers.ldt_base, registers.ldt_limit)


def stack_tops(machine: Machine) -> dict[int, int]:
    """Return the addresses after the stacks of rings 0, 1 and 2, by the linear addresses of their words in the TSS."""
    registers = machine.registers()
    if registers.tr_limit < _TSS_SIZE - 1:
        return {}
    words = {registers.tr_base + at: machine.read_linear(registers.tr_base + at, WORD_SIZE) for at in _STACKS}
    return {at: int.from_bytes(data, "little") for at, data in words.items()}


def _described(machine: Machine, table: str, base: int, limit: int) -> Iterator[tuple[str, int]]:
    """Yield where the segments, tasks and tables begin that a table describes."""
    data = machine.read_linear(base, (min(limit, 0xFFFF) + 1) & -_DESCRIPTOR)
    for at in range(0, len(data) - _DESCRIPTOR + 1, _DESCRIPTOR):
        entry = data[at : at + _DESCRIPTOR]
        access = entry[5]
        if access & _PRESENT and (access & _IS_SEGMENT or access & 0xF in _WITH_BASE):
            start = int.from_bytes(entry[2:5], "little") | entry[7] << 24
            yield f"the descriptor 0x{at:02x} of the {table}", start
