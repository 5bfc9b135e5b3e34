"""Its registers are compared with QEMU in tests/oracle/test_port_devices.py; here is what depends on time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.devices.device import FastPort
from emulator.devices.rtc import DATA, INDEX, Rtc
from tests.helpers.wires import wires

S = 1_000_000_000
MS = 1_000_000
A, B, C = 0x0A, 0x0B, 0x0C
SECONDS, MINUTES, HOURS = 0, 2, 4
NEW_YEAR = 1_704_067_199  # 2023-12-31 23:59:59


class Board:
    """A clock, and what it asks of the rest of the PC."""

    def __init__(self, start_s: int = NEW_YEAR, ram_end: int = 0x500000) -> None:
        self.now = 0
        self.interrupts: list[int] = []
        connected = wires(now_ns=lambda: self.now, interrupt=self._interrupt, ram_end=ram_end)
        self.device = Rtc(connected, start_s)

    def _interrupt(self) -> None:
        self.interrupts.append(self.now)

    def read(self, register: int) -> int:
        self.device.write_port(INDEX, 1, register)
        return self.device.read_port(DATA, 1)

    def write(self, register: int, value: int) -> None:
        self.device.write_port(INDEX, 1, register)
        self.device.write_port(DATA, 1, value)

    def date(self) -> str:
        return "".join(f"{self.read(register):02x}" for register in (0x32, 9, 8, 7, 4, 2, 0, 6))

    def run_until(self, until_ns: int) -> None:
        while (due := self.device.next_tick_ns()) is not None and due <= until_ns:
            self.now = max(due, self.now)
            if self.device.take_ticks(self.now):
                self._interrupt()
        self.now = until_ns


@pytest.fixture
def board() -> Board:
    return Board()


def test_time_goes_on_over_the_end_of_a_year(board: Board) -> None:
    assert board.date() == "2023123123595901"  # a Sunday
    board.now = S - 1
    assert board.date() == "2023123123595901"
    board.now = S
    assert board.date() == "2024010100000002"


def test_it_says_when_the_time_is_about_to_change(board: Board) -> None:
    assert [board.read(A), board.device.fast_ports()] == [
        0x26,
        {DATA: FastPort(constant=0x26, until_ns=S - 244_000)},
    ]
    board.now = S - 244_000
    assert [board.read(A), board.device.fast_ports()] == [0xA6, {DATA: FastPort(constant=0xA6, until_ns=S)}]
    board.now = S
    assert board.read(A) == 0x26
    board.write(B, 0x82)  # it stands
    board.now = 2 * S - 1
    assert board.read(A) == 0x26


def test_a_12_hour_clock(board: Board) -> None:
    board.write(B, 0x00)
    assert board.read(HOURS) == 0x91
    board.now = S
    assert board.read(HOURS) == 0x12
    board.write(HOURS, 0x92)
    board.write(B, 0x02)
    assert board.read(HOURS) == 0x12


def test_binary_numbers(board: Board) -> None:
    board.write(B, 0x06)
    assert [board.read(SECONDS), board.read(HOURS), board.read(0x32)] == [59, 23, 20]


def test_the_time_can_be_set_while_it_stands_or_goes(board: Board) -> None:
    board.now = 500 * MS
    board.write(B, 0x82)
    board.write(MINUTES, 0x30)
    board.now = 5 * S
    assert board.read(MINUTES) == 0x30
    board.write(B, 0x02)
    assert board.date()[8:14] == "233059"
    board.now = 6 * S
    assert board.date()[8:14] == "233100"
    board.write(SECONDS, 0x58)
    board.now = 8 * S
    assert board.date()[8:14] == "233200"


@pytest.mark.parametrize(
    ("register", "value", "date"), [(8, 0x99, "20231231"), (7, 0x00, "20231130"), (7, 0x32, "20240101")]
)
def test_dates_that_there_are_not_become_others(board: Board, register: int, value: int, date: str) -> None:
    board.write(register, value)
    assert board.date()[:8] == date


def test_an_interrupt_each_second(board: Board) -> None:
    board.write(B, 0x12)
    board.run_until(5 * S // 2)
    assert board.interrupts == [S]  # the flag was not read
    assert board.read(C) == 0xB0  # the alarm, at midnight, is noticed too
    assert board.read(C) == 0
    board.run_until(9 * S // 2)
    assert board.interrupts == [S, 3 * S]


@pytest.mark.parametrize(("rate", "hertz"), [(6, 1024), (3, 8192), (15, 2), (1, 256), (2, 128)])
def test_periodic_interrupts(board: Board, rate: int, hertz: int) -> None:
    board.write(A, 0x20 | rate)
    board.write(B, 0x42)
    for number in range(1, 5):
        board.run_until(board.now + S // hertz + 1)
        assert len(board.interrupts) == number
        assert board.read(C) & 0xC0 == 0xC0
    assert board.interrupts[0] == -(-S // hertz)
    board.write(A, 0x20)
    assert board.device.next_tick_ns() is None


@pytest.mark.parametrize(
    ("alarm", "seconds"),
    [
        ((0x00, 0x00, 0x05), 6),
        ((0xC0, 0xC0, 0xC0), 1),
        ((0xFF, 0xFF, 0x59), 60),
        ((0x23, 0x59, 0x59), 86400),
        ((0xC0, 0x30, 0xC0), 1801),
        ((0x12, 0x99, 0x00), None),
        ((0x00, 0x00, 0x75), None),
    ],
)
def test_alarms(board: Board, alarm: tuple[int, int, int], seconds: int | None) -> None:
    for register, value in zip((5, 3, 1), alarm, strict=True):
        board.write(register, value)
    board.write(B, 0x22)
    board.run_until(90000 * S)
    assert board.interrupts == ([] if seconds is None else [seconds * S])
    if seconds is not None:
        assert board.read(C) & 0xA0 == 0xA0


def test_flags_can_be_polled_without_interrupts(board: Board) -> None:
    assert board.read(C) == 0
    assert board.device.fast_ports() == {DATA: FastPort(constant=0, until_ns=S)}
    board.now = S
    assert board.device.fast_ports() == {}
    assert board.read(C) == 0x30
    assert board.interrupts == []


def test_an_interrupt_that_is_let_in_late_comes_at_once(board: Board) -> None:
    board.now = S
    board.write(B, 0x12)
    assert board.interrupts == [S]


@pytest.mark.parametrize(
    ("ram_end", "extended", "above_16_mib"),
    [(0x500000, 4096, 0), (16 << 20, 15360, 0), (64 << 20, 0xFC00, 0x300), (3 << 30, 0xFFFF, 0xBF00)],
)
def test_it_says_how_much_ram_there_is(ram_end: int, extended: int, above_16_mib: int) -> None:
    board = Board(ram_end=ram_end)
    words = [board.read(at) | board.read(at + 1) << 8 for at in (0x15, 0x17, 0x30, 0x34)]
    assert words == [640, extended, extended, above_16_mib]


_ACCESS = st.tuples(
    st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, A, B, C, 0x32, 0x40]),
    st.integers(0, 0xFF) | st.none(),
    st.integers(0, 3 * S),
)


@settings(max_examples=50)
@given(st.lists(_ACCESS, max_size=12), st.lists(_ACCESS, max_size=12))
def test_a_kept_state_goes_on_the_same(
    before: list[tuple[int, int | None, int]], after: list[tuple[int, int | None, int]]
) -> None:
    board = Board()
    _do(board, before)
    state, now = board.device.save(), board.now
    first = _do(board, after)
    board.device.restore(state)
    board.now = now
    assert _do(board, after) == first


def _do(board: Board, accesses: list[tuple[int, int | None, int]]) -> list[object]:
    seen: list[object] = []
    board.interrupts.clear()
    for register, value, wait_ns in accesses:
        if value is None:
            fast = board.device.fast_ports().get(DATA) if board.read(register) is not None else None
            again = board.read(register)
            if fast is not None:
                assert fast.constant == again
            seen.append(again)
        else:
            board.write(register, value)
        board.run_until(board.now + wait_ns)
    return [seen, list(board.interrupts)]


def test_other_states_are_refused(board: Board) -> None:
    with pytest.raises(TypeError, match=r"^not a state of Rtc: 3$"):
        board.device.restore(3)
