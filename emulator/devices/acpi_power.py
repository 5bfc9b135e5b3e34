"""Power management of ACPI as QEMU's `pc` has it: event and control registers, the timer, power off.

The machine is in ACPI mode from the start, and stays there: there is no port for SMI commands (docs/differences.md).

Source: ACPI 1.0b, 4.7.3 (fixed hardware) and 4.7.4 (general-purpose events); ports as on QEMU's `pc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices import addresses
from emulator.devices.device import FastPort, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


STATUS, ENABLE, CONTROL, TIMER = 0x600, 0x602, 0x604, 0x608
GENERAL_STATUS, GENERAL_ENABLE = 0xAFE0, 0xAFE2
OLD_CONTROL = 0xB004
"""Where Bochs and older versions of QEMU have `CONTROL`: many kernels try it first. It only takes the power off."""

FREQUENCY_HZ = 3_579_545
TIMER_MASK = 0xFFFFFF

_NS = 1_000_000_000
_TIMER_EVENT = 1 << 0  # of status and enable: the timer's highest bit has changed
_HALF = 1 << 23
_SCI_ENABLED, _SLEEP, _SLEEP_TYPE = 1 << 0, 1 << 13, 7 << 10
_OFF, _OFF_TO_DISK = 0, 2 << 10  # types of sleep after which nothing goes on


class AcpiPower:
    """The registers of power management. It raises its line when the timer's highest bit changes, where that is enabled.

    Args:
        now_ns: Returns the virtual time.
        moved: Called when the next interrupt may have moved.
        off: Called when the guest switches the power off. It has to end the run.
    """

    ports = addresses.ACPI

    def __init__(self, now_ns: Callable[[], int], moved: Callable[[], None], off: Callable[[], None]) -> None:
        self._now_ns, self._moved, self._off = now_ns, moved, off
        self._enable = self._general_enable = 0
        self._control = _SCI_ENABLED
        self._halves = 0  # of the timer's period that were over when the event was last cleared
        self._raised = -1  # the halves that were over when the line was last raised

    def next_tick_ns(self) -> int | None:
        """Return when the line is raised next; None: never."""
        if not self._enable & _TIMER_EVENT or self._raised >= self._halves:
            return None
        return -(-(self._halves + 1) * _HALF * _NS // FREQUENCY_HZ)

    def take_ticks(self, now_ns: int) -> int:
        """Return how often the line was raised since that was last asked: once for an event that nobody has cleared."""
        due = self.next_tick_ns()
        if due is None or due > now_ns:
            return 0
        self._raised = self._halves
        return 1

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`. An access reads the timer once, from any of its ports."""
        if TIMER <= port < TIMER + 4:
            return self._ticks() & TIMER_MASK & (1 << 8 * size) - 1
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)
        self._moved()

    def fast_ports(self) -> Mapping[int, FastPort]:
        """The timer is fast."""
        return dict.fromkeys(range(TIMER, TIMER + 4), FastPort(clock_hz=FREQUENCY_HZ))

    def save(self) -> object:
        """Return the registers."""
        return self._enable, self._general_enable, self._control, self._halves, self._raised

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (int(enable), int(general), int(control), int(halves), int(raised)):
                self._enable, self._general_enable, self._control = enable, general, control
                self._halves, self._raised = halves, raised
            case _:
                raise TypeError(f"not a state of AcpiPower: {state!r}")
        self._moved()

    def _ticks(self) -> int:
        return self._now_ns() * FREQUENCY_HZ // _NS

    def _read(self, port: int) -> int:
        return self._register(port & ~1) >> 8 * (port & 1) & 0xFF

    def _register(self, port: int) -> int:
        if port == STATUS:
            return _TIMER_EVENT if self._ticks() // _HALF > self._halves else 0
        if port == OLD_CONTROL:
            return 0xFFFF
        registers = {ENABLE: self._enable, CONTROL: self._control, GENERAL_ENABLE: self._general_enable}
        return registers.get(port, 0)

    def _write(self, port: int, byte: int) -> None:
        register, shift = port & ~1, 8 * (port & 1)
        value = self._register(register) & ~(0xFF << shift) | byte << shift
        if port == STATUS and byte & _TIMER_EVENT:
            self._halves = self._ticks() // _HALF
        elif register == ENABLE:
            self._enable = value
        elif register == GENERAL_ENABLE:
            self._general_enable = value
        elif register == CONTROL:
            self._control = value & ~_SLEEP | _SCI_ENABLED
            self._sleep(value)
        elif port == OLD_CONTROL + 1:
            self._sleep(byte << 8)

    def _sleep(self, value: int) -> None:
        if value & _SLEEP and value & _SLEEP_TYPE in (_OFF, _OFF_TO_DISK):
            self._off()
