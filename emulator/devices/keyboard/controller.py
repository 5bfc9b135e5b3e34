"""The keyboard controller of a PC, an 8042, with a keyboard and a mouse on it.

Theory of operation. The guest reads one byte at a time, from the output buffer. When that is empty, the next byte comes there:
an answer of the controller's own first, then the keyboard's, then the mouse's. Each byte raises an interrupt line, if the command
byte lets it: 1, or 12 for the mouse.

The controller is as a PC's firmware leaves it: tested, the keyboard translated to scan code set 1, the mouse off.

Source: IBM Personal Computer AT Technical Reference, "Keyboard Controller"; answers as QEMU, hw/input/pckbd.c, gives them.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import FastPort, read_bytes, write_bytes
from emulator.devices.keyboard.ps2_keyboard import Keyboard
from emulator.devices.keyboard.ps2_mouse import Mouse
from emulator.devices.keyboard.typist import Typist

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.devices.board import Wires

DATA, COMMAND = addresses.KEYBOARD

_STATUS: Final = 0x1C  # tested, not locked; QEMU always says that a command was written last
_FULL, _FROM_MOUSE = 0x01, 0x20

_KEYBOARD_INTERRUPT, _MOUSE_INTERRUPT, _KEYBOARD_OFF, _MOUSE_OFF, _TRANSLATE = 0x01, 0x02, 0x10, 0x20, 0x40
_OUTPUT_PORT, _RESET_LINE, _A20 = 0xCF, 0x01, 0x02
_OUTPUT_FULL, _OUTPUT_FROM_MOUSE = 0x10, 0x20

# Commands, and what the controller answers to them, or which bits of the command byte they clear and set.
_READ_MODE, _READ_OUTPUT = 0x20, 0xD0
_ANSWERS: Final = {0xA9: 0x00, 0xAA: 0x55, 0xAB: 0x00, 0xC0: 0x80}
_MODES: Final = {
    0xA7: (0, _MOUSE_OFF),
    0xA8: (_MOUSE_OFF, 0),
    0xAD: (0, _KEYBOARD_OFF),
    0xAE: (_KEYBOARD_OFF, 0),
}
_A20_ON, _A20_OFF = 0xDF, 0xDD
_WRITE_MODE, _WRITE_OUTPUT, _AS_KEYBOARD, _AS_MOUSE, _TO_MOUSE = 0x60, 0xD1, 0xD2, 0xD3, 0xD4
_WITH_DATA: Final = (_WRITE_MODE, _WRITE_OUTPUT, _AS_KEYBOARD, _AS_MOUSE, _TO_MOUSE)
_PULSE: Final = 0xF0  # and above: bit 0 clear resets the CPU


class _Source(Enum):
    """Where a byte comes from. A device keeps it until it is read."""

    CONTROLLER = "controller"
    CONTROLLER_AS_MOUSE = "controller, in the mouse's name"
    KEYBOARD = "keyboard"
    MOUSE = "mouse"


_MOUSE_SIDE: Final = (_Source.CONTROLLER_AS_MOUSE, _Source.MOUSE)


class _State(NamedTuple):
    """What snapshots keep of the controller itself."""

    mode: int = _TRANSLATE | _MOUSE_OFF | _KEYBOARD_INTERRUPT
    output_port: int = _OUTPUT_PORT
    command: int | None = None  # waits for its data
    answer: int | None = None  # the controller's own, to the keyboard's side
    answer_of_mouse: int | None = None
    source: _Source | None = None  # of the byte that is in the output buffer
    data: int = 0xFA  # read last
    level: bool = False  # of the keyboard's interrupt line
    mouse_level: bool = False


def _is_command(port: int) -> bool:
    """Tell whether a port is the one of commands; those that a wide access reaches belong to the two as well."""
    return port & COMMAND == COMMAND


class KeyboardController:
    """The controller, the keyboard, the mouse, and who types.

    Args:
        wires: Its interrupt line is the keyboard's, its second one the mouse's.
        keys: What is typed as soon as the guest listens; see `emulator.devices.keyboard.key_text.key_events`.
    """

    ports = addresses.KEYBOARD

    def __init__(self, wires: Wires, keys: tuple[bytes, ...] = ()) -> None:
        self._wires = wires
        self._state = _State()
        self._keyboard, self._mouse = Keyboard(), Mouse()
        self._typist = Typist(keys)

    @property
    def waits(self) -> int:
        """Movements of keys that are left to be made."""
        return self._typist.waits

    def type(self, keys: tuple[bytes, ...]) -> None:
        """Type this after what waits."""
        self._typist.type(keys)
        self._wires.moved()
        self._wires.changed(self)

    def next_tick_ns(self) -> int | None:
        """Return when a key may come, for a guest that takes interrupts."""
        return self._typist.next_look_ns() if self._takes_keys() and self._interrupts else None

    def take_ticks(self, now_ns: int) -> int:
        """Let time pass: a key may come. The lines are raised at once."""
        if self._takes_keys() and self._interrupts:
            self._press(self._typist.look(now_ns, heard=self._wires.is_heard()))
            self._wires.changed(self)
        return 0

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Asking for the status, and reading an empty buffer, is fast until a key is due for a guest that polls."""
        until = self._typist.next_poll_ns() if self._takes_keys() else None
        ports = {COMMAND: FastPort(constant=self._status, until_ns=until)}
        if not self._full:
            ports[DATA] = FastPort(constant=self._state.data, until_ns=until)
        return ports

    def save(self) -> object:
        """Return the state of all four."""
        return self._state, self._keyboard.save(), self._mouse.save(), self._typist.save()

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (_State() as own, keyboard, mouse, typist):
                self._state = own
            case _:
                raise TypeError(f"not a state of KeyboardController: {state!r}")
        self._keyboard.restore(keyboard)
        self._mouse.restore(mouse)
        self._typist.restore(typist)

    # -- the output buffer ------------------------------------------------------------------------

    @property
    def _full(self) -> bool:
        return self._state.source is not None

    @property
    def _of_mouse(self) -> bool:
        return self._state.source in _MOUSE_SIDE

    @property
    def _status(self) -> int:
        return _STATUS | (_FULL if self._full else 0) | (_FROM_MOUSE if self._of_mouse else 0)

    @property
    def _interrupts(self) -> bool:
        """Whether the keyboard raises its line."""
        return self._state.mode & (_KEYBOARD_INTERRUPT | _KEYBOARD_OFF) == _KEYBOARD_INTERRUPT

    def _takes_keys(self) -> bool:
        """Whether a key that is pressed now comes to the guest."""
        state = self._state
        return not self._full and not state.mode & _KEYBOARD_OFF and self._keyboard.scans

    def _press(self, key: bytes) -> None:
        if key:
            self._keyboard.move_key(key)
            self._fill()

    def _fill(self) -> None:
        """Let the next byte come to the output buffer, if that is empty; raise its line."""
        if not self._full:
            self._state = self._state._replace(source=self._next_source())
        self._set_levels()

    def _next_source(self) -> _Source | None:
        state = self._state
        if state.answer is not None:
            return _Source.CONTROLLER
        if state.answer_of_mouse is not None:
            return _Source.CONTROLLER_AS_MOUSE
        if self._keyboard.waits and not state.mode & _KEYBOARD_OFF:
            return _Source.KEYBOARD
        if self._mouse.waits and not state.mode & _MOUSE_OFF:
            return _Source.MOUSE
        return None

    def _take(self) -> int:
        """Read the output buffer: its byte, or the last one again."""
        state = self._state
        match state.source:
            case _Source.CONTROLLER if state.answer is not None:
                data, state = state.answer, state._replace(answer=None)
            case _Source.CONTROLLER_AS_MOUSE if state.answer_of_mouse is not None:
                data, state = state.answer_of_mouse, state._replace(answer_of_mouse=None)
            case _Source.KEYBOARD:
                data = self._keyboard.take()
            case _Source.MOUSE:
                data = self._mouse.take()
            case _:
                return state.data
        self._state = state._replace(source=None, data=data, level=False, mouse_level=False)
        self._fill()
        self._wires.moved()
        return data

    def _set_levels(self) -> None:
        """Set the interrupt lines by what is in the buffer; only one that rises is noticed."""
        before = self._state
        level = self._full and not self._of_mouse and self._interrupts
        mouse_level = self._of_mouse and bool(before.mode & _MOUSE_INTERRUPT)
        self._state = before._replace(level=level, mouse_level=mouse_level)
        if level and not before.level:
            self._wires.interrupt()
        if mouse_level and not before.mouse_level:
            self._wires.second_interrupt()

    # -- the ports --------------------------------------------------------------------------------

    def _read(self, port: int) -> int:
        if self._takes_keys():
            self._press(self._typist.polled(self._wires.now_ns()))
        return self._status if _is_command(port) else self._take()

    def _write(self, port: int, byte: int) -> None:
        self._typist.commanded()
        if _is_command(port):
            self._state = self._state._replace(command=None)
            self._command(byte)
        else:
            command = self._state.command
            self._state = self._state._replace(command=None)
            self._take_data(command, byte)
        self._fill()
        self._wires.moved()

    def _command(self, command: int) -> None:
        state = self._state
        if command in _ANSWERS:
            self._state = state._replace(answer=_ANSWERS[command])
        elif command in _MODES:
            clear, add = _MODES[command]
            self._state = state._replace(mode=state.mode & ~clear | add)
        elif command in _WITH_DATA:
            self._state = state._replace(command=command)
        elif command == _READ_MODE:
            self._state = state._replace(answer=state.mode)
        elif command == _READ_OUTPUT:
            self._state = state._replace(answer=self._output_port())
        elif command in {_A20_ON, _A20_OFF}:
            a20 = _A20 if command == _A20_ON else 0
            self._set_output_port(state.output_port & ~_A20 | a20)
        elif command >= _PULSE and not command & _RESET_LINE:
            self._wires.reset()
        # others are ignored

    def _output_port(self) -> int:
        full = _OUTPUT_FROM_MOUSE if self._of_mouse else _OUTPUT_FULL
        return self._state.output_port | (full if self._full else 0)

    def _set_output_port(self, value: int) -> None:
        self._state = self._state._replace(output_port=value)
        self._wires.set_a20(bool(value & _A20))

    def _take_data(self, command: int | None, byte: int) -> None:
        state = self._state
        if command is None:
            self._state = state._replace(mode=state.mode & ~_KEYBOARD_OFF)
            self._keyboard.write(byte)
        elif command == _WRITE_MODE:
            self._state = state._replace(mode=byte)
            self._keyboard.translated = bool(byte & _TRANSLATE)
        elif command == _WRITE_OUTPUT:
            self._set_output_port(byte & ~(_OUTPUT_FULL | _OUTPUT_FROM_MOUSE))
            if not byte & _RESET_LINE:
                self._wires.reset()
        elif command == _AS_KEYBOARD:
            self._state = state._replace(answer=byte)
        elif command == _AS_MOUSE:
            self._state = state._replace(answer_of_mouse=byte)
        elif command == _TO_MOUSE:
            self._state = state._replace(mode=state.mode & ~_MOUSE_OFF)
            self._mouse.write(byte)
