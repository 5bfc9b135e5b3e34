"""PCI configuration space by mechanism 1: an address at port 0xCF8, the register at 0xCFC; and the reset control register at 0xCF9.

Source: PCI Local Bus, revision 3.0, 3.2.2.3.2 (mechanism 1) and 6.1-6.2 (header); Intel 82371SB (PIIX3) data sheet, 2.5 (reset control).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices import addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.device import FastPort

_ADDRESS, _RESET_CONTROL, _DATA = 0xCF8, 0xCF9, 0xCFC
_RESET, _HARD = 0x04, 0x02
_ENABLED, _BUS = 1 << 31, 0xFF << 16
_SIZE = 256  # bytes of a function's configuration space
_HEADER = 0x40  # the part of it that is the same for all
_COMMAND, _COMMAND_BITS = 0x04, 0x0507  # I/O, memory, bus master, SERR#, INTx
_CACHE_LINE, _LINE = 0x0C, 0x3C
_NOBODY = 0xFFFFFFFF


class Function:
    """A function's configuration space.

    Args:
        registers: Offset -> bytes there at the guest's start; the rest is 0.
        bases: Offset of a base address register -> how much it decodes, a power of two; bits 2-3 of the register are kept.
    """

    def __init__(self, registers: Mapping[int, bytes], bases: Mapping[int, int] | None = None) -> None:
        self._bytes = bytearray(_SIZE)
        for offset, data in registers.items():
            self._bytes[offset : offset + len(data)] = data
        self._writable = bytearray(_HEADER) + b"\xff" * (_SIZE - _HEADER)
        self._writable[_COMMAND : _COMMAND + 2] = _COMMAND_BITS.to_bytes(2, "little")
        self._writable[_CACHE_LINE] = self._writable[_LINE] = 0xFF
        for offset, size in (bases or {}).items():
            self._writable[offset : offset + 4] = (-size & _NOBODY).to_bytes(4, "little")

    def read(self, offset: int, size: int) -> int:
        """Read a register: 1, 2 or 4 bytes."""
        return int.from_bytes(self._bytes[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Write those bits of a register that can be."""
        for index in range(offset, offset + size):
            mask = self._writable[index]
            self._bytes[index] = self._bytes[index] & ~mask | value & mask
            value >>= 8

    def save(self) -> bytes:
        """Return all of it."""
        return bytes(self._bytes)

    def restore(self, state: bytes) -> None:
        """Go back to a state that `save` returned."""
        self._bytes[:] = state


class Configuration:
    """The configuration space of bus 0.

    Args:
        functions: By device and function number. Of others all registers read as ones.
        reset: Called when the guest resets the PC. It has to end the run.
    """

    ports = addresses.PCI

    def __init__(self, functions: Mapping[tuple[int, int], Function], reset: Callable[[], None]) -> None:
        self._reset = reset
        self._reset_control = 0
        self._functions = {device << 3 | number: each for (device, number), each in functions.items()}
        self._address = 0

    def function(self, device: int, number: int) -> Function:
        """Return a function that is there."""
        return self._functions[device << 3 | number]

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`. Accesses that are not aligned read 0, as in QEMU."""
        ones = _NOBODY >> 32 - 8 * size
        if (port, size) == (_RESET_CONTROL, 1):
            return self._reset_control
        if port < _DATA:
            return self._address if (port, size) == (_ADDRESS, 4) else ones
        if port % size:
            return 0
        function = self._selected()
        return ones if function is None else function.read(self._offset(port), size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`. The address is written as a whole or not at all."""
        if (port, size) == (_RESET_CONTROL, 1):
            self._reset_control = value & _HARD
            if value & _RESET:
                self._reset()
            return
        if port < _DATA:
            if (port, size) == (_ADDRESS, 4):
                self._address = value
            return
        function = self._selected()
        if function is not None and not port % size:
            function.write(self._offset(port), size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Nothing is fast."""
        return {}

    def save(self) -> object:
        """Return the address, the reset control register and all registers."""
        return (
            self._address,
            self._reset_control,
            tuple(function.save() for function in self._functions.values()),
        )

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (int(address), int(reset_control), tuple(functions)):
                self._address, self._reset_control = address, reset_control
            case _:
                raise TypeError(f"not a state of Configuration: {state!r}")
        for function, each in zip(self._functions.values(), functions, strict=True):
            function.restore(each)

    def _selected(self) -> Function | None:
        """Return the function that the address names; None: there is none, or configuration space is closed."""
        if not self._address & _ENABLED or self._address & _BUS:
            return None
        return self._functions.get(self._address >> 8 & 0xFF)

    def _offset(self, port: int) -> int:
        return self._address & 0xFF | port & 3  # the lowest two bits should be 0; QEMU uses them
