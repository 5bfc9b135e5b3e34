"""Geometries, errors and the parameters of disks are compared with QEMU in tests/oracle/test_devices.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices.board import BoardSettings, pc_board
from tests.helpers.ide_board import Sectors
from tests.helpers.real_mode import kept, real_mode_machine

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

SECTORS = 4000
# Read a sector to 0:9000h, and keep its first word.
READ = """
        movw    $0x0201, %ax
        movw    ${sector}, %cx
        movw    ${drive}, %dx
        movw    $0x9000, %bx
        int     $0x13
        movl    0x9000, %eax
        keep    eax
"""


def contents(byte: int) -> Sectors:
    return Sectors(bytes([byte]) * 512 * SECTORS)


def machine_with(disks: int, source: str) -> Machine:
    """Return a machine whose disks hold nothing but their numbers, from 1."""
    settings = BoardSettings(disks=tuple(contents(number + 1) for number in range(disks)))
    return real_mode_machine(source, board=pc_board(settings))


def test_disks_are_numbered_in_the_order_of_their_channels() -> None:
    source = "".join(READ.format(sector=1, drive=0x80 + number) for number in range(4))
    machine = machine_with(4, source + "movzbl 0x475, %eax\n keep eax\n leave")
    machine.run(timeout_s=20)
    assert kept(machine) == [0x01010101, 0x02020202, 0x03030303, 0x04040404, 4]


def test_without_disks_there_are_none() -> None:
    machine = real_mode_machine("movw $0x0201, %ax\n movw $0x80, %dx\n int $0x13\n flags\n keep eax\n leave")
    machine.run(timeout_s=20)
    flags, eax = kept(machine)
    assert flags & 1
    assert eax >> 8 == 0x01


def test_what_was_written_is_a_part_of_snapshots() -> None:
    machine = machine_with(
        1,
        "sti\n"
        + READ.format(sector=5, drive=0x80)
        + """
        movl    $0x0badcafe, 0x9000
        movw    $0x0301, %ax
        int     $0x13
        movl    $0, 0x9000
        movw    $0x0201, %ax
        int     $0x13
        movl    0x9000, %eax
        keep    eax
        leave
        """,
    )
    snapshot = machine.snapshot()
    for _ in range(2):
        machine.run(timeout_s=20)
        assert kept(machine) == [0x01010101, 0x0BADCAFE]
        snapshot.reset()


def test_code_that_comes_from_a_disk_is_executed_in_place_of_what_was_there() -> None:
    settings = BoardSettings(disks=(Sectors(b"\x40\xcb".ljust(512 * SECTORS, b"\0")),))  # inc %ax; lret
    machine = real_mode_machine(
        """
        movw    $0xcb48, 0x9000         # dec %ax; lret
        movl    $100, %eax
        lcall   $0, $0x9000
        keep    eax
        movw    $0x0201, %ax
        movw    $1, %cx
        movw    $0x80, %dx
        movw    $0x9000, %bx
        int     $0x13
        movl    $100, %eax
        lcall   $0, $0x9000
        keep    eax
        leave
        """,
        board=pc_board(settings),
    )
    machine.run(timeout_s=20)
    assert kept(machine) == [99, 101]
