from __future__ import annotations

import pytest

from tests.helpers.ide_board import (
    BASE,
    CONTROL,
    COUNT,
    DATA,
    DEVICE,
    DRQ,
    ERROR,
    HIGH,
    IDLE,
    LOW,
    NUMBER,
    SECOND,
    SECTOR,
    STATUS,
    IdeBoard,
    numbered,
)


@pytest.fixture
def board() -> IdeBoard:
    return IdeBoard(numbered(64))


def test_what_a_bios_leaves(board: IdeBoard) -> None:
    assert [board.read(port) for port in range(BASE, BASE + 8)] == [0, 0, 0, 0, 0, 0, 0xB0, 0]
    board.out(DEVICE, 0xA0)
    assert board.read(STATUS) == IDLE


@pytest.mark.parametrize(("base", "control"), [(BASE, CONTROL), (SECOND, 0x376)])
def test_a_channel_without_drives_reads_0(base: int, control: int) -> None:
    board = IdeBoard()
    for device in (0xA0, 0xB0):
        board.out(base + 6, device)
        board.out(base + 2, 0x55)
        assert [board.read(port) for port in (*range(base, base + 8), control)] == [0] * 9
        assert board.read(base, 2) == 0


def test_a_second_drive_that_is_not_there(board: IdeBoard) -> None:
    board.out(DEVICE, 0xB0)
    board.out(COUNT, 0x55)
    assert (board.read(STATUS), board.status(), board.read(ERROR), board.read(COUNT)) == (0, 0, 0, 0x55)
    board.out(STATUS, 0xEC)
    assert (board.read(STATUS), board.interrupts) == (0, [0, 0])


def test_the_line_is_raised_again_only_after_the_status_was_read(board: IdeBoard) -> None:
    board.give(0x20, 1, 2)
    board.take(SECTOR)
    assert board.interrupts == [1, 0]
    board.status()
    board.take(SECTOR)
    board.give(0x20, 1, 2)  # a command settles it, too
    assert board.interrupts == [2, 0]
    board.read(STATUS)
    board.take(SECTOR)
    assert board.interrupts == [3, 0]


def test_previous_values_of_registers(board: IdeBoard) -> None:
    board.out(DEVICE, 0xA0)
    for byte in (0x11, 0x22):
        for port in (ERROR, COUNT, NUMBER, LOW, HIGH):
            board.out(port, byte)
    board.out(CONTROL, 0x80)
    assert [board.read(port) for port in (ERROR, COUNT, NUMBER, LOW, HIGH)] == [0x11] * 5
    board.out(COUNT, 0x33)
    assert [board.read(port) for port in (ERROR, COUNT, NUMBER, LOW, HIGH)] == [0, 0x33, 0x22, 0x22, 0x22]


def test_software_reset(board: IdeBoard) -> None:
    board.give(0x20, 9, 1)
    board.take(100)
    board.out(CONTROL, 0x04)
    board.out(CONTROL, 0x00)
    assert board.registers() == [1, 1, 1, 0, 0, 0xA0]
    assert (board.read(STATUS), board.read(DATA, 2), board.interrupts) == (IDLE, 0, [1, 0])


def test_a_reset_without_interrupts(board: IdeBoard) -> None:
    board.out(CONTROL, 0x06)
    board.out(CONTROL, 0x02)
    assert board.interrupts == [0, 0]


def test_wide_accesses_of_registers(board: IdeBoard) -> None:
    board.out(DEVICE, 0xE0)
    board.out(COUNT, 0x0201, 2)
    assert (board.read(COUNT), board.read(NUMBER), board.read(COUNT, 2)) == (1, 2, 0x0201)
    assert board.read(STATUS, 4) & 0xFFFF == IDLE
    assert board.read(CONTROL, 2) == 0xFF00 | IDLE


def test_accesses_that_do_not_fit_move_nothing(board: IdeBoard) -> None:
    board.give(0x20, 3)
    board.take(SECTOR - 2, 2)
    assert (board.read(DATA, 4), board.status()) == (0, DRQ)
    assert (board.read(DATA, 2), board.status()) == (0x0303, IDLE)
    board.out(DATA, 0x1234, 2)
    board.give(0x30, 3)
    assert board.read(DATA, 2) == 0
    board.put(b"z" * SECTOR)
    assert board.sector(3) == b"z" * SECTOR


def test_the_status_is_fast_while_reading_it_has_no_effect(board: IdeBoard) -> None:
    def fast() -> dict[int, int | None]:
        return {port: each.constant for port, each in board.device.fast_ports().items()}

    assert fast() == {STATUS: 0, CONTROL: 0, SECOND + 7: 0, 0x376: 0}
    board.out(DEVICE, 0xE0)
    assert (fast()[STATUS], fast()[CONTROL]) == (IDLE, IDLE)
    board.give(0x20, 1, 1)
    assert STATUS not in fast()  # it takes the interrupt back
    assert fast()[CONTROL] == DRQ
    assert board.read(STATUS) == DRQ
    assert fast()[STATUS] == DRQ
    board.take(SECTOR)
    assert fast()[STATUS] == IDLE
