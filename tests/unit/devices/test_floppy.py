"""The floppy disk controller, as far as tests/oracle does not see it."""

from __future__ import annotations

import pytest

from emulator.devices.floppy import FloppyController
from tests.helpers.wires import wires

OUTPUT, STATUS, FIFO = 0x3F2, 0x3F4, 0x3F5
READY, BUSY, RESULT = 0x80, 0x10, 0xD0


class Board:
    """A controller, and what it asks of the rest of the PC."""

    def __init__(self) -> None:
        self.now = self.interrupts = self.moved = 0
        self.device = FloppyController(
            wires(now_ns=lambda: self.now, interrupt=self._interrupt, moved=self._moved)
        )

    def _interrupt(self) -> None:
        self.interrupts += 1

    def _moved(self) -> None:
        self.moved += 1

    def give(self, *values: int) -> None:
        for value in values:
            assert self.status() & ~BUSY == READY
            self.device.write_port(FIFO, 1, value)

    def status(self) -> int:
        return self.device.read_port(STATUS, 1)

    def take(self) -> list[int]:
        taken = []
        while self.status() == RESULT:
            taken.append(self.device.read_port(FIFO, 1))
        return taken


def test_an_id_comes_after_a_fiftieth_of_a_second() -> None:
    board = Board()
    board.give(0x4A, 0)
    assert (board.device.next_tick_ns(), board.moved, board.status()) == (20_000_000, 1, BUSY)
    state = board.device.save()
    for by_tick in (True, False):
        board.now = 20_000_000
        if by_tick:
            assert board.device.take_ticks(board.now) == 0
        assert board.take() == [0, 0, 0, 0, 0, 0, 2]
        assert board.device.next_tick_ns() is None
        board.now = 0
        board.device.restore(state)
    assert board.interrupts == 2
    assert board.status() == BUSY


def test_the_line_is_raised_once_until_somebody_asks_why() -> None:
    board = Board()
    board.give(0x07, 0)
    board.give(0x07, 0)
    assert board.interrupts == 1
    board.give(0x08)
    assert board.take() == [0x20, 0]
    board.give(0x07, 0)
    assert board.interrupts == 2


def test_a_half_command_and_a_half_result_are_part_of_snapshots() -> None:
    board = Board()
    board.give(0x13, 0)
    state = board.device.save()
    for _ in range(2):
        board.give(0x57, 3)
        board.give(0x0E)
        assert board.take()[-2:] == [0x57, 3]
        board.device.restore(state)
        assert board.status() == READY | BUSY
    with pytest.raises(TypeError, match=r"^not a state of FloppyController: None$"):
        board.device.restore(None)


def test_a_controller_that_is_held_in_reset_takes_nothing() -> None:
    board = Board()
    board.device.write_port(OUTPUT, 1, 0)
    board.device.write_port(FIFO, 1, 0x10)
    assert board.device.read_port(FIFO, 1) == 0
    assert (board.device.fast_ports(), board.device.read_port(0x3F6, 1)) == ({}, 0xFF)
