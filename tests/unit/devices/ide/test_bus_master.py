from __future__ import annotations

import pytest

from tests.helpers.ide_board import DRQ, ERROR, FAILED, IDLE, MASTER, SECTOR, STATUS, IdeBoard, numbered

SECTORS = 300
ACTIVE, FAILURE, INTERRUPT = 1, 2, 4


@pytest.fixture
def board() -> IdeBoard:
    return IdeBoard(numbered(SECTORS))


def master(board: IdeBoard) -> int:
    return board.read(MASTER + 2)


def test_reads_into_memory(board: IdeBoard) -> None:
    board.give(0xC8, 10, 4)
    assert (board.status(), board.interrupts) == (DRQ, [0, 0])
    board.start_dma((0x2000, 3 * SECTOR), (0x8000, SECTOR))
    data = numbered(14)[10 * SECTOR :]
    assert board.memory[0x2000:0x2600] == data[: 3 * SECTOR]
    assert board.memory[0x8000:0x8200] == data[3 * SECTOR :]
    assert not any(board.memory[0x2600:0x8000])
    assert not any(board.memory[0x8200:])
    assert (master(board), board.read(STATUS), board.interrupts) == (INTERRUPT, IDLE, [1, 0])


def test_the_command_may_come_after_the_start(board: IdeBoard) -> None:
    board.start_dma((0x2000, SECTOR))
    board.give(0xC8, 10)
    assert board.memory[0x2000:0x2200] == numbered(11)[10 * SECTOR :]


@pytest.mark.parametrize("command", [0xCA, 0xCB, 0x35])
def test_writes_to_the_disk(board: IdeBoard, command: int) -> None:
    board.memory[0x2000:0x2400] = b"a" * 0x400
    board.give_extended(command, 20, 2) if command == 0x35 else board.give(command, 20, 2)
    board.start_dma((0x2000, 2 * SECTOR))
    assert [board.sector(number) for number in (20, 21)] == [b"a" * SECTOR] * 2
    assert board.sector(22) == numbered(23)[22 * SECTOR :]


def test_reads_with_a_48_bit_address(board: IdeBoard) -> None:
    board.give_extended(0x25, 30, 0x100)
    board.start_dma((0x20000, 0), (0x30000, 0))  # 0 is 64 KiB
    assert board.memory[0x20000:0x40000] == numbered(30 + 0x100)[30 * SECTOR :]
    assert master(board) == INTERRUPT


def test_a_table_with_more_memory_than_needed_leaves_it_active(board: IdeBoard) -> None:
    board.give(0xC8, 10)
    board.start_dma((0x2000, 3 * SECTOR))
    assert master(board) == ACTIVE | INTERRUPT
    assert not any(board.memory[0x2200:])
    board.out(MASTER, 0)
    assert master(board) == INTERRUPT


def test_a_table_that_is_too_short(board: IdeBoard) -> None:
    board.give(0xC8, 10, 2)
    board.start_dma((0x2000, SECTOR))
    assert (master(board), board.status(), board.interrupts) == (0, IDLE, [0, 0])
    assert not any(board.memory[0x2000:])


def test_a_table_without_an_end_is_read_for_a_page(board: IdeBoard) -> None:
    for at in range(0x1000, 0x2000, 8):
        board.memory[at : at + 8] = (0x4000 | 2 << 32).to_bytes(8, "little")
    board.out(0xCF8, 0x80000904, 4)
    board.out(0xCFC, 7, 2)
    board.out(MASTER + 4, 0x1000, 4)
    board.give(0xC8, 10, 3)  # 512 entries of 2 bytes are less
    board.out(MASTER, 1)
    assert (master(board), board.interrupts) == (0, [0, 0])


@pytest.mark.parametrize("command", [0xC8, 0xCA])
def test_sectors_beyond_the_end(board: IdeBoard, command: int) -> None:
    board.give(command, SECTORS - 1, 2)
    board.start_dma((0x2000, 2 * SECTOR))
    assert (master(board), board.read(STATUS), board.read(ERROR)) == (INTERRUPT, FAILED, 4)
    assert not any(board.memory[0x2000:])


def test_nothing_moves_before_the_guest_enables_bus_masters(board: IdeBoard) -> None:
    board.give(0xC8, 10)
    board.start_dma((0x2000, SECTOR), enable=False)
    assert not any(board.memory[0x2000:])


def test_registers(board: IdeBoard) -> None:
    assert [board.read(MASTER + offset) for offset in range(8)] == [0, 0xFF, 0, 0xFF, 0, 0, 0, 0]
    board.out(MASTER + 4, 0xFFFFFFFF, 4)
    assert (board.read(MASTER + 4, 4), board.read(MASTER + 6, 2), board.read(MASTER, 4)) == (
        0xFFFFFFFC,
        0xFFFF,
        0xFFFFFFFF,
    )
    board.out(MASTER + 5, 0x12)
    assert board.read(MASTER + 4, 4) == 0xFFFF12FC
    board.out(MASTER + 2, 0xFF)
    board.out(MASTER, 0xF6)
    assert (board.read(MASTER + 2), board.read(MASTER)) == (0x60, 0)
    board.give(0xE7)
    assert master(board) == 0x60 | INTERRUPT
    board.out(MASTER + 2, INTERRUPT)
    assert master(board) == 0


def test_nobody_answers_where_the_guest_moves_the_ports(board: IdeBoard) -> None:
    board.out(0xCF8, 0x80000920, 4)
    board.out(0xCFC, 0xD001, 4)
    board.out(MASTER, 8)
    assert board.read(MASTER) == 0xFF
    board.out(0xCFC, MASTER | 1, 4)
    assert board.read(MASTER) == 0
    board.out(0xCF8, 0x80000904, 4)
    board.out(0xCFC, 0, 2)
    assert (board.read(MASTER + 2), board.read(MASTER + 4, 4)) == (0xFF, 0xFFFFFFFF)


def test_a_trimmed_sector_keeps_what_it_holds(board: IdeBoard) -> None:
    board.out(ERROR, 1)
    board.give(0x06)
    board.start_dma((0x2000, SECTOR))
    assert (board.read(STATUS), board.sector(0)) == (IDLE, numbered(1))
    board.out(ERROR, 2)
    board.give(0x06)
    assert board.read(STATUS) == FAILED


def test_a_state_before_the_start(board: IdeBoard) -> None:
    board.give(0xC8, 10)
    state = board.device.save()
    board.start_dma((0x2000, SECTOR))
    board.device.restore(state)
    board.memory[0x2000:0x2200] = bytes(SECTOR)
    assert board.status() == DRQ
    board.start_dma((0x2000, SECTOR))
    assert board.memory[0x2000:0x2200] == numbered(11)[10 * SECTOR :]
