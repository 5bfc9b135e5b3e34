"""Registers are compared with QEMU in tests/oracle/test_devices.py; here is what takes seconds, or ends the run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.devices.acpi_power import (
    CONTROL,
    ENABLE,
    FREQUENCY_HZ,
    OLD_CONTROL,
    STATUS,
    TIMER,
    TIMER_MASK,
    AcpiPower,
)

S = 1_000_000_000
HALF_NS = -(-(1 << 23) * S // FREQUENCY_HZ)


class Board:
    """The device, and what it asks of the rest of the PC."""

    def __init__(self) -> None:
        self.now = 0
        self.moved = 0
        self.ended = 0
        self.device = AcpiPower(lambda: self.now, self._moved, self._off)

    def _off(self) -> None:
        self.ended += 1

    def _moved(self) -> None:
        self.moved += 1


@given(st.integers(0, 100 * S))
def test_the_timer_counts_virtual_time_in_24_bits(now: int) -> None:
    board = Board()
    board.now = now
    assert board.device.read_port(TIMER, 4) == now * FREQUENCY_HZ // S & TIMER_MASK
    assert board.device.read_port(TIMER, 1) == now * FREQUENCY_HZ // S & 0xFF


def test_the_event_comes_with_each_change_of_the_highest_bit_until_it_is_cleared() -> None:
    board = Board()
    board.now = HALF_NS - 1
    assert board.device.read_port(STATUS, 2) == 0
    board.now = HALF_NS
    assert board.device.read_port(STATUS, 2) == 1
    board.device.write_port(STATUS, 2, 0xFFFE)
    assert board.device.read_port(STATUS, 2) == 1
    board.device.write_port(STATUS, 2, 1)
    assert board.device.read_port(STATUS, 2) == 0
    board.now = 2 * HALF_NS
    assert board.device.read_port(STATUS, 1) == 1


def test_an_enabled_event_raises_the_line_once_until_it_is_cleared() -> None:
    board = Board()
    assert board.device.next_tick_ns() is None
    board.device.write_port(ENABLE, 2, 1)
    assert board.moved == 1
    assert board.device.next_tick_ns() == HALF_NS
    assert board.device.take_ticks(HALF_NS - 1) == 0
    board.now = HALF_NS
    assert board.device.take_ticks(HALF_NS) == 1
    assert board.device.next_tick_ns() is None
    assert board.device.take_ticks(5 * HALF_NS) == 0
    board.now = 3 * HALF_NS
    board.device.write_port(STATUS, 1, 1)
    assert board.device.next_tick_ns() == -(-4 * (1 << 23) * S // FREQUENCY_HZ)


def test_an_event_that_waits_raises_the_line_when_it_is_enabled() -> None:
    board = Board()
    board.now = HALF_NS
    board.device.write_port(ENABLE, 2, 1)
    assert board.device.take_ticks(board.now) == 1


@pytest.mark.parametrize(
    ("port", "size", "value"),
    [
        (CONTROL, 2, 0x2000),
        (CONTROL, 4, 0x2000),
        (CONTROL + 1, 1, 0x20),
        (CONTROL, 2, 0x2800),
        (OLD_CONTROL, 2, 0x2000),
    ],
)
def test_sleep_of_type_off_ends_the_run(port: int, size: int, value: int) -> None:
    board = Board()
    board.device.write_port(port, size, value)
    assert board.ended == 1


@pytest.mark.parametrize(
    ("port", "value"), [(CONTROL, 0x1C00), (CONTROL, 0x2400), (OLD_CONTROL, 0x0020), (ENABLE, 0x2000)]
)
def test_what_is_no_sleep_of_type_off_ends_nothing(port: int, value: int) -> None:
    board = Board()
    board.device.write_port(port, 2, value)
    assert board.ended == 0


def test_acpi_mode_stays_on_and_sleep_is_not_kept() -> None:
    board = Board()
    assert board.device.read_port(CONTROL, 2) == 1
    board.device.write_port(CONTROL, 2, 0x3C00)
    assert board.device.read_port(CONTROL, 2) == 0x1C01


def test_a_state_is_restored_with_events_raised_and_cleared() -> None:
    board = Board()
    board.device.write_port(ENABLE, 2, 0x0301)
    board.now = HALF_NS
    assert board.device.take_ticks(board.now) == 1
    state = board.device.save()
    board.device.write_port(STATUS, 2, 1)
    board.device.write_port(ENABLE, 2, 0)
    board.device.restore(state)
    assert board.device.save() == state
    assert board.device.next_tick_ns() is None
    assert board.device.read_port(ENABLE, 2) == 0x0301
    with pytest.raises(TypeError, match=r"^not a state of AcpiPower: 7$"):
        board.device.restore(7)
