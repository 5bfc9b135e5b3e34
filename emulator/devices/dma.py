"""The two DMA controllers of a PC, 8237A, with the page registers that extend their addresses.

No device transfers by them here, as the floppy disk controller has no drive. So they are registers, which kernels set up and read;
the command register has no effect.

Source: Intel 8237A data sheet; page registers of the IBM PC/AT Technical Reference; what is read where is QEMU's (hw/dma/i8257.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.devices.device import FastPort

_CHANNELS: Final = 4
_PAGES: Final = {0x87: 0, 0x83: 1, 0x81: 2, 0x82: 3, 0x8F: 4, 0x8B: 5, 0x89: 6, 0x8A: 7}
"""Port of a page register -> its channel."""
_SECOND: Final = 0xC0  # port of the second controller, whose registers are two ports each

# Registers after the addresses (even) and counts (odd) of the channels.
_STATUS, _REQUEST, _MASK, _CLEAR_FLIP_FLOP, _CLEAR, _UNMASK, _MASKS = 8, 9, 10, 12, 13, 14, 15
_READS_MASKS: Final = _REQUEST
_ALL: Final = 0xFF
_SET: Final = 0x04


class _Controller(NamedTuple):
    """One of the controllers.

    Attributes:
        bases: Address and count of each channel, alternating, as they were written.
        addresses: Of each channel; the base is loaded with the high byte of either.
        masks: One bit a channel, and what else was written there.
        requests: One bit a channel, by software.
        flip_flop: Whether the high byte of a register comes next.
    """

    bases: tuple[int, ...] = (0,) * (2 * _CHANNELS)
    addresses: tuple[int, ...] = (0,) * _CHANNELS
    masks: int = _ALL
    requests: int = 0
    flip_flop: bool = False

    def read(self, register: int) -> int:
        """Return what a register (0 to 15) reads as."""
        if register < 2 * _CHANNELS:
            value = self.bases[register] if register % 2 else self.addresses[register // 2]
            return value >> (8 if self.flip_flop else 0) & 0xFF
        return {_STATUS: self.requests << 4, _READS_MASKS: self.masks}.get(register, 0)

    def write(self, register: int, byte: int) -> _Controller:
        """Return the controller after a write to a register (0 to 15)."""
        bit = 1 << byte % _CHANNELS
        is_set = byte & _SET
        if register < 2 * _CHANNELS:
            return self._write_half(register, byte)
        if register == _REQUEST:
            return self._replace(requests=self.requests | bit if is_set else self.requests & ~bit)
        if register == _MASK:
            return self._replace(masks=self.masks | bit if is_set else self.masks & ~bit)
        if register == _CLEAR:
            return self._replace(masks=_ALL, requests=0, flip_flop=False)
        if register in (_UNMASK, _MASKS):
            return self._replace(masks=byte if register == _MASKS else 0)
        return self._replace(flip_flop=False) if register == _CLEAR_FLIP_FLOP else self

    def _write_half(self, register: int, byte: int) -> _Controller:
        old, bases, loaded = self.bases[register], list(self.bases), list(self.addresses)
        bases[register] = old & 0xFF | byte << 8 if self.flip_flop else old & 0xFF00 | byte
        if self.flip_flop:
            loaded[register // 2] = bases[register & ~1]
        return self._replace(bases=tuple(bases), addresses=tuple(loaded), flip_flop=not self.flip_flop)


class _State(NamedTuple):
    """What snapshots keep of both."""

    controllers: tuple[_Controller, ...] = (_Controller(), _Controller(masks=_ALL & ~1))
    pages: bytes = bytes(2 * _CHANNELS)


class DmaControllers:
    """Both controllers, as a BIOS leaves them: cleared, channel 4 open, through which the first one asks."""

    ports = addresses.DMA

    def __init__(self) -> None:
        self._state = _State()

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """None: kernels do not poll them."""
        return {}

    def save(self) -> object:
        """Return all registers."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of DmaControllers: {state!r}")
        self._state = state

    def _read(self, port: int) -> int:
        if port in _PAGES:
            return self._state.pages[_PAGES[port]]
        if port not in self.ports:
            return 0xFF
        number, register = _register(port)
        controller = self._state.controllers[number]
        if register < 2 * _CHANNELS:
            self._set(number, controller._replace(flip_flop=not controller.flip_flop))
        return controller.read(register)

    def _write(self, port: int, byte: int) -> None:
        if port in _PAGES:
            channel, pages = _PAGES[port], self._state.pages
            self._state = self._state._replace(pages=pages[:channel] + bytes((byte,)) + pages[channel + 1 :])
        elif port in self.ports:
            number, register = _register(port)
            self._set(number, self._state.controllers[number].write(register, byte))

    def _set(self, number: int, controller: _Controller) -> None:
        first, second = self._state.controllers
        both = (first, controller) if number else (controller, second)
        self._state = self._state._replace(controllers=both)


def _register(port: int) -> tuple[int, int]:
    """Return the controller and register of a port."""
    return (1, (port - _SECOND) // 2) if port >= _SECOND else (0, port)
