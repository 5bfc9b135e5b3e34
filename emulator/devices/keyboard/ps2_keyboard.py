"""A PS/2 keyboard with 101 keys: its commands, and what it sends.

A byte that is sent waits in the keyboard until the controller takes it. The keyboard repeats no key that is held down.

Shortcomings: scan code sets 1 and 2; set 3, which no PC kernel uses, is refused as an unknown command is.

Source: IBM Personal Computer AT Technical Reference, "Keyboard"; answers as QEMU, hw/input/ps2.c, gives them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_ACK, _RESEND, _SELF_TEST_PASSED = 0xFA, 0xFE, 0xAA
_ECHO, _IDENTIFY, _RESET, _NOTHING = 0xEE, 0xF2, 0xFF, 0x00
_SCAN_CODE_SET, _SET_LEDS, _SET_RATE, _NO_REPEAT, _ALL_REPEAT = 0xF0, 0xED, 0xF3, 0xFC, 0xFA
_ENABLE, _DISABLE, _DEFAULTS = 0xF4, 0xF5, 0xF6
_WITH_ARGUMENT: Final = (_SCAN_CODE_SET, _SET_LEDS, _SET_RATE, _NO_REPEAT)
_SETS: Final = (1, 2)
_IDENTITY, _IDENTITY_TRANSLATED = (0xAB, 0x83), (0xAB, 0x41)
_BREAK, _RELEASED = 0xF0, 0x80

# What a code of set 2 is in set 1. The controller makes the one of the other, too.
_SET_1: Final = bytes.fromhex(
    """
    ff43413f3d3b3c58644442403e0f2959 65382a701d1002 5a66712c1f1e11035b
    672e2d201205045c68392f2114130 65d 693130232215075e6a72322416 08095f
    6b332517180b0a606c34352627190c61 6d7328741a0d626e3a361c1b752b6376
    5556777879 7a0e7b7c4f7d4b477e7f6f 5253504c4d480145574e514a37494654
    """.replace(" ", "").replace("\n", "")
)


def to_set_1(code: int) -> int:
    """Return what the controller makes of a byte of the keyboard when it translates."""
    return _SET_1[code] if code < len(_SET_1) else {0x83: 0x41, 0x84: 0x54}.get(code, code)


def _key_in_set_1(codes: bytes) -> bytes:
    """Return what set 1 has for the codes of set 2 of a key: a released one is the same with bit 7 set."""
    sent = bytearray()
    released = 0
    for code in codes:
        if code == _BREAK:
            released = _RELEASED
        else:
            sent.append(to_set_1(code) | released)
            released = 0
    return bytes(sent)


class _State(NamedTuple):
    """What snapshots keep of a keyboard."""

    replies: bytes = b""  # to the last command, to be taken by the controller first
    queue: bytes = b""  # of keys
    last: int = _ACK  # taken last
    command: int | None = None  # waits for its argument
    scan_code_set: int = 2
    scans: bool = True


class Keyboard:
    """The keyboard, as a PC's firmware leaves it: it has answered a command and scans its keys.

    Attributes:
        translated: Whether the controller translates; it is asked for by the controller's command byte.
    """

    def __init__(self) -> None:
        self._state = _State()
        self.translated = True

    @property
    def waits(self) -> bool:
        """Whether a byte is to be taken."""
        return bool(self._state.replies or self._state.queue)

    @property
    def scans(self) -> bool:
        """Whether it notices keys."""
        return self._state.scans

    def take(self) -> int:
        """Return the next byte; the last one again where there is none."""
        state = self._state
        if state.replies:
            self._state = state._replace(replies=state.replies[1:], last=state.replies[0])
        elif state.queue:
            self._state = state._replace(queue=state.queue[1:], last=state.queue[0])
        return self._state.last

    def move_key(self, codes: bytes) -> None:
        """A key goes down or up.

        Args:
            codes: What it sends in scan code set 2.
        """
        if self.translated and self._state.scan_code_set == 1:  # twice, and nothing takes that for sense
            sent = bytes(to_set_1(code) for code in _key_in_set_1(codes))
        elif self.translated or self._state.scan_code_set == 1:
            sent = _key_in_set_1(codes)
        else:
            sent = codes
        self._state = self._state._replace(queue=self._state.queue + sent)

    def write(self, byte: int) -> None:
        """Take a command, or the argument of one."""
        command = self._state.command
        self._state = self._state._replace(command=None)
        if command is None:
            self._begin(byte)
        elif command == _SCAN_CODE_SET:
            self._choose_set(byte)
        else:
            self._send(_ACK)

    def save(self) -> object:
        """Return the state."""
        return self._state, self.translated

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (_State() as own, bool(translated)):
                self._state, self.translated = own, translated
            case _:
                raise TypeError(f"not a state of Keyboard: {state!r}")

    def _begin(self, command: int) -> None:
        if command in _WITH_ARGUMENT:
            self._state = self._state._replace(command=command)
            self._send(_ACK)
        elif command == _ECHO:
            self._send(_ECHO)
        elif command == _IDENTIFY:
            self._send(_ACK, *(_IDENTITY_TRANSLATED if self.translated else _IDENTITY))
        elif command in {_ENABLE, _DISABLE, _DEFAULTS}:
            self._reset_to(scans=command != _DISABLE, keeps_queue=command == _ENABLE)
            self._send(_ACK)
        elif command == _RESET:
            self._reset_to(scans=True, keeps_queue=False)
            self._send(_ACK, _SELF_TEST_PASSED)
        else:
            self._send(_ACK if command in {_NOTHING, _ALL_REPEAT} else _RESEND)

    def _reset_to(self, *, scans: bool, keeps_queue: bool) -> None:
        if keeps_queue:
            self._state = self._state._replace(scans=scans)
        else:
            self._state = _State(last=self._state.last, scans=scans)

    def _choose_set(self, number: int) -> None:
        if number == 0:
            current = self._state.scan_code_set
            self._send(_ACK, to_set_1(current) if self.translated else current)
        elif number in _SETS:
            self._state = self._state._replace(scan_code_set=number)
            self._send(_ACK)
        else:
            self._send(_RESEND)

    def _send(self, *data: int) -> None:
        """Answer a command; what was answered to the one before and not taken is lost."""
        self._state = self._state._replace(replies=bytes(data))
