"""Gate A20 is part of snapshots, and of how linear addresses are translated outside of the guest. tests/oracle compares it with QEMU."""

from __future__ import annotations

from typing import Literal

import pytest

from emulator.machine.address_map import MIB
from emulator.machine.memory import RamWindow
from tests.helpers.guest import machine_of, results_of

# Runs in the third MiB, whose addresses have a bit 20 of 0.
GUEST = """
        .macro  gate value
        movb    $\\value, %al
        outb    %al, $0x92
        .endm
        movl    $0x200000, %edi
        movl    $0x100000, %esi
        movl    $0x1000, %ecx
        rep     movsl
        leal    1f + 0x100000, %eax
        jmp     *%eax
1:      movl    $0x11111111, 0x80000
        movl    $0x22222222, 0x180000
        gate    0
        hlt
        movl    0x180000, %ebx
        movl    $0x33333333, 0x180000
        gate    2
        movl    0x180000, %ecx
        put     ebx
        put     ecx
        hlt
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_snapshot_keeps_the_gate(mmu: Literal["fast", "reference"]) -> None:
    machine = machine_of(GUEST, mmu=mmu, ram=RamWindow(MIB, 8 * MIB))
    before = machine.snapshot()
    assert machine.cpu.translate(0x180000) == 0x180000
    machine.run()
    shut = machine.snapshot()
    for _ in range(2):
        assert machine.cpu.translate(0x180000) == 0x80000
        machine.run()
        assert machine.cpu.translate(0x180000) == 0x180000
        assert results_of(machine, 2) == [0x11111111, 0x22222222]
        assert machine.memory.load_u32(0x80000) == 0x33333333
        shut.reset()
    before.reset()
    assert machine.cpu.translate(0x180000) == 0x180000
    machine.run()
    assert machine.cpu.translate(0x180000) == 0x80000
