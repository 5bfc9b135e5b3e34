from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.rom import RSDP, bios_rom
from tests.helpers.guest import machine_of, results_of

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = Hardware()
EVERYTHING = Hardware((0x3F8,), pci=True, power_management=True, local_apic=True, io_apic=True)


def find(signature: bytes, pieces: Sequence[tuple[int, bytes]]) -> list[int]:
    """Scan for a structure on 16-byte boundaries of the ROM, as kernels do."""
    memory = bytearray(0x10000)
    for address, data in pieces:
        if address >= 0xF0000:
            memory[address - 0xF0000 : address - 0xF0000 + len(data)] = data
    return [at + 0xF0000 for at in range(0, len(memory), 16) if memory[at:].startswith(signature)]


def test_a_plain_pc_promises_nothing() -> None:
    assert find(b"RSD PTR ", bios_rom(NOTHING)) == find(b"_MP_", bios_rom(NOTHING)) == []
    assert all(address >= 0xF0000 for address, _ in bios_rom(NOTHING))


def test_each_structure_is_found_once() -> None:
    pieces = bios_rom(EVERYTHING)
    assert find(b"RSD PTR ", pieces) == [RSDP]
    assert len(find(b"_MP_", pieces)) == len(find(b"PCMP", pieces)) == 1


def test_a_single_apic_is_no_multiprocessor() -> None:
    for hardware in (EVERYTHING._replace(io_apic=False), EVERYTHING._replace(local_apic=False)):
        assert find(b"_MP_", bios_rom(hardware)) == []


def test_pieces_lie_apart() -> None:
    pieces = sorted(bios_rom(EVERYTHING))
    assert all(start + len(data) <= after for (start, data), (after, _) in pairwise(pieces))
    assert pieces[-1][0] + len(pieces[-1][1]) <= 0x100000


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_the_guest_reads_it_and_cannot_write_it(mmu: str) -> None:
    machine = machine_of(
        """
        movl    $0xdeadbeef, 0xffff4
        movb    $0, 0xfff53
        movb    $0, 0xff000             # nothing, as on a chip that was never written
        movl    0xffffc, %eax
        put     eax
        movzbl  0xfff53, %eax
        put     eax
        movzwl  0xffffd, %eax
        put     eax
        movzbl  0xff000, %eax
        put     eax
        movl    $0x12345678, 0xe0000
        movl    0xe0000, %eax
        put     eax
        exit    0
        """,
        mmu=mmu,
    )
    machine.run()
    assert results_of(machine, 5) == [0x00FC0036, 0xCF, 0xFC00, 0xFF, 0]
    assert machine.memory.read(0xFFFFE, 1) == b"\xfc"
