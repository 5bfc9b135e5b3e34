"""What its commands answer is compared with QEMU in tests/oracle/test_port_devices.py; here is what QEMU cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.devices.device import FastPort
from emulator.devices.keyboard.controller import COMMAND, DATA, KeyboardController
from emulator.devices.keyboard.key_text import key_events
from emulator.devices.keyboard.ps2_keyboard import Keyboard
from emulator.devices.keyboard.ps2_mouse import Mouse
from tests.helpers.wires import wires

if TYPE_CHECKING:
    from emulator.devices.device import Device

MS = 1_000_000
FULL = 0x01


class Board:
    """A keyboard controller, and what it asks of the rest of the PC."""

    def __init__(self, keys: str = "") -> None:
        self.now = 0
        self.heard = True
        self.asked: list[str] = []
        self.a20: list[bool] = []
        connected = wires(
            now_ns=lambda: self.now,
            interrupt=lambda: self.asked.append("keyboard"),
            second_interrupt=lambda: self.asked.append("mouse"),
            is_heard=lambda: self.heard,
            changed=self._changed,
            reset=lambda: self.asked.append("reset"),
            set_a20=self.a20.append,
        )
        self.device = KeyboardController(connected, key_events(keys))

    def _changed(self, device: Device) -> None:
        assert device is self.device

    def out(self, port: int, value: int) -> None:
        self.device.write_port(port, 1, value)

    def read(self, port: int) -> int:
        return self.device.read_port(port, 1)

    def drain(self) -> bytes:
        data = bytearray()
        while self.read(COMMAND) & FULL:
            data.append(self.read(DATA))
        return bytes(data)

    def run_until(self, until_ns: int) -> None:
        while (due := self.device.next_tick_ns()) is not None and due <= until_ns:
            self.now = due
            assert self.device.take_ticks(due) == 0
        self.now = until_ns


@pytest.fixture
def board() -> Board:
    return Board()


def test_each_byte_raises_the_line_of_its_side(board: Board) -> None:
    board.out(DATA, 0xF2)
    assert board.asked == ["keyboard"]
    assert board.drain() == b"\xfa\xab\x41"
    assert board.asked == ["keyboard"] * 3
    board.out(COMMAND, 0x60)
    board.out(DATA, 0x43)
    board.asked.clear()
    board.out(COMMAND, 0xD4)
    board.out(DATA, 0xF2)
    assert board.asked == ["mouse"]
    assert board.read(COMMAND) & 0x21 == 0x21
    assert board.drain() == b"\xfa\x00"
    assert board.asked == ["mouse"] * 2


def test_no_line_is_raised_where_the_command_byte_says_so(board: Board) -> None:
    board.out(COMMAND, 0x60)
    board.out(DATA, 0x40)
    board.out(DATA, 0xEE)
    assert board.drain() == b"\xee"
    board.out(COMMAND, 0xD4)
    board.out(DATA, 0xF2)
    assert board.drain() == b"\xfa\x00"
    assert board.asked == []


@pytest.mark.parametrize("command", [0xFE, 0xF0])
def test_a_pulse_of_the_reset_line_ends_the_run(board: Board, command: int) -> None:
    board.out(COMMAND, command)
    assert board.asked == ["reset"]


def test_the_output_port_has_the_reset_line_too(board: Board) -> None:
    board.out(COMMAND, 0xD1)
    board.out(DATA, 0xDF)
    assert board.asked == []
    board.out(COMMAND, 0xD1)
    board.out(DATA, 0xFE)
    assert board.asked == ["reset"]


def test_gate_a20_is_a_bit_of_the_output_port(board: Board) -> None:
    for command, value in ((0xDD, 0xCD), (0xDF, 0xCF)):
        board.out(COMMAND, command)
        board.out(COMMAND, 0xD0)
        assert board.read(DATA) == value
    for value in (0xCD, 0xCF):
        board.out(COMMAND, 0xD1)
        board.out(DATA, value)
    assert board.a20 == [False, True] * 2


def test_keys_come_by_interrupt() -> None:
    board = Board("aB")
    board.run_until(499 * MS)
    assert board.asked == []
    board.run_until(500 * MS)
    assert board.asked == ["keyboard"]
    assert board.device.next_tick_ns() is None  # the next one waits until this one is read
    codes = bytearray()
    for _ in range(6):
        codes += board.drain()
        board.run_until(board.now + 25 * MS)
    assert codes == bytes.fromhex("1e 9e 2a 30 b0 aa")


def test_keys_wait_for_a_guest_that_listens() -> None:
    board = Board("a")
    board.heard = False
    board.run_until(5000 * MS)
    assert board.drain() == b""
    board.heard = True
    board.out(COMMAND, 0xAD)  # the keyboard is off
    assert board.device.next_tick_ns() is None
    board.out(COMMAND, 0xAE)
    board.out(DATA, 0xF5)  # its keys are not scanned
    assert board.drain() == b"\xfa"
    assert board.device.next_tick_ns() is None
    board.out(DATA, 0xF4)
    assert board.drain() == b"\xfa"
    board.run_until(6000 * MS)
    assert board.read(DATA) == 0x1E


def test_keys_come_by_polling() -> None:
    board = Board("a")
    board.out(COMMAND, 0x60)
    board.out(DATA, 0x40)
    assert board.device.next_tick_ns() is None
    assert board.device.fast_ports() == _fast(0x1C, until_ns=0)
    assert board.drain() == b""
    assert board.device.fast_ports() == _fast(0x1C, until_ns=50 * MS)
    board.now = 50 * MS
    assert board.read(COMMAND) == 0x1D
    assert board.device.fast_ports() == {COMMAND: FastPort(constant=0x1D)}
    assert board.read(DATA) == 0x1E
    assert board.device.fast_ports() == _fast(0x1C, 0x1E, until_ns=75 * MS)


def test_keys_come_to_a_guest_that_only_looks_at_the_data_port() -> None:
    board = Board("a")
    board.heard = False
    last = board.read(DATA)
    board.now = 49 * MS
    assert board.read(DATA) == last
    assert board.device.fast_ports() == _fast(0x1C, last, until_ns=50 * MS)
    board.now = 50 * MS
    assert board.read(DATA) == 0x1E
    board.now = 75 * MS
    assert board.read(DATA) == 0x9E
    assert board.device.fast_ports() == _fast(0x1C, 0x9E)


def _fast(status: int, data: int = 0xFA, until_ns: int | None = None) -> dict[int, FastPort]:
    return {
        COMMAND: FastPort(constant=status, until_ns=until_ns),
        DATA: FastPort(constant=data, until_ns=until_ns),
    }


def test_keys_can_be_typed_later(board: Board) -> None:
    assert board.device.fast_ports() == _fast(0x1C, until_ns=0)  # the first one is to be noticed
    board.read(COMMAND)
    assert board.device.fast_ports() == _fast(0x1C)
    board.device.type(key_events("a"))
    board.run_until(500 * MS)
    assert board.read(DATA) == 0x1E


@given(
    st.lists(st.tuples(st.sampled_from([COMMAND, DATA]), st.integers(0, 0xFF) | st.none()), max_size=30),
    st.lists(st.tuples(st.sampled_from([COMMAND, DATA]), st.integers(0, 0xFF) | st.none()), max_size=30),
)
def test_a_kept_state_goes_on_the_same(
    before: list[tuple[int, int | None]], after: list[tuple[int, int | None]]
) -> None:
    board = Board("ab")
    _do(board, before)
    state, now = board.device.save(), board.now
    first = _do(board, after)
    board.device.restore(state)
    board.now = now
    assert _do(board, after) == first


def _do(board: Board, accesses: list[tuple[int, int | None]]) -> list[object]:
    seen: list[object] = []
    board.asked.clear()
    for port, value in accesses:
        if value is None:
            seen.append(board.read(port))
        else:
            board.out(port, value)
        seen.append(board.device.fast_ports())
        board.run_until(board.now + 20 * MS)
    return [seen, list(board.asked)]


@pytest.mark.parametrize("kind", [Keyboard, Mouse])
def test_other_states_are_refused(kind: type[Keyboard | Mouse], board: Board) -> None:
    with pytest.raises(TypeError, match=f"^not a state of {kind.__name__}: 3$"):
        kind().restore(3)
    with pytest.raises(TypeError, match=r"^not a state of KeyboardController: 3$"):
        board.device.restore(3)


def test_scan_code_set_2_comes_untranslated() -> None:
    keyboard = Keyboard()
    keyboard.translated = False
    for event in key_events("{up}"):
        keyboard.move_key(event)
    assert bytes(keyboard.take() for _ in range(5)) == bytes.fromhex("e075 e0f075")
