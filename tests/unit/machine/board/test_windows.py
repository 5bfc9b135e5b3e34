"""Devices whose registers lie in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.devices.board import Row, pc_board
from emulator.devices.device import WithoutPorts
from emulator.errors import NotEmulated, UnmappedAccess
from emulator.machine.machine import Machine
from tests.helpers.guest import assemble, results_of

if TYPE_CHECKING:
    from collections.abc import Mapping


BASE = 0xFEB00000
PAGED = """
        movl    $0xfe800083, directory + 0xc00  # linear 0xc0000000, 4 MiB
        movl    $0x00000083, directory
        paging  directory
        .section .bss
        .balign 4096
directory:
        .skip   4096
        .text
"""


class Latch(WithoutPorts):
    """A test device: keeps what is written, and answers with how often it was asked."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int, int]] = []

    def read_memory(self, offset: int, size: int) -> int:
        """Answer with the number of the question."""
        self.reads.append((offset, size))
        return len(self.reads)

    def fast_words(self) -> Mapping[int, int]:
        """Nothing is fast."""
        return {}

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Keep it."""
        self.writes.append((offset, size, value))

    def save(self) -> object:
        """Nothing is kept."""

    def restore(self, state: object) -> None:
        """Nothing comes back."""


def run(source: str, mmu: str = "fast") -> tuple[Machine, Latch]:
    latch = Latch()
    machine = Machine(
        assemble(source + "\n exit 0"),
        mmu="fast" if mmu == "fast" else "reference",
        board=(*pc_board(), Row(lambda _wires: latch, mmio=(BASE, BASE + 0x1000))),
    )
    assert machine.run(max_instructions=10_000).exit_value == 0
    return machine, latch


@pytest.mark.parametrize("mmu", ["fast", "reference"])
@pytest.mark.parametrize(("paging", "base"), [("", BASE), (PAGED, 0xC0300000)])
def test_each_access_reaches_the_device(paging: str, base: int, mmu: str) -> None:
    machine, latch = run(
        f"""{paging}
        movl    $0x12345678, 0x{base + 0x10:x}
        movw    $0xabcd, 0x{base + 0xFFE:x}
        movb    $0x42, 0x{base + 1:x}
        movl    0x{base:x}, %eax
        put     eax
        movzwl  0x{base + 6:x}, %eax
        put     eax
        movl    $7, %eax
        addl    %eax, 0x{base + 0x20:x}
        """,
        mmu,
    )
    assert latch.writes == [(0x10, 4, 0x12345678), (0xFFE, 2, 0xABCD), (1, 1, 0x42), (0x20, 4, 3 + 7)]
    assert latch.reads == [(0, 4), (6, 2), (0x20, 4)]
    assert results_of(machine, 2) == [1, 2]


def test_wide_and_unaligned_accesses_come_as_several() -> None:
    _machine, latch = run(f"movl 0x{BASE + 1:x}, %eax\n fldl 0x{BASE + 8:x}")
    assert latch.reads == [(0, 4), (4, 4), (8, 4), (12, 4)]


def test_code_in_a_window_is_not_executed() -> None:
    with pytest.raises(
        UnmappedAccess, match=r"^fetch from unmapped physical memory 0xfeb00000 at EIP 0xfeb00000$"
    ):
        run(f"movl $0x{BASE:x}, %eax\n jmp *%eax")


def test_what_a_device_raises_ends_the_run() -> None:
    latch = Latch()

    def fail(offset: int, size: int) -> int:
        assert (offset, size) == (0, 4)
        raise NotEmulated("kmemu does not have this register", 0, "nowhere")

    latch.read_memory = fail  # type: ignore[method-assign]
    board = (*pc_board(), Row(lambda _wires: latch, mmio=(BASE, BASE + 0x1000)))
    machine = Machine(assemble(f"movl 0x{BASE:x}, %eax\n1: jmp 1b"), board=board)
    with pytest.raises(NotEmulated, match=r"^kmemu does not have this register at nowhere, EIP 0x00000000$"):
        machine.run(max_instructions=10_000)
