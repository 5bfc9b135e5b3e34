"""The two interrupt controllers of a PC: 8259A, the slave on line 2 of the master.

Edge triggered, fully nested, with the fixed priorities of the PC: line 0 first, lines 8 to 15 in the place of line 2.

Source: Intel 8259A data sheet (ICW1-4, OCW1-3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices.device import read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.device import FastPort

MASTER, SLAVE = 0x20, 0xA0
_CASCADE = 1 << 2
_LINES = 8
_SPURIOUS = 7

_ICW1, _ICW1_NEEDS_ICW4, _ICW1_SINGLE = 0x10, 0x01, 0x02
_ICW4_AUTO_EOI = 0x02
_OCW3, _OCW3_READ, _OCW3_READ_ISR = 0x08, 0x02, 0x01
_EOI, _EOI_SPECIFIC = 0x20, 0x60
_COMMAND_MASK = 0xE0


class _Chip:
    """One controller. Its registers are plain attributes: they change with every interrupt."""

    __slots__ = ("auto_eoi", "expected", "in_service", "mask", "reads_isr", "requested", "vector")

    def __init__(self, vector: int) -> None:
        self.requested = 0  # IRR
        self.in_service = 0  # ISR
        self.mask = 0xFF  # IMR; a PC's firmware leaves all lines masked
        self.vector = vector  # of line 0
        self.expected: tuple[str, ...] = ()  # initialization words to come
        self.auto_eoi = False
        self.reads_isr = False

    def pending(self) -> int:
        """The bit of the line that would interrupt now: the most urgent one, if no other as urgent is in service."""
        waiting = self.requested & ~self.mask
        bit = waiting & -waiting
        service = self.in_service & -self.in_service
        return bit if not service or bit < service else 0

    def take(self, bit: int) -> int:
        """The CPU takes a line: its vector."""
        self.requested &= ~bit
        if not self.auto_eoi:
            self.in_service |= bit
        return self.vector + bit.bit_length() - 1

    def initialize(self, icw1: int) -> None:
        """ICW1: everything but the vector is as after power-on, and no line is masked."""
        self.requested = self.in_service = self.mask = 0
        self.auto_eoi = self.reads_isr = False
        words = ("vector",) if icw1 & _ICW1_SINGLE else ("vector", "cascade")
        self.expected = (*words, "mode") if icw1 & _ICW1_NEEDS_ICW4 else words

    def write_data(self, byte: int) -> None:
        """A byte at the odd port: an initialization word, or the mask."""
        if not self.expected:
            self.mask = byte
            return
        word, self.expected = self.expected[0], self.expected[1:]
        if word == "vector":
            self.vector = byte & 0xF8
        elif word == "mode":
            self.auto_eoi = bool(byte & _ICW4_AUTO_EOI)

    def write_command(self, byte: int) -> None:
        """Take a byte at the even port: ICW1, OCW2 or OCW3. Priority rotation is ignored: no PC kernel uses it."""
        if byte & _ICW1:
            self.initialize(byte)
        elif byte & _OCW3:
            if byte & _OCW3_READ:
                self.reads_isr = bool(byte & _OCW3_READ_ISR)
        elif byte & _COMMAND_MASK == _EOI_SPECIFIC:
            self.in_service &= ~(1 << (byte & 7))
        elif byte & _COMMAND_MASK == _EOI:
            self.in_service &= self.in_service - 1  # the most urgent one

    def save(self) -> tuple[object, ...]:
        """All registers."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def restore(self, state: tuple[object, ...]) -> None:
        """Go back to a state that `save` returned."""
        for name, value in zip(self.__slots__, state, strict=True):
            setattr(self, name, value)


class Pic:
    """Both controllers.

    Args:
        changed: Called when `pending` changes, and when a request is taken back.
        written: Called before a port is written: what devices have asked for until then is to be there.

    Attributes:
        pending: Whether the CPU is asked for an interrupt.
    """

    ports = (MASTER, MASTER + 1, SLAVE, SLAVE + 1)

    def __init__(self, changed: Callable[[], None], written: Callable[[], None]) -> None:
        self._announce, self._written = changed, written
        self._master, self._slave = _Chip(0x08), _Chip(0x70)
        self.pending = False
        self._requested = 0  # of the master, when that was announced

    def is_requested(self, line: int) -> bool:
        """Return whether a line (0 to 15) has asked and was not served yet: asking again changes nothing."""
        if line < _LINES:
            return bool(self._master.requested >> line & 1)
        return bool(self._slave.requested >> line - _LINES & 1)

    def is_masked(self, line: int) -> bool:
        """Whether a request on a line (0 to 15) can never reach the CPU as things stand."""
        if line < _LINES:
            return bool(self._master.mask >> line & 1)
        return bool(self._slave.mask >> line - _LINES & 1 or self._master.mask & _CASCADE)

    def request(self, line: int) -> None:
        """A device raises its line (0 to 15)."""
        if line < _LINES:
            self._master.requested |= 1 << line
        else:
            self._slave.requested |= 1 << line - _LINES
        self._changed()

    def acknowledge(self) -> int:
        """The CPU takes the interrupt: its vector. Without a pending one it is the spurious line 7."""
        bit = self._master.pending()
        if not bit:
            return self._master.vector + _SPURIOUS
        vector = self._master.take(bit)
        second = self._slave.pending() if bit == _CASCADE else 0
        if second:
            vector = self._slave.take(second)
        self._changed()
        return vector

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        self._written()
        write_bytes(self._write, port, size, value)
        self._changed()

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Nothing is fast."""
        return {}

    def save(self) -> object:
        """Return all registers."""
        return self._master.save(), self._slave.save()

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (tuple(master), tuple(slave)):
                self._master.restore(master)
                self._slave.restore(slave)
            case _:
                raise TypeError(f"not a state of Pic: {state!r}")
        self._changed()

    def _changed(self) -> None:
        """Put the slave's request on the master's cascade line, and return what comes out."""
        if self._slave.pending():
            self._master.requested |= _CASCADE
        else:
            self._master.requested &= ~_CASCADE
        pending, requested = bool(self._master.pending()), self._master.requested
        if pending != self.pending or self._requested & ~requested:
            self.pending = pending
            self._announce()
        self._requested = requested

    def _read(self, port: int) -> int:
        chip = self._chip(port)
        if chip is None:
            return 0xFF
        if port & 1:
            return chip.mask
        return chip.in_service if chip.reads_isr else chip.requested

    def _write(self, port: int, byte: int) -> None:
        chip = self._chip(port)
        if chip is None:
            return
        if port & 1:
            chip.write_data(byte)
        else:
            chip.write_command(byte)

    def _chip(self, port: int) -> _Chip | None:
        return {MASTER: self._master, SLAVE: self._slave}.get(port & ~1)
