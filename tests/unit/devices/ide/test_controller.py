"""Four drives on two channels."""

from __future__ import annotations

import pytest

from emulator.devices.board import BoardSettings, pc_board
from tests.helpers.ide_board import BASE, IDLE, MASTER, SECOND, SECTOR, IdeBoard, Sectors

DISKS = [bytes([letter]) * 4 * SECTOR for letter in b"abcd"]
PLACES = [(base, device) for base in (BASE, SECOND) for device in (0xE0, 0xF0)]


@pytest.fixture
def board() -> IdeBoard:
    return IdeBoard(*DISKS)


def give(board: IdeBoard, base: int, device: int, command: int) -> None:
    """Give a command for sector 0."""
    board.out(base + 6, device)
    for register, value in ((2, 1), (3, 0), (4, 0), (5, 0), (7, command)):
        board.out(base + register, value)


def take(board: IdeBoard, base: int) -> bytes:
    return b"".join(board.read(base, 4).to_bytes(4, "little") for _ in range(SECTOR // 4))


def test_each_drive_has_its_own_disk(board: IdeBoard) -> None:
    for (base, device), disk in zip(PLACES, DISKS, strict=True):
        give(board, base, device, 0x20)
        assert take(board, base) == disk[:SECTOR]
        assert board.read(base + 7) == IDLE
    assert board.interrupts == [2, 2]


def test_each_drive_has_its_own_serial_number(board: IdeBoard) -> None:
    found = []
    for base, device in PLACES:
        give(board, base, device, 0xEC)
        words = take(board, base)[20:40]
        found.append(b"".join(words[at + 1 : at - 1 : -1] if at else words[1::-1] for at in range(0, 20, 2)))
    assert [each.strip() for each in found] == [b"QM00001", b"QM00002", b"QM00003", b"QM00004"]


def test_each_channel_has_its_own_bus_master(board: IdeBoard) -> None:
    board.memory[0x1000:0x1008] = (0x2000 | SECTOR << 32 | 1 << 63).to_bytes(8, "little")
    board.out(0xCF8, 0x80000904, 4)
    board.out(0xCFC, 0x07, 2)
    board.out(MASTER + 8 + 4, 0x1000, 4)
    board.out(MASTER + 8, 1)
    give(board, SECOND, 0xF0, 0xC8)
    assert board.memory[0x2000:0x2200] == DISKS[3][:SECTOR]
    assert (board.read(MASTER + 2), board.read(MASTER + 8 + 2), board.interrupts) == (0, 4, [0, 1])


def test_writes_to_one_drive_leave_the_other_alone(board: IdeBoard) -> None:
    give(board, BASE, 0xF0, 0x30)
    board.put(b"z" * SECTOR)
    state = board.device.save()
    for device, expected in ((0xE0, b"a"), (0xF0, b"z")):
        give(board, BASE, device, 0x20)
        assert take(board, BASE) == expected * SECTOR
    board.device.restore(state)
    assert board.read(BASE + 6) == 0xF0


def test_two_drives_as_a_bios_leaves_them() -> None:
    board = IdeBoard(*DISKS[:2])
    assert [board.read(port) for port in range(BASE, BASE + 8)] == [0, 0, 0, 0, 0, 0, 0xB0, IDLE]
    board.out(0x3F6, 0x80)
    assert [board.read(port) for port in range(BASE + 1, BASE + 6)] == [0] * 5


def test_a_pc_has_four_disks_at_most() -> None:
    with pytest.raises(ValueError, match=r"^a PC has 4 IDE disks at most, not 5$"):
        pc_board(BoardSettings(disks=(Sectors(DISKS[0]),) * 5))
