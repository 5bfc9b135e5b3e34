"""System control port A at 0x92: gate A20, and a quick reset.

Source: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A"; QEMU, hw/isa/port92.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices import addresses
from emulator.devices.device import FastPort

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

(PORT,) = addresses.SYSTEM_CONTROL
_RESET, _A20 = 0x01, 0x02


class SystemControl:
    """The port.

    Args:
        reset: Called when the guest resets the PC. It has to end the run.
        set_a20: Called with the state of gate A20 at each write; the keyboard controller sets it, too, and the last one wins.
    """

    ports = addresses.SYSTEM_CONTROL

    def __init__(self, reset: Callable[[], None], set_a20: Callable[[bool], None]) -> None:
        self._reset, self._set_a20 = reset, set_a20
        self._value = _A20

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`: what was written."""
        del port
        return (1 << 8 * size) - 0x100 | self._value

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`; bit 0 going up resets the PC."""
        del port, size
        self._set_a20(bool(value & _A20))
        if value & ~self._value & _RESET:
            self._reset()
        self._value = value & 0xFF

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Reads are fast."""
        return {PORT: FastPort(constant=self._value)}

    def save(self) -> object:
        """Return what was written."""
        return self._value

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, int):
            raise TypeError(f"not a state of SystemControl: {state!r}")
        self._value = state
