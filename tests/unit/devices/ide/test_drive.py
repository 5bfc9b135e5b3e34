"""The commands of a drive. `tests/oracle/test_devices.py` compares the same with QEMU."""

from __future__ import annotations

import pytest

from tests.helpers.ide_board import (
    ABORTED,
    CONTROL,
    COUNT,
    DATA,
    DEVICE,
    DRQ,
    ERROR,
    FAILED,
    HIGH,
    IDLE,
    LOW,
    NUMBER,
    SECTOR,
    STATUS,
    IdeBoard,
    numbered,
)

SECTORS = 20160
READY = 0x40


@pytest.fixture
def board() -> IdeBoard:
    return IdeBoard(numbered(SECTORS))


def number_of(sector: bytes) -> int:
    """Return the number that a sector begins with."""
    return int.from_bytes(sector[:4], "little")


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("command", [0x20, 0x21])
def test_read_sectors(board: IdeBoard, command: int, width: int) -> None:
    board.give(command, 300, 3)
    for number in (300, 301, 302):
        assert board.read(STATUS) == DRQ
        assert board.take(SECTOR, width) == numbered(303)[number * SECTOR :][:SECTOR]
    assert board.read(STATUS) == IDLE
    assert board.interrupts == [3, 0]
    assert board.registers() == [0, 0, 303 & 0xFF, 303 >> 8, 0, 0xE0]


def test_read_by_cylinder_head_and_sector(board: IdeBoard) -> None:
    board.give(0x20, 0x000301, 1, device=0xA2)  # cylinder 3, head 2, sector 1
    assert number_of(board.take(SECTOR)) == (3 * 16 + 2) * 63
    assert board.registers()[2:] == [2, 3, 0, 0xA2]


def test_the_sectors_of_a_track_count_from_1(board: IdeBoard) -> None:
    board.give(0x20, 0, 1, device=0xA0)
    assert (board.read(STATUS), board.read(ERROR)) == (FAILED, ABORTED)


def test_read_with_a_48_bit_address(board: IdeBoard) -> None:
    board.give_extended(0x24, 1000, 0x101)
    numbers = [number_of(board.take(SECTOR)) for _ in range(0x101)]
    assert numbers == list(range(1000, 1257))
    assert board.read(STATUS) == IDLE


def test_a_48_bit_address_has_48_bits(board: IdeBoard) -> None:
    board.give_extended(0x24, 1 << 40)
    assert board.read(STATUS) == FAILED


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("command", [0x30, 0x31, 0x3C])
def test_write_sectors(board: IdeBoard, command: int, width: int) -> None:
    board.give(command, 7, 2)
    assert (board.read(STATUS), board.interrupts) == (DRQ, [0, 0])
    board.put(b"a" * SECTOR, width)
    assert (board.read(STATUS), board.interrupts) == (DRQ, [1, 0])
    board.put(b"b" * SECTOR, width)
    assert (board.read(STATUS), board.interrupts) == (IDLE, [2, 0])
    assert [board.sector(number) for number in (7, 8)] == [b"a" * SECTOR, b"b" * SECTOR]
    assert [number_of(board.sector(number)) for number in (6, 9)] == [6, 9]


def test_write_with_a_48_bit_address(board: IdeBoard) -> None:
    board.give_extended(0x34, 300)
    board.put(b"a" * SECTOR)
    assert board.sector(300) == b"a" * SECTOR


def test_read_and_write_multiple(board: IdeBoard) -> None:
    board.give(0xC6, count=4)
    board.give(0xC5, 10, 6)
    board.put(b"a" * 4 * SECTOR)
    board.put(b"b" * 2 * SECTOR)
    board.read(STATUS)
    board.give(0xC4, 9, 6)
    data = board.take(4 * SECTOR) + board.take(2 * SECTOR)
    assert data[SECTOR:] == b"a" * 4 * SECTOR + b"b" * SECTOR
    assert board.read(STATUS) == IDLE
    board.give_extended(0x39, 20)
    board.put(b"c" * SECTOR)
    board.give_extended(0x29, 20)
    assert board.take(SECTOR) == b"c" * SECTOR


@pytest.mark.parametrize("count", [3, 32, 255])
def test_a_block_has_a_power_of_two_sectors(board: IdeBoard, count: int) -> None:
    board.give(0xC6, count=count)
    assert (board.read(STATUS), board.read(ERROR)) == (FAILED, ABORTED)


@pytest.mark.parametrize("command", [0xC4, 0xC5, 0x29, 0x39])
def test_multiple_can_be_off(board: IdeBoard, command: int) -> None:
    board.give(0xC6, count=0)
    board.give(command)
    assert board.read(STATUS) == FAILED


@pytest.mark.parametrize(("command", "is_write"), [(0x20, False), (0xC4, False), (0x30, True), (0xC5, True)])
@pytest.mark.parametrize("device", [0xE0, 0xEF])
def test_sectors_beyond_the_end(board: IdeBoard, command: int, device: int, *, is_write: bool) -> None:
    board.give(command, SECTORS, device=device)
    if is_write:
        board.put(bytes(SECTOR))
    assert (board.read(STATUS), board.read(ERROR)) == (FAILED, ABORTED)
    assert board.interrupts == [1, 0]


def test_a_transfer_over_the_end_stops_there(board: IdeBoard) -> None:
    board.give(0x20, SECTORS - 2, 0)
    assert [number_of(board.take(SECTOR)) for _ in range(2)] == [SECTORS - 2, SECTORS - 1]
    assert (board.read(STATUS), board.read(ERROR), board.read(COUNT)) == (FAILED, ABORTED, 254)


def test_identify(board: IdeBoard) -> None:
    board.give(0xEC)
    assert (board.read(STATUS), board.interrupts) == (DRQ, [1, 0])
    words = board.take(SECTOR)
    assert int.from_bytes(words[120:124], "little") == SECTORS
    assert board.read(STATUS) == IDLE


@pytest.mark.parametrize("command", [0x00, 0x08, 0x22, 0x50, 0xA0, 0xA1, 0xC0, 0xFF])
def test_commands_that_no_disk_has(board: IdeBoard, command: int) -> None:
    board.give(command)
    assert (board.interrupts, board.read(STATUS), board.read(ERROR)) == ([1, 0], FAILED, ABORTED)
    board.give(0xE7)
    assert (board.read(STATUS), board.read(ERROR)) == (IDLE, 0)


@pytest.mark.parametrize("command", [0x10, 0x40, 0x41, 0x42, 0x70, 0x91, 0xE7, 0xEA, 0xF5])
def test_commands_that_only_succeed(board: IdeBoard, command: int) -> None:
    board.give(command)
    assert (board.interrupts, board.read(STATUS), board.read(ERROR)) == ([1, 0], IDLE, 0)


@pytest.mark.parametrize("command", [0x94, 0x95, 0x96, 0x97, 0x99, 0xE0, 0xE1, 0xE2, 0xE3, 0xE6])
def test_a_drive_does_not_sleep(board: IdeBoard, command: int) -> None:
    board.give(command)
    assert (board.interrupts, board.read(STATUS)) == ([1, 0], READY)
    board.give(0xE5)
    assert board.read(COUNT) == 0xFF


@pytest.mark.parametrize("command", [0xF8, 0x27])
def test_the_last_sector(board: IdeBoard, command: int) -> None:
    board.give(command)
    last = SECTORS - 1
    assert [board.read(port) for port in (NUMBER, LOW, HIGH)] == [last & 0xFF, last >> 8, 0]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0x00, (0x07, 0x07, 0x3F)),
        (0x0C, (0x07, 0x07, 0x3F)),
        (0x12, (0x407, 0x07, 0x3F)),
        (0x21, (0x07, 0x207, 0x3F)),
        (0x45, (0x07, 0x07, 0x203F)),
    ],
)
def test_transfer_modes(board: IdeBoard, count: int, words: tuple[int, ...]) -> None:
    board.out(ERROR, 0x03)
    board.give(0xEF, count=count)
    assert board.read(STATUS) == IDLE
    board.give(0xEC)
    data = board.take(SECTOR)
    assert tuple(int.from_bytes(data[2 * word : 2 * word + 2], "little") for word in (62, 63, 88)) == words


@pytest.mark.parametrize(("feature", "cached"), [(0x82, 0x4001), (0x02, 0x4021)])
def test_the_write_cache(board: IdeBoard, feature: int, cached: int) -> None:
    board.out(ERROR, feature)
    board.give(0xEF)
    board.give(0xEC)
    assert int.from_bytes(board.take(SECTOR)[170:172], "little") == cached


@pytest.mark.parametrize(("feature", "status"), [(0xAA, IDLE), (0x55, IDLE), (0x99, FAILED), (0x00, FAILED)])
def test_features_without_effect(board: IdeBoard, feature: int, status: int) -> None:
    board.out(ERROR, feature)
    board.give(0xEF)
    assert board.read(STATUS) == status


def test_an_unknown_transfer_mode(board: IdeBoard) -> None:
    board.out(ERROR, 0x03)
    board.give(0xEF, count=0x18)
    assert board.read(STATUS) == FAILED


@pytest.mark.parametrize(
    ("feature", "number", "status"),
    [
        (0xDA, 0, IDLE),
        (0xD9, 0, IDLE),
        (0xD8, 0, IDLE),
        (0xD2, 0xF1, IDLE),
        (0xD2, 1, FAILED),
        (0xD0, 0, FAILED),
    ],
)
def test_smart(board: IdeBoard, feature: int, number: int, status: int) -> None:
    board.out(ERROR, feature)
    board.give(0xB0, 0xC24F00 | number)
    assert board.read(STATUS) == status


def test_smart_can_be_off(board: IdeBoard) -> None:
    for feature, status in ((0xD9, IDLE), (0xDA, FAILED), (0xD8, IDLE), (0xDA, IDLE)):
        board.out(ERROR, feature)
        board.give(0xB0, 0xC24F00)
        assert board.read(STATUS) == status
    board.give(0xB0, 0)
    assert board.read(STATUS) == FAILED


def test_diagnose(board: IdeBoard) -> None:
    board.give(0x90, 0x123456, 7)
    assert (board.interrupts, board.read(STATUS)) == ([1, 0], IDLE)
    assert board.registers() == [1, 1, 1, 0, 0, 0xE0]


def test_a_state_in_the_middle_of_a_transfer(board: IdeBoard) -> None:
    board.give(0x30, 5, 2)
    board.put(b"a" * 100)
    state = board.device.save()
    board.put(b"b" * (SECTOR - 100))
    board.put(b"c" * SECTOR)
    assert board.sector(5) == b"a" * 100 + b"b" * (SECTOR - 100)
    board.device.restore(state)
    board.put(b"d" * (SECTOR - 100))
    board.put(b"e" * SECTOR)
    assert [board.sector(number) for number in (5, 6)] == [b"a" * 100 + b"d" * (SECTOR - 100), b"e" * SECTOR]


def test_a_state_in_the_middle_of_a_read(board: IdeBoard) -> None:
    board.give(0xC4, 5, 2)
    first = board.take(600)
    state = board.device.save()
    rest = board.take(2 * SECTOR - 600)
    board.device.restore(state)
    assert board.take(2 * SECTOR - 600) == rest
    assert first + rest == numbered(7)[5 * SECTOR :]


def test_registers_keep_quiet_during_a_transfer(board: IdeBoard) -> None:
    board.give(0x20, 1, 1)
    board.out(COUNT, 0x77)
    board.out(DEVICE, 0xB0)
    board.out(STATUS, 0xEC)
    assert (board.read(COUNT), board.read(DEVICE), board.status()) == (0, 0xE0, DRQ)
    assert board.read(DATA, 1) == 0
    assert number_of(board.take(SECTOR)) == 1


def test_no_interrupts_if_the_guest_wants_none(board: IdeBoard) -> None:
    board.out(CONTROL, 0x02)
    board.sector(1)
    assert board.interrupts == [0, 0]
