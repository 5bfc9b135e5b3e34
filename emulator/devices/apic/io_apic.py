"""The I/O APIC: 24 inputs, of which 16 are the interrupt lines of the board, each with an entry that says what becomes of it.

Line 0 comes in at input 2, the others at those of their numbers. Devices raise their lines for a moment; an entry for levels
keeps such an interrupt until the local APIC broadcasts its end.

Source: Intel 82093AA data sheet, 3.0; the explicit end and version 20h as in QEMU 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.devices.apic.bus import LINES, DeliveryMode, Message
from emulator.devices.device import WithoutPorts
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.devices.apic.bus import ApicBus

SELECT, WINDOW, END = 0x00, 0x10, 0x40
"""Offsets of registers in memory: which register is meant, that register, a vector that has ended."""

ID, VERSION, ARBITRATION, ENTRIES = 0x00, 0x01, 0x02, 0x10
"""Registers by number; an entry has two, the low word first."""

INPUTS: Final = 24

_VERSION = 0x20 | INPUTS - 1 << 16
_TIMER_LINE, _TIMER_INPUT, _CASCADE = 0, 2, 2
_DEVICE_LINES = tuple(line for line in range(LINES) if line != _CASCADE)
_VECTOR, _LOGICAL, _READ_ONLY = 0xFF, 1 << 11, 1 << 12 | 1 << 14
_WAITS_FOR_END, _LEVEL, _MASKED = 1 << 14, 1 << 15, 1 << 16
_WRITABLE = WORD_MAX & ~_READ_ONLY
_DESTINATION = 56  # lowest bit of it
_NO_WORDS: Final[Mapping[int, int]] = {}
_INDEX_MASK, _ID_MASK = 0xFF, 0xF


class IoApic(WithoutPorts):
    """The I/O APIC.

    Args:
        bus: Is connected with it, and takes its messages.
    """

    def __init__(self, bus: ApicBus) -> None:
        self._bus = bus
        self._id = self._selected = 0
        self._entries: tuple[int, ...] = (_MASKED,) * INPUTS
        self._open_lines = 0
        bus.io = self

    def open_lines(self) -> int:
        """Return the lines of the board whose input is not masked, one bit each."""
        return self._open_lines

    def pulse(self, line: int) -> None:
        """A device raises its line (0 to 15), and lets it go. A masked input does not notice."""
        number = _input_of(line)
        entry = self._entries[number]
        if entry & (_MASKED | _WAITS_FOR_END):
            return
        if entry & _LEVEL:
            self._set(number, entry | _WAITS_FOR_END)
        mode = entry >> 8 & 7
        if mode != DeliveryMode.EXTINT:
            self._bus.send(
                Message(
                    entry & _VECTOR, mode, bool(entry & _LEVEL), entry >> _DESTINATION, bool(entry & _LOGICAL)
                )
            )

    def end(self, vector: int) -> None:
        """An interrupt for levels has ended: its input may ask again."""
        for number, entry in enumerate(self._entries):
            if entry & _LEVEL and entry & _VECTOR == vector:
                self._set(number, entry & ~_WAITS_FOR_END)

    def read_memory(self, offset: int, size: int) -> int:
        """Answer a load."""
        register = offset & 0xFF
        if register == SELECT:
            return self._selected & (1 << 8 * size) - 1
        if register != WINDOW or size != 4:  # noqa: PLR2004 - bytes
            return 0
        if self._selected == VERSION:
            return _VERSION
        if self._selected in (ID, ARBITRATION):
            return self._id << 24
        number, is_high = divmod(self._selected - ENTRIES, 2)
        if not 0 <= number < INPUTS:
            return 0
        return self._entries[number] >> 32 if is_high else self._entries[number] & WORD_MAX

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Take a store."""
        register = offset & 0xFF
        if register == SELECT:
            self._selected = value & _INDEX_MASK
        elif register == WINDOW and size == 4:  # noqa: PLR2004 - bytes
            self._write(value)
        elif register == END and size == 4:  # noqa: PLR2004 - bytes
            self.end(value & _VECTOR)

    def fast_words(self) -> Mapping[int, int]:
        """Nothing is fast."""
        return _NO_WORDS

    def _write(self, value: int) -> None:
        number, is_high = divmod(self._selected - ENTRIES, 2)
        if self._selected == ID:
            self._id = value >> 24 & _ID_MASK
        elif 0 <= number < INPUTS:
            entry = self._entries[number]
            if is_high:
                self._set(number, entry & WORD_MAX | value << 32)
                return
            kept = entry & (_READ_ONLY if value & _LEVEL else 0)
            self._set(number, entry & ~WORD_MAX | value & _WRITABLE | kept)
            self._bus.changed()

    def _set(self, number: int, entry: int) -> None:
        self._entries = (*self._entries[:number], entry, *self._entries[number + 1 :])
        self._open_lines = self._find_open_lines()

    def _find_open_lines(self) -> int:
        return sum(1 << line for line in _DEVICE_LINES if not self._entries[_input_of(line)] & _MASKED)

    def save(self) -> object:
        """Return all registers."""
        return self._id, self._selected, self._entries

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (int(number), int(selected), tuple(entries)):
                self._id, self._selected, self._entries = number, selected, entries
                self._open_lines = self._find_open_lines()
            case _:
                raise TypeError(f"not a state of IoApic: {state!r}")
        self._bus.changed()


def _input_of(line: int) -> int:
    return _TIMER_INPUT if line == _TIMER_LINE else line
