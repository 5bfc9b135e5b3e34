"""A PS/2 mouse that lies still: its commands, and what it answers.

Source: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; the wheel as Microsoft's IntelliMouse has it; answers as QEMU,
hw/input/ps2.c, gives them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

_ACK, _SELF_TEST_PASSED = 0xFA, 0xAA
_PLAIN, _WHEEL, _FIVE_BUTTONS = 0, 3, 4
_RESOLUTION, _STATUS, _POLL, _NO_WRAP, _WRAP = 0xE8, 0xE9, 0xEB, 0xEC, 0xEE
_IDENTIFY, _RATE, _DEFAULTS, _RESET = 0xF2, 0xF3, 0xF6, 0xFF
_IS_REMOTE, _IS_ENABLED, _IS_SCALED = 0x40, 0x20, 0x10
# Commands that clear and set bits of the status.
_STATUS_CHANGES: Final = {
    0xE6: (_IS_SCALED, 0),
    0xE7: (0, _IS_SCALED),
    0xEA: (_IS_REMOTE, 0),
    0xF0: (0, _IS_REMOTE),
    0xF4: (0, _IS_ENABLED),
    0xF5: (_IS_ENABLED, 0),
}
_AT_REST: Final = (0x08, 0, 0)  # a packet: no button, no movement
# Three sample rates in a row are a knock at the door of a mouse with a wheel, and one with five buttons.
_KNOCKS: Final[dict[tuple[int, ...], int]] = {(200, 100, 80): _WHEEL, (200, 200, 80): _FIVE_BUTTONS}


class _State(NamedTuple):
    """What snapshots keep of a mouse."""

    queue: bytes = b""
    last: int = 0
    command: int | None = None  # waits for its argument
    kind: int = _PLAIN
    status: int = 0
    resolution: int = 2
    rate: int = 100
    rates: tuple[int, ...] = ()  # the last two that were set
    wraps: bool = False


class Mouse:
    """The mouse."""

    def __init__(self) -> None:
        self._state = _State()

    @property
    def waits(self) -> bool:
        """Whether a byte is to be taken."""
        return bool(self._state.queue)

    def take(self) -> int:
        """Return the next byte; the last one again where there is none."""
        state = self._state
        if state.queue:
            self._state = state._replace(queue=state.queue[1:], last=state.queue[0])
        return self._state.last

    def write(self, byte: int) -> None:
        """Take a command, or the argument of one."""
        state = self._state
        self._state = state._replace(command=None)
        if state.wraps and byte not in {_NO_WRAP, _RESET}:
            self._send(byte)
        elif state.command == _RESOLUTION:
            self._change(resolution=byte)
        elif state.command == _RATE:
            self._set_rate(byte)
        else:
            self._begin(byte)

    def save(self) -> object:
        """Return the state."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of Mouse: {state!r}")
        self._state = state

    def _begin(self, command: int) -> None:
        state = self._state
        if command in _STATUS_CHANGES:
            clear, add = _STATUS_CHANGES[command]
            self._change(status=state.status & ~clear | add)
        elif command in {_RESOLUTION, _RATE}:
            self._change(command=command)
        elif command in {_WRAP, _NO_WRAP}:
            self._change(wraps=command == _WRAP)
        elif command == _DEFAULTS:
            self._change(status=0, resolution=2, rate=100)
        elif command == _RESET:
            self._state = _State(last=state.last)
            self._send(_ACK, _SELF_TEST_PASSED, _PLAIN)
        elif command == _STATUS:
            self._send(_ACK, state.status, state.resolution, state.rate)
        elif command == _POLL:
            self._send(_ACK, *_AT_REST, *(() if state.kind == _PLAIN else (0,)))
        elif command == _IDENTIFY:
            self._send(_ACK, state.kind)
        # others are not answered

    def _set_rate(self, rate: int) -> None:
        rates = (*self._state.rates, rate)
        self._change(kind=_KNOCKS.get(rates, self._state.kind), rate=rate, rates=rates[-2:])

    def _change(self, **changes: Any) -> None:  # noqa: ANN401 - fields of the state
        self._state = self._state._replace(**changes)
        self._send(_ACK)

    def _send(self, *data: int) -> None:
        self._state = self._state._replace(queue=self._state.queue + bytes(data))
