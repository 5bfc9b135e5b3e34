"""invlpg takes all of a large page out of the TLB, whichever of its addresses it names (Intel SDM vol. 3A, 4.10.4.1)."""

from __future__ import annotations

import pytest

from emulator.machine.address_map import MIB
from emulator.machine.memory import RamWindow
from tests.helpers.guest import machine_of, results_of

# 4 MiB at 0x80000000 are first those at 0, then those at 4 MiB; two of its pages are read, one is given to invlpg.
GUEST = """
        movl    $0x11111111, 0x00102ffc
        movl    $0x22222222, 0x00502ffc
        movl    $0x83, directory
        movl    $0x400083, directory + 4
        movl    $0x83, directory + 0x800
        paging  directory
        movl    0x80003000, %ebx
        movl    0x80102ffc, %ebx
        put     ebx
        movl    $0x400083, directory + 0x800
        invlpg  0x80003000
        movl    0x80102ffc, %ebx
        put     ebx
        hlt
        .bss
        .balign 4096
directory: .skip 4096
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_large_page(mmu: str) -> None:
    machine = machine_of(GUEST, mmu=mmu, ram=RamWindow(MIB, 16 * MIB))
    machine.run()
    assert results_of(machine, 2) == [0x11111111, 0x22222222]
