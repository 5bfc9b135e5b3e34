"""Registers are compared with QEMU in tests/oracle/test_devices.py; here is what becomes of lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.devices.apic.bus import ApicBus, DeliveryMode, Message
from emulator.devices.apic.io_apic import END, ENTRIES, ID, SELECT, WINDOW, IoApic

MASKED, LEVEL, WAITS_FOR_END = 1 << 16, 1 << 15, 1 << 14


class Board:
    """An I/O APIC, and what reaches the local one."""

    def __init__(self) -> None:
        self.changed = self.nmis = 0
        self.messages: list[Message] = []
        self.bus = ApicBus(self._changed, self._nmi)
        self.bus.local = self
        self.device = IoApic(self.bus)

    def _changed(self) -> None:
        self.changed += 1

    def _nmi(self) -> None:
        self.nmis += 1

    def receive(self, message: Message) -> None:
        """Stand in for the local APIC."""
        self.messages.append(message)

    def is_waiting(self) -> bool:
        """Stand in for the local APIC."""
        return False

    def passes_8259(self) -> bool:
        """Stand in for the local APIC."""
        return True

    def takes_8259(self) -> bool:
        """Stand in for the local APIC."""
        return False

    def pulse_lint0(self) -> None:
        """Stand in for the local APIC."""
        raise AssertionError

    def switch_off(self) -> None:
        """Stand in for the local APIC."""
        raise AssertionError

    def acknowledge(self) -> int:
        """Stand in for the local APIC."""
        raise AssertionError

    def write(self, register: int, value: int) -> None:
        self.device.write_memory(SELECT, 4, register)
        self.device.write_memory(WINDOW, 4, value)

    def read(self, register: int) -> int:
        self.device.write_memory(SELECT, 4, register)
        return self.device.read_memory(WINDOW, 4)

    def route(self, number: int, entry: int) -> None:
        self.write(ENTRIES + 2 * number + 1, entry >> 32)
        self.write(ENTRIES + 2 * number, entry & 0xFFFFFFFF)

    def raised(self, line: int) -> list[int]:
        """Raise a line; return the vectors that come of it."""
        self.messages.clear()
        self.bus.pulse(line)
        return [message.vector for message in self.messages]


@pytest.mark.parametrize(("line", "number"), [(0, 2), (1, 1), *((line, line) for line in range(3, 16))])
def test_a_line_comes_in_at_its_input(line: int, number: int) -> None:
    board = Board()
    assert board.bus.open_lines() == 0
    assert board.raised(line) == []
    board.route(number, 0x55)
    assert board.bus.open_lines() == 1 << line
    assert board.raised(line) == [0x55]
    assert board.raised(line) == [0x55]


@given(
    st.integers(0, 255), st.sampled_from([0, 1, 2, 4, 5]), st.booleans(), st.booleans(), st.integers(0, 255)
)
def test_an_entry_says_what_is_sent(
    vector: int,
    mode: int,
    is_level: bool,
    is_logical: bool,
    destination: int,
) -> None:
    board = Board()
    board.route(7, vector | mode << 8 | is_logical << 11 | is_level << 15 | destination << 56)
    board.bus.pulse(7)
    assert board.messages == [Message(vector, mode, is_level, destination, is_logical)]


def test_a_level_waits_for_its_end() -> None:
    board = Board()
    board.route(9, LEVEL | 0x61)
    assert board.raised(9) == [0x61]
    assert board.read(ENTRIES + 18) == LEVEL | WAITS_FOR_END | 0x61
    assert board.raised(9) == []
    board.bus.end(0x62)
    assert board.raised(9) == []
    board.bus.end(0x61)
    assert board.read(ENTRIES + 18) == LEVEL | 0x61
    assert board.raised(9) == [0x61]
    board.device.write_memory(END, 4, 0x61)
    assert board.raised(9) == [0x61]


def test_an_entry_that_is_written_keeps_that_a_level_waits_but_not_that_an_edge_does() -> None:
    board = Board()
    board.route(9, LEVEL | 0x61)
    assert board.raised(9) == [0x61]
    board.route(9, LEVEL | 0x62)
    assert board.read(ENTRIES + 18) == LEVEL | WAITS_FOR_END | 0x62
    board.route(9, 0x62)
    assert board.read(ENTRIES + 18) == 0x62
    assert board.raised(9) == [0x62]


def test_extint_is_the_8259s() -> None:
    board = Board()
    board.route(3, DeliveryMode.EXTINT << 8)
    assert board.raised(3) == []


def test_a_state_is_restored() -> None:
    board = Board()
    board.write(ID, 0x05000000)
    board.route(9, LEVEL | 0x61)
    board.bus.pulse(9)
    state = board.device.save()
    board.route(9, MASKED)
    board.write(ID, 0)
    changed = board.changed
    board.device.restore(state)
    assert board.changed == changed + 1
    assert board.device.save() == state
    assert board.bus.open_lines() == 1 << 9
    assert board.read(ID) == 0x05000000
    with pytest.raises(TypeError, match=r"^not a state of IoApic: 7$"):
        board.device.restore(7)
