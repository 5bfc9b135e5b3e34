"""The two interrupt controllers of a PC: 8259A, the slave on line 2 of the master.

Edge triggered, fully nested, with the fixed priorities of the PC: line 0 first, lines 8 to 15 in the place of line 2.

Source: Intel 8259A data sheet (ICW1-4, OCW1-3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from emulator.devices.device import read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.device import FastPort

MASTER, SLAVE = 0x20, 0xA0
_CASCADE = 2
_LINES = 8
_SPURIOUS = 7

_ICW1, _ICW1_NEEDS_ICW4, _ICW1_SINGLE = 0x10, 0x01, 0x02
_ICW4_AUTO_EOI = 0x02
_OCW3, _OCW3_READ, _OCW3_READ_ISR = 0x08, 0x02, 0x01
_EOI, _EOI_SPECIFIC = 0x20, 0x60
_COMMAND_MASK = 0xE0


@dataclass(frozen=True, slots=True)
class _Chip:
    """The registers of one controller."""

    requested: int = 0  # IRR
    in_service: int = 0  # ISR
    mask: int = 0xFF  # IMR; a PC's firmware leaves all lines masked
    vector: int = 0x08  # of line 0
    expected: tuple[str, ...] = ()  # initialization words to come
    auto_eoi: bool = False
    reads_isr: bool = False

    def pending(self) -> int | None:
        """The line that would interrupt now."""
        waiting = self.requested & ~self.mask
        for line in range(_LINES):
            if self.in_service >> line & 1:
                return None
            if waiting >> line & 1:
                return line
        return None

    def taken(self, line: int) -> _Chip:
        """The chip after the CPU has taken a line."""
        bit = 1 << line
        service = self.in_service if self.auto_eoi else self.in_service | bit
        return replace(self, requested=self.requested & ~bit, in_service=service)


class Pic:
    """Both controllers.

    Args:
        changed: Called after anything that may change `pending`.
    """

    ports = (MASTER, MASTER + 1, SLAVE, SLAVE + 1)

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._chips = {MASTER: _Chip(), SLAVE: _Chip(vector=0x70)}

    @property
    def pending(self) -> bool:
        """Whether the CPU is asked for an interrupt."""
        return self._master().pending() is not None

    def is_masked(self, line: int) -> bool:
        """Whether a request on a line (0 to 15) can never reach the CPU as things stand."""
        if line < _LINES:
            return bool(self._chips[MASTER].mask >> line & 1)
        return bool(self._chips[SLAVE].mask >> line - _LINES & 1 or self._chips[MASTER].mask >> _CASCADE & 1)

    def request(self, line: int) -> None:
        """A device raises its line (0 to 15)."""
        base, line = (MASTER, line) if line < _LINES else (SLAVE, line - _LINES)
        chip = self._chips[base]
        self._chips[base] = replace(chip, requested=chip.requested | 1 << line)
        self._changed()

    def acknowledge(self) -> int:
        """The CPU takes the interrupt: its vector. Without a pending one it is the spurious line 7."""
        master = self._master()
        line = master.pending()
        if line is None:
            return master.vector + _SPURIOUS
        self._chips[MASTER] = replace(
            master.taken(line), requested=self._chips[MASTER].requested & ~(1 << line)
        )
        vector = master.vector + line
        slave = self._chips[SLAVE]
        if line == _CASCADE and (second := slave.pending()) is not None:
            self._chips[SLAVE] = slave.taken(second)
            vector = slave.vector + second
        self._changed()
        return vector

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)
        self._changed()

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Nothing is fast."""
        return {}

    def save(self) -> object:
        """Return all registers."""
        return self._chips[MASTER], self._chips[SLAVE]

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (_Chip() as master, _Chip() as slave):
                self._chips = {MASTER: master, SLAVE: slave}
            case _:
                raise TypeError(f"not a state of Pic: {state!r}")
        self._changed()

    def _master(self) -> _Chip:
        """The master with the slave's request on its cascade line."""
        master = self._chips[MASTER]
        cascade = (self._chips[SLAVE].pending() is not None) << _CASCADE
        return replace(master, requested=master.requested | cascade)

    def _read(self, port: int) -> int:
        chip = self._chips.get(port & ~1)
        if chip is None:
            return 0xFF
        if port & 1:
            return chip.mask
        return chip.in_service if chip.reads_isr else chip.requested

    def _write(self, port: int, byte: int) -> None:
        base = port & ~1
        chip = self._chips.get(base)
        if chip is None:
            return
        if port & 1:
            self._chips[base] = _data(chip, byte)
        elif byte & _ICW1:
            words = ("vector",) + (() if byte & _ICW1_SINGLE else ("cascade",))
            words += ("mode",) if byte & _ICW1_NEEDS_ICW4 else ()
            self._chips[base] = _Chip(mask=0, vector=chip.vector, expected=words)
        else:
            self._chips[base] = _command(chip, byte)


def _data(chip: _Chip, byte: int) -> _Chip:
    """A byte at the odd port: an initialization word, or the mask."""
    if not chip.expected:
        return replace(chip, mask=byte)
    word, expected = chip.expected[0], chip.expected[1:]
    if word == "vector":
        return replace(chip, vector=byte & 0xF8, expected=expected)
    if word == "mode":
        return replace(chip, auto_eoi=bool(byte & _ICW4_AUTO_EOI), expected=expected)
    return replace(chip, expected=expected)


def _command(chip: _Chip, byte: int) -> _Chip:
    """A byte at the even port: OCW2 or OCW3."""
    if byte & _OCW3:
        return replace(chip, reads_isr=bool(byte & _OCW3_READ_ISR)) if byte & _OCW3_READ else chip
    if byte & _COMMAND_MASK == _EOI_SPECIFIC:
        return replace(chip, in_service=chip.in_service & ~(1 << (byte & 7)))
    if byte & _COMMAND_MASK == _EOI:
        return replace(chip, in_service=chip.in_service & (chip.in_service - 1))  # the most urgent one
    return chip  # priority rotation: no PC kernel uses it
