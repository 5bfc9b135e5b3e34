"""The i386's rules of paging, one by one: the self-tests print the same on both MMUs and on QEMU."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import pytest

from emulator.errors import GuestException
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.helpers.guest import assemble
from tests.helpers.port_guests import PORTS, lines_in_qemu

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
OPTIONS: dict[str, tuple[str, ...]] = {
    "paging": (),
    "paging_pae": ("-cpu", "qemu32,+nx"),
    "paging_restarts": (),
    "paging_stacks": (),
    "paging_descriptors": (),
    "paging_tables": (),
}
"""For QEMU, by the name of a self-test in firmware/devices."""
READS_NOTHING = "paging_tables"  # where Unicorn's own MMU ends the run
CASES = [
    (area, mmu)
    for area in OPTIONS
    for mmu in ("fast", "reference")
    if (area, mmu) != (READS_NOTHING, "reference")
]


RANDOM = "paging_random"
SEEDS = (1, 2026, 0xFFFFFFFF)


@cache
def on_qemu(kernel: Path, command_line: str) -> qemu.Ended:
    return qemu.run_to_exit(kernel, command_line, options=OPTIONS.get(kernel.stem, ()))


def compare(kernel: Path, mmu: Literal["fast", "reference"], command_line: str = "") -> None:
    """Compare what a kernel prints here with what it prints in QEMU."""
    theirs = on_qemu(kernel, command_line)
    ram = RamWindow(MIB, qemu.RAM_MIB * MIB)
    machine = Machine(KernelImage.read(kernel), ram=ram, command_line=command_line, mmu=mmu)
    outcome = machine.run(timeout_s=60)
    lines = bytes(machine.output[Console.SERIAL]).decode().splitlines()
    differences = [
        pair for pair in zip(lines, theirs.serial.decode().splitlines(), strict=True) if pair[0] != pair[1]
    ]
    assert not differences
    assert lines[-1] == "done"
    assert (outcome.ending, outcome.exit_code) == (Returned.EXIT, theirs.exit_code)


@pytest.mark.parametrize(("area", "mmu"), CASES)
def test_a_self_test_prints_what_it_prints_in_qemu(
    area: str, mmu: Literal["fast", "reference"], built: Path
) -> None:
    compare(built / f"{area}.elf", mmu)


@pytest.mark.parametrize("mmu", ["fast", "reference"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_tables_and_accesses(seed: int, mmu: Literal["fast", "reference"], built: Path) -> None:
    compare(built / f"{RANDOM}.elf", mmu, f"seed={seed} cases=100")


# What ends by a triple fault: the fault, the double fault after it, and that one's own fault have no way to a handler.
MAPPED = """
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        shll    $12, %eax
        orl     $7, %eax
        movl    %eax, table(, %ecx, 4)
        incl    %ecx
        cmpl    $1024, %ecx
        jne     1b
        movl    $table + 7, directory
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        .bss
        .balign 4096
directory: .skip 4096
table:  .skip   4096
        .text
"""
TRIPLE_FAULTS = {
    "no stack": "movl $0x80000000, %esp\n pushl %eax\n",
    "no stack for an exception": "movl $0x80000000, %esp\n ud2\n",
    "no page directory": "movl $0x40000000, %eax\n movl %eax, %cr3\n jmp 1f\n 1:\n",
    "a page directory that was cleared": "movl $0, directory\n movl %cr3, %eax\n movl %eax, %cr3\n jmp 1f\n 1:\n",
    "no IDT": "movl $0, table + 4 * 0x80\n ud2\n",
}


@pytest.mark.parametrize("name", TRIPLE_FAULTS)
def test_a_triple_fault_ends_the_pc(name: str, tmp_path: Path) -> None:
    source = f'guest:\n{MAPPED}say "before"\nline\n{TRIPLE_FAULTS[name]}say "after"\nline\nexit 0\n'
    assert lines_in_qemu(source, tmp_path) == ["before"]
    machine = Machine(assemble(PORTS + source))
    with pytest.raises(GuestException, match=r"^triple fault: "):
        machine.run(timeout_s=20)
    assert bytes(machine.output[Console.SERIAL]) == b"before\n"
