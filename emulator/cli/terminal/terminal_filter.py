"""Filter a guest's output for the user's terminal: text passes, and what moves, colours and clears.

Theory. A terminal obeys control sequences (ECMA-48), and many of them act on more than the screen: they set the title or the
clipboard, let the terminal type an answer into the next shell, switch its modes for good. A filter goes through the bytes as
a terminal would (https://vt100.net/emu/dec_ansi_parser) and hands on what is on its list, each sequence as a whole, so that
nothing depends on how the bytes were divided. What is not on the list is left out, whatever it is.

Shortcomings. A string (OSC, DCS, SOS, PM, APC) that is not ended swallows what follows, as on a terminal, but only to the end
of the line.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

_PLAIN: Final = re.compile(rb"[\x20-\x7e\b\t\n\v\f\r]+")
_ESCAPE, _CANCEL, _SUBSTITUTE, _BELL = 0x1B, 0x18, 0x1A, 0x07
_MOVES: Final = frozenset(b"\b\t\n\v\f\r")
_LINE_ENDS: Final = frozenset(b"\n\r")
_DELETE, _C1, _HIGH = 0x7F, 0x80, 0xA0
_ONE_BYTE_ESCAPES: Final = frozenset(b"78DEM")  # save and restore the cursor, line down and up, next line
_STRINGS: Final = frozenset(b"PX]^_")  # DCS, SOS, OSC, PM, APC
_TO_7_BIT: Final = 0x40  # from a C1 control to the byte after ESC
_CSI, _STRING_END = 0x9B, 0x9C
_SEQUENCE_MAX: Final = 64  # bytes; longer ones are no sequences of this list
_ALLOWED: Final = re.compile(
    rb"""(?x)
    [0-9]* [ABCDEFGIZ`ade@PLMXST]   # the cursor by so many, insert and delete, scroll
    | [0-9]* (;[0-9]*)? [Hf]        # the cursor to a position
    | [0-2]? [JK]                   # erase, but not what has scrolled out of the window
    | [0-9;:]* m                    # colours
    | [su]                          # save and restore the cursor
    """
)


class _State(Enum):
    GROUND = 0
    ESCAPE = 1  # after ESC
    INTERMEDIATE = 2  # after ESC and a byte that only a final byte ends
    SEQUENCE = 3  # after CSI
    STRING = 4


class TerminalFilter:
    """Passes bytes on, in pieces as they come.

    Args:
        utf8: What the terminal understands. Where that is not UTF-8, bytes from 0x80 to 0x9f are control characters
            wherever they stand.
    """

    def __init__(self, *, utf8: bool) -> None:
        self._utf8 = utf8
        self._state = _State.GROUND
        self._sequence = bytearray()  # after CSI
        self._character = bytearray()  # of UTF-8, not whole
        self._is_coloured = False

    def __call__(self, data: bytes) -> bytes:
        """Take some bytes, and return what may be shown by now."""
        shown = bytearray()
        at = 0
        while at < len(data):
            if self._state is _State.GROUND and not self._character:
                plain = _PLAIN.match(data, at)
                if plain is not None:
                    shown += plain[0]
                    at = plain.end()
                    continue
            self._take(data[at], shown)
            at += 1
        return bytes(shown)

    def end(self) -> bytes:
        """Return what ends the output: the terminal's own colours, if the guest has set others. Half a sequence is dropped."""
        shown = bytearray()
        self._take_singly(bytes(self._character), shown)
        self._character.clear()
        if self._is_coloured:
            shown += b"\x1b[0m"
        self._state, self._is_coloured = _State.GROUND, False
        return bytes(shown)

    def _take(self, byte: int, shown: bytearray) -> None:
        if self._character:
            self._go_on_with_character(byte, shown)
        elif byte >= _C1:
            self._take_high(byte, shown)
        elif self._state is _State.STRING:
            self._take_in_string(byte, shown)
        elif byte < ord(" ") or byte == _DELETE:
            self._take_control(byte, shown)
        else:
            self._take_printable(byte, shown)

    def _take_control(self, byte: int, shown: bytearray) -> None:
        """Take a control character; a terminal obeys it also within a sequence."""
        if byte == _ESCAPE:
            self._state = _State.ESCAPE
        elif byte in (_CANCEL, _SUBSTITUTE):
            self._state = _State.GROUND
        elif byte in _MOVES:
            shown.append(byte)

    def _take_printable(self, byte: int, shown: bytearray) -> None:
        match self._state:
            case _State.GROUND:
                shown.append(byte)
            case _State.ESCAPE:
                self._take_after_escape(byte, shown)
            case _State.INTERMEDIATE:
                if byte >= ord("0"):
                    self._state = _State.GROUND
            case _:
                self._take_in_sequence(byte, shown)

    def _take_after_escape(self, byte: int, shown: bytearray) -> None:
        if byte == ord("["):
            self._begin_sequence()
        elif byte in _STRINGS:
            self._state = _State.STRING
        elif byte < ord("0"):
            self._state = _State.INTERMEDIATE
        else:
            self._state = _State.GROUND
            if byte in _ONE_BYTE_ESCAPES:
                shown += bytes([_ESCAPE, byte])

    def _begin_sequence(self) -> None:
        self._state = _State.SEQUENCE
        self._sequence.clear()

    def _take_in_sequence(self, byte: int, shown: bytearray) -> None:
        if len(self._sequence) <= _SEQUENCE_MAX:
            self._sequence.append(byte)
        if byte < ord("@"):
            return
        self._state = _State.GROUND
        if len(self._sequence) <= _SEQUENCE_MAX and _ALLOWED.fullmatch(self._sequence):
            shown += b"\x1b[" + self._sequence
            self._is_coloured = self._is_coloured or byte == ord("m")

    def _take_in_string(self, byte: int, shown: bytearray) -> None:
        if byte in _LINE_ENDS:
            shown.append(byte)
            self._state = _State.GROUND
        elif byte == _ESCAPE:
            self._state = _State.ESCAPE  # ESC \ ends it, and so does any other sequence
        elif byte in (_CANCEL, _SUBSTITUTE, _BELL):
            self._state = _State.GROUND

    # -- bytes from 0x80 on -----------------------------------------------------------------------------

    def _take_high(self, byte: int, shown: bytearray) -> None:
        if self._utf8 and _length(byte):
            self._character.append(byte)
        elif byte < _HIGH:
            self._take_c1(byte)
        elif self._state is not _State.STRING:
            self._state = _State.GROUND
            shown.append(byte)

    def _take_c1(self, code: int) -> None:
        if self._state is _State.STRING and code != _STRING_END:
            return
        self._state = _State.GROUND
        if code == _CSI:
            self._begin_sequence()
        elif code - _TO_7_BIT in _STRINGS:
            self._state = _State.STRING

    def _go_on_with_character(self, byte: int, shown: bytearray) -> None:
        """Take a byte after the beginning of a character; if it does not belong there, each stands for itself."""
        whole = bytes(self._character)
        self._character.clear()
        if byte & 0xC0 != _C1:
            self._take_singly(whole, shown)
            self._take(byte, shown)
            return
        whole += bytes([byte])
        if len(whole) < _length(whole[0]):
            self._character += whole
            return
        try:
            code = ord(whole.decode())
        except UnicodeDecodeError:  # a surrogate, a number that is too large, more bytes than needed
            self._take_singly(whole, shown)
            return
        if code < _HIGH:
            self._take_c1(code)
        elif self._state is not _State.STRING:
            self._state = _State.GROUND
            shown += whole

    def _take_singly(self, data: bytes, shown: bytearray) -> None:
        for byte in data:
            if byte < _HIGH:
                self._take_c1(byte)
            elif self._state is not _State.STRING:
                self._state = _State.GROUND
                shown.append(byte)


def _length(lead: int) -> int:
    """Return how many bytes a character of UTF-8 has; 0: none begins so."""
    return next((size for first, last, size in _LEADS if first <= lead <= last), 0)


_LEADS: Final = ((0xC2, 0xDF, 2), (0xE0, 0xEF, 3), (0xF0, 0xF4, 4))
