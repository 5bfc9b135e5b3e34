"""Registers are compared with QEMU in tests/oracle/test_devices.py; here is the order of interrupts, and when the timer ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from emulator.devices.apic.bus import ApicBus, DeliveryMode, Message
from emulator.devices.apic.local_apic import LocalApic, Register

if TYPE_CHECKING:
    from collections.abc import Iterable

TO_SELF, LEVEL, MASKED, PERIODIC = 1 << 18, 1 << 15, 1 << 16, 1 << 17
ON, SPURIOUS_VECTOR = 0x1FF, 0xFF


class Board:
    """A local APIC, and what it asks of the rest of the PC."""

    def __init__(self) -> None:
        self.now = 0
        self.moved = self.changed = 0
        self.ended: list[int] = []
        self.nmis = self.resets = 0
        self.bus = ApicBus(self._changed, self._nmi)
        self.bus.io = self
        self.device = LocalApic(self.bus, lambda: self.now, self._moved, self._reset)

    def _changed(self) -> None:
        self.changed += 1

    def _moved(self) -> None:
        self.moved += 1

    def _nmi(self) -> None:
        self.nmis += 1

    def _reset(self) -> None:
        self.resets += 1

    def open_lines(self) -> int:
        """Stand in for the I/O APIC."""
        return 0

    def pulse(self, line: int) -> None:
        """Stand in for the I/O APIC."""
        raise AssertionError(line)

    def end(self, vector: int) -> None:
        """Keep what was ended."""
        self.ended.append(vector)

    def write(self, register: int, value: int) -> None:
        self.device.write_memory(register, 4, value)

    def read(self, register: int) -> int:
        return self.device.read_memory(register, 4)

    def vectors(self, register: int) -> set[int]:
        words = [self.read(register + 0x10 * index) for index in range(8)]
        return {vector for vector in range(256) if words[vector // 32] >> vector % 32 & 1}

    def tick(self, now: int) -> bool:
        """Go to a moment; tell whether the CPU is asked then."""
        self.now = now
        assert self.device.take_ticks(now) == 0
        return self.device.is_waiting()


def highest(vectors: Iterable[int]) -> int:
    return max(vectors, default=0)


class Priorities(RuleBasedStateMachine):
    """Any order of requests, ends and changes of priorities, against what the manual says of them in words."""

    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.requests: set[int] = set()
        self.served: set[int] = set()
        self.level: set[int] = set()
        self.task = 0
        self.is_on = True
        self.saved = (self.board.device.save(), *self._model())

    def _model(self) -> tuple[set[int], set[int], set[int], int, bool]:
        return set(self.requests), set(self.served), set(self.level), self.task, self.is_on

    def _priority(self) -> int:
        served = highest(self.served)
        return self.task if self.task >> 4 >= served >> 4 else served & 0xF0

    @rule(target=sent, vector=st.integers(0, 255), is_level=st.booleans())
    def send(self, vector: int, *, is_level: bool) -> int:
        self.board.write(Register.COMMAND, TO_SELF | vector | (LEVEL if is_level else 0))
        self.requests.add(vector)
        self.level = self.level | {vector} if is_level else self.level - {vector}
        return vector

    @rule(vector=sent)
    def send_again(self, vector: int) -> None:
        self.send(vector, is_level=vector in self.level)

    @rule(priority=st.integers(0, 255))
    def set_task_priority(self, priority: int) -> None:
        self.board.write(Register.TASK_PRIORITY, priority)
        self.task = priority

    @rule(is_on=st.booleans())
    def switch(self, *, is_on: bool) -> None:
        self.board.write(Register.SPURIOUS, ON if is_on else SPURIOUS_VECTOR)
        self.is_on = is_on

    @rule()
    def acknowledge(self) -> None:
        vector = self.board.device.acknowledge()
        if not self._is_waiting():
            assert vector == SPURIOUS_VECTOR
            return
        assert vector == highest(self.requests)
        self.requests.remove(vector)
        self.served.add(vector)

    @rule()
    def end(self) -> None:
        self.board.write(Register.END, 0)
        ended = highest(self.served)
        was_level = ended in self.served and ended in self.level
        self.served.discard(ended)
        assert self.board.ended == ([ended] if was_level else [])
        self.board.ended.clear()

    @rule()
    def save(self) -> None:
        self.saved = (self.board.device.save(), *self._model())

    @rule()
    def restore(self) -> None:
        state, requests, served, level, self.task, self.is_on = self.saved
        self.board.device.restore(state)
        self.requests, self.served, self.level = set(requests), set(served), set(level)

    def _is_waiting(self) -> bool:
        if not self.is_on or not highest(self.requests):
            return False
        return highest(self.requests) >> 4 > self._priority() >> 4 or not self._priority()

    @invariant()
    def registers_show_it(self) -> None:
        assert self.board.vectors(Register.REQUESTS) == self.requests
        assert self.board.vectors(Register.IN_SERVICE) == self.served
        assert self.board.vectors(Register.TRIGGER) == self.level
        assert self.board.read(Register.PRIORITY) == self._priority()

    @invariant()
    def the_cpu_is_asked(self) -> None:
        assert self.board.device.is_waiting() == self._is_waiting()


TestPriorities = Priorities.TestCase


@given(
    st.integers(1, 1 << 32),
    st.sampled_from([(0, 1), (1, 2), (2, 3), (3, 4), (8, 5), (9, 6), (10, 7), (11, 0)]),
)
def test_one_shot_asks_once_when_the_count_is_over(count: int, divide: tuple[int, int]) -> None:
    board = Board()
    board.now = 5
    count = min(count, 0xFFFFFFFF)
    board.write(Register.DIVIDE, divide[0])
    board.write(Register.TIMER, 0x50)
    board.write(Register.INITIAL_COUNT, count)
    due = board.device.next_tick_ns()
    assert due == 5 + (count + 1 << divide[1])
    assert not board.tick(due - 1)
    assert board.read(Register.CURRENT_COUNT) == 0
    assert board.tick(due)
    assert board.device.acknowledge() == 0x50
    assert board.device.next_tick_ns() is None


def test_periodic_ticks_that_nobody_takes_are_one() -> None:
    board = Board()
    board.write(Register.DIVIDE, 0xB)
    board.write(Register.TIMER, PERIODIC | 0x50)
    board.write(Register.INITIAL_COUNT, 99)
    assert board.device.next_tick_ns() == 100
    assert board.tick(100)
    assert board.device.next_tick_ns() is None
    board.now = 1234
    moved = board.moved
    assert board.device.acknowledge() == 0x50
    assert board.moved == moved + 1
    assert board.device.next_tick_ns() == 1300
    assert not board.device.is_waiting()
    assert board.read(Register.CURRENT_COUNT) == 99 - 34


@pytest.mark.parametrize(
    ("entry", "count"), [(MASKED | 0x50, 99), (MASKED | PERIODIC | 0x50, 99), (0x50, 0), (PERIODIC | 0x50, 0)]
)
def test_a_masked_timer_and_one_that_stands_never_tick(entry: int, count: int) -> None:
    board = Board()
    board.write(Register.TIMER, entry)
    board.write(Register.INITIAL_COUNT, count)
    assert board.device.next_tick_ns() is None
    assert not board.tick(10**9)


def test_a_timer_that_is_unmasked_late_does_not_make_up_for_ticks() -> None:
    board = Board()
    board.write(Register.TIMER, MASKED | 0x50)
    board.write(Register.INITIAL_COUNT, 99)
    board.now = 1000
    board.write(Register.TIMER, 0x50)
    assert board.device.next_tick_ns() is None
    board.write(Register.TIMER, PERIODIC | 0x50)
    assert board.device.next_tick_ns() == 1100


def test_the_8259_is_let_through_as_a_bios_leaves_it_and_wherever_lint0_says_so() -> None:
    board = Board()
    assert board.bus.passes_8259()
    board.write(Register.LINT0, MASKED | DeliveryMode.EXTINT << 8)
    assert not board.bus.passes_8259()
    board.write(Register.LINT0, DeliveryMode.EXTINT << 8)
    board.write(Register.SPURIOUS, SPURIOUS_VECTOR)
    assert board.bus.passes_8259()
    board.write(Register.LINT0, DeliveryMode.NMI << 8)
    assert not board.bus.passes_8259()


@pytest.mark.parametrize(
    "mode", [DeliveryMode.SMI, DeliveryMode.NMI, DeliveryMode.INIT, DeliveryMode.STARTUP]
)
def test_what_is_not_emulated_makes_no_request(mode: int) -> None:
    board = Board()
    board.bus.send(Message(0x50, mode, is_level=False, destination=0, is_logical=False))
    assert not board.vectors(Register.REQUESTS)


def test_a_format_that_is_neither_flat_nor_clusters_reaches_nobody() -> None:
    board = Board()
    board.write(Register.LOGICAL_ID, 0xFF000000)
    board.write(Register.FORMAT, 0x50000000)
    board.bus.send(Message(0x50, DeliveryMode.FIXED, is_level=False, destination=0xFF, is_logical=True))
    assert not board.vectors(Register.REQUESTS)


def test_a_timer_is_restored_with_its_ticks() -> None:
    board = Board()
    board.write(Register.TIMER, PERIODIC | 0x50)
    board.write(Register.INITIAL_COUNT, 99)
    assert board.tick(200)
    state = board.device.save()
    board.device.acknowledge()
    board.write(Register.INITIAL_COUNT, 7)
    changed, moved = board.changed, board.moved
    board.device.restore(state)
    assert (board.changed, board.moved) == (changed + 1, moved + 1)
    assert board.device.save() == state
    assert board.device.is_waiting()
    assert board.device.next_tick_ns() is None
    with pytest.raises(TypeError, match=r"^not a state of LocalApic: 7$"):
        board.device.restore(7)


def test_without_a_local_apic_the_8259_is_alone() -> None:
    bus = ApicBus(lambda: None, lambda: None)
    bus.send(Message(0x50, DeliveryMode.FIXED, is_level=False, destination=0, is_logical=False))
    bus.pulse(3)
    bus.end(0x50)
    assert (bus.is_waiting(), bus.passes_8259(), bus.open_lines()) == (False, True, 0)
    bus.switch_off()


NMI, INIT, ASSERT = 4 << 8, 5 << 8, 1 << 14


def test_an_nmi_and_an_init_to_itself() -> None:
    board = Board()
    board.write(Register.COMMAND, TO_SELF | NMI)
    board.write(Register.COMMAND_HIGH, 1 << 24)
    board.write(Register.COMMAND, NMI)  # to an absent one
    assert (board.nmis, board.resets) == (1, 0)
    board.write(Register.COMMAND, TO_SELF | INIT | LEVEL)
    assert board.resets == 0
    board.write(Register.COMMAND, TO_SELF | INIT | LEVEL | ASSERT)
    assert board.resets == 1


@pytest.mark.parametrize(
    ("entry", "passes", "lines", "nmis", "vectors"),
    [
        (0x700, True, 0, 0, set()),
        (0x761 | MASKED, False, 0, 0, set()),
        (0x061, True, 1 << 16, 0, {0x61}),
        (0x461, False, 1 << 16, 1, set()),
        (0x561, False, 0, 0, set()),
    ],
)
def test_the_8259_at_lint0(entry: int, passes: bool, lines: int, nmis: int, vectors: set[int]) -> None:
    board = Board()
    board.write(Register.LINT0, entry)
    assert (board.bus.passes_8259(), board.bus.open_lines()) == (passes, lines)
    if lines:
        board.bus.pulse(16)
    assert (board.nmis, board.vectors(Register.REQUESTS)) == (nmis, vectors)


def test_the_cpu_switches_it_off() -> None:
    board = Board()
    board.write(Register.COMMAND, TO_SELF | 0x61)
    assert board.device.is_waiting()
    board.bus.switch_off()
    assert (board.device.is_waiting(), board.read(Register.SPURIOUS)) == (False, 0xFF)
