"""A serial port: the 16550 UART as far as kernels use it, without interrupts and without time.

A byte sent is on the console at once, so the transmitter is always empty. Bytes to be received wait on the
line until the kernel reads them; the baud rate has no effect.

Source: National Semiconductor PC16550D data sheet, section 8 (registers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.devices.device import FastPort, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COM1 = 0x3F8

# Registers, as offsets from the base port.
_DATA, _IER, _IIR_FCR, _LCR, _MCR, _LSR, _MSR, _SCR = range(8)

_IER_MASK = 0x0F
_IER_RECEIVED, _IER_SENT = 0x01, 0x02
_IIR_NONE, _IIR_SENT, _IIR_RECEIVED, _IIR_FIFO = 0x01, 0x02, 0x04, 0xC0
_FCR_ENABLE, _FCR_CLEAR_RECEIVED = 0x01, 0x02
_LCR_DLAB = 0x80
_MCR_MASK = 0x1F
_MCR_LOOPBACK = 0x10
_LSR_READY, _LSR_SENT = 0x01, 0x60
_MSR_CONNECTED = 0xB0  # carrier, data set ready, clear to send
_FIFO_SIZE = 16
_NOBODY = 0xFF


class _State(NamedTuple):
    """The registers that keep what was written, and the bytes on their way in."""

    divisor: int = 0x000C
    ier: int = 0
    lcr: int = 0
    mcr: int = 0
    scr: int = 0
    fifo_enabled: bool = False
    sent_pending: bool = False  # "transmitter empty" waits to be reported in IIR
    looped: bytes = b""  # sent to itself in loopback mode
    line: bytes = b""  # sent by the other side
    taken: int = 0  # bytes of `line` that have been read


class Uart:
    """A 16550 UART.

    Args:
        console: Called with each byte sent.
        base: First of its eight ports.
        received: Bytes that wait on the line from the beginning.
    """

    def __init__(self, console: Callable[[bytes], None], base: int = COM1, *, received: bytes = b"") -> None:
        self.ports = tuple(range(base, base + 8))
        self._console = console
        self._base = base
        self._state = _State(line=received)

    def feed(self, data: bytes) -> None:
        """Let bytes arrive from the other side. They wait until they are read; `fast_ports` changes."""
        state = self._state
        self._state = state._replace(line=state.line[state.taken :] + data, taken=0)

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Sending and asking for the line status are fast in plain operation.

        The answer changes with `feed` too. It does not grow by a read: when the last byte has been taken,
        asking for the status stays slow until the next write.
        """
        state = self._state
        ports = {}
        if not state.lcr & _LCR_DLAB and not self._loopback and not state.ier & _IER_SENT:
            ports[self._base + _DATA] = FastPort(sink=True)
        if not self._loopback and not self._ready:
            ports[self._base + _LSR] = FastPort(constant=_LSR_SENT)
        return ports

    def save(self) -> object:
        """Return the registers and the bytes not yet read."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of Uart: {state!r}")
        self._state = state

    @property
    def _loopback(self) -> bool:
        return bool(self._state.mcr & _MCR_LOOPBACK)

    @property
    def _ready(self) -> bool:
        state = self._state
        return bool(state.looped) if self._loopback else state.taken < len(state.line)

    def _read(self, port: int) -> int:
        state = self._state
        register = port - self._base
        if state.lcr & _LCR_DLAB and register in (_DATA, _IER):
            return state.divisor >> (8 * register) & 0xFF
        match register:
            case 0:
                value = self._receive()
            case 1:
                value = state.ier
            case 2:
                value = self._identify_interrupt()
            case 3:
                value = state.lcr
            case 4:
                value = state.mcr
            case 5:
                value = _LSR_SENT | (_LSR_READY if self._ready else 0)
            case 6:
                value = self._modem_status()
            case 7:
                value = state.scr
            case _:
                value = _NOBODY
        return value

    def _write(self, port: int, byte: int) -> None:
        state = self._state
        register = port - self._base
        if state.lcr & _LCR_DLAB and register in (_DATA, _IER):
            other = state.divisor & (0xFF00 if register == _DATA else 0x00FF)
            self._state = state._replace(divisor=other | byte << (8 * register))
            return
        match register:
            case 0:
                self._send(byte)
            case 1:
                newly_sent = bool(byte & ~state.ier & _IER_SENT)
                self._state = state._replace(
                    ier=byte & _IER_MASK, sent_pending=state.sent_pending or newly_sent
                )
            case 2:
                # Only the receive buffer is cleared; what is still on the line has not arrived.
                looped = b"" if byte & _FCR_CLEAR_RECEIVED else state.looped
                self._state = state._replace(fifo_enabled=bool(byte & _FCR_ENABLE), looped=looped)
            case 3:
                self._state = state._replace(lcr=byte)
            case 4:
                self._state = state._replace(mcr=byte & _MCR_MASK)
            case 7:
                self._state = state._replace(scr=byte)
            case _:  # the status registers are read-only
                pass

    def _send(self, byte: int) -> None:
        state = self._state
        if not self._loopback:
            self._console(bytes((byte,)))
            self._state = state._replace(sent_pending=True)
            return
        # A byte that finds the buffer full is lost, as on overrun.
        room = _FIFO_SIZE if state.fifo_enabled else 1
        looped = (state.looped + bytes((byte,)))[:room]
        self._state = state._replace(looped=looped, sent_pending=True)

    def _receive(self) -> int:
        state = self._state
        if not self._ready:
            return 0
        if self._loopback:
            self._state = state._replace(looped=state.looped[1:])
            return state.looped[0]
        self._state = state._replace(taken=state.taken + 1)
        return state.line[state.taken]

    def _identify_interrupt(self) -> int:
        """Return the most urgent reason for an interrupt; reading it settles "transmitter empty"."""
        state = self._state
        fifo = _IIR_FIFO if state.fifo_enabled else 0
        if state.ier & _IER_RECEIVED and self._ready:
            return fifo | _IIR_RECEIVED
        if state.ier & _IER_SENT and state.sent_pending:
            self._state = state._replace(sent_pending=False)
            return fifo | _IIR_SENT
        return fifo | _IIR_NONE

    def _modem_status(self) -> int:
        """Return the input lines: connected, or in loopback mode the port's own output lines."""
        if not self._loopback:
            return _MSR_CONNECTED
        mcr = self._state.mcr
        dtr, rts, out1, out2 = (mcr >> bit & 1 for bit in range(4))
        return rts << 4 | dtr << 5 | out1 << 6 | out2 << 7
