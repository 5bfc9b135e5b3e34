"""A serial port: the 16550 UART, with interrupts, and with input that comes when the guest listens.

A byte sent is on the console at once, so the transmitter is always empty. Bytes to be received wait on the line until the guest
listens: it has let their interrupt in, or has asked for the line status, and has changed no setting for 10 ms since. From then on
one comes each 87 us of virtual time, 115200 baud whatever the divisor says, as long as the buffer has room.

As in QEMU (hw/char/serial.c), the interrupt line does not depend on OUT2.

Source: National Semiconductor PC16550D data sheet, section 8 (registers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import FastPort, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.devices.board import Wires

COM1: Final = addresses.COM1[0]

# Registers, as offsets from the base port.
_DATA, _IER, _IIR_FCR, _LCR, _MCR, _LSR, _MSR, _SCR = range(8)

_IER_MASK = 0x0F
_IER_RECEIVED, _IER_SENT = 0x01, 0x02
_IIR_NONE, _IIR_SENT, _IIR_RECEIVED, _IIR_TIMEOUT, _IIR_FIFO = 0x01, 0x02, 0x04, 0x0C, 0xC0
_FCR_ENABLE, _FCR_CLEAR_RECEIVED = 0x01, 0x02
_TRIGGERS: Final = (1, 4, 8, 14)  # bytes in the buffer that ask for an interrupt, by bits 6 and 7 of FCR
_LCR_DLAB = 0x80
_MCR_MASK = 0x1F
_MCR_OUT2, _MCR_LOOPBACK = 0x08, 0x10
_LSR_READY, _LSR_SENT = 0x01, 0x60
_MSR_CONNECTED = 0xB0  # carrier, data set ready, clear to send
_FIFO_SIZE = 16
_NOBODY = 0xFF

_BYTE_NS: Final = 86_806  # ten bits at 115200 baud
_SETTLE_NS: Final = 10_000_000
_TIMEOUT_NS: Final = 4 * _BYTE_NS


class _State(NamedTuple):
    """The registers that keep what was written, and the bytes on their way in."""

    divisor: int = 0x000C
    ier: int = 0
    lcr: int = 0
    mcr: int = _MCR_OUT2
    scr: int = 0
    fcr: int = 0
    sent_pending: bool = False  # "transmitter empty" waits to be reported in IIR
    timeout: bool = False  # bytes have waited in the buffer for long
    buffer: bytes = b""  # received, not yet read
    last: int = 0  # received last without a FIFO, and read
    line: bytes = b""  # sent by the other side, not yet received
    next_ns: int | None = None  # when the next byte of the line comes; None: the guest does not listen
    touched_ns: int = 0  # when the buffer has last changed
    level: bool = False  # of the interrupt line


class Uart:
    """A 16550 UART.

    Args:
        wires: What it is connected to.
        base: First of its eight ports.
        received: Bytes that wait on the line from the beginning.
    """

    def __init__(self, wires: Wires, base: int = COM1, *, received: bytes = b"") -> None:
        self.ports = tuple(range(base, base + 8))
        self._wires = wires
        self._base = base
        self._state = _State(line=received)

    @property
    def waits(self) -> int:
        """Bytes on the line that the guest has not received."""
        return len(self._state.line)

    def feed(self, data: bytes) -> None:
        """Let bytes arrive from the other side. They wait until the guest listens."""
        state = self._state
        next_ns = state.next_ns
        if next_ns is not None:
            next_ns = max(next_ns, self._wires.now_ns() + _BYTE_NS)
        self._state = state._replace(line=state.line + data, next_ns=next_ns)
        self._wires.moved()
        self._wires.changed(self)

    def next_tick_ns(self) -> int | None:
        """Return when a byte comes, or has waited for so long that it asks for an interrupt."""
        times = [at for at in (self._arrival_ns(), self._timeout_ns()) if at is not None]
        return min(times, default=None)

    def take_ticks(self, now_ns: int) -> int:
        """Let time pass. The line is raised at once."""
        self._pass_time(now_ns)
        self._wires.changed(self)
        return 0

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        self._pass_time(self._wires.now_ns())
        value = read_bytes(self._read, port, size)
        self._set_level()
        return value

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        self._pass_time(self._wires.now_ns())
        write_bytes(self._write, port, size, value)
        self._set_level()

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Sending and asking for the line status are fast in plain operation, the latter until a byte comes."""
        state = self._state
        ports = {}
        if not state.lcr & _LCR_DLAB and not self._loopback and not state.ier & _IER_SENT:
            ports[self._base + _DATA] = FastPort(sink=True)
        if state.next_ns is not None:  # else the first one is to be noticed
            ports[self._base + _LSR] = FastPort(constant=self._line_status(), until_ns=self._arrival_ns())
        return ports

    def save(self) -> object:
        """Return the registers and the bytes not yet read."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of Uart: {state!r}")
        self._state = state

    # -- receiving --------------------------------------------------------------------------------

    @property
    def _loopback(self) -> bool:
        return bool(self._state.mcr & _MCR_LOOPBACK)

    @property
    def _room(self) -> int:
        return (_FIFO_SIZE if self._state.fcr & _FCR_ENABLE else 1) - len(self._state.buffer)

    @property
    def _trigger(self) -> int:
        return _TRIGGERS[self._state.fcr >> 6] if self._state.fcr & _FCR_ENABLE else 1

    def _arrival_ns(self) -> int | None:
        state = self._state
        return state.next_ns if state.line and self._room > 0 and not self._loopback else None

    def _timeout_ns(self) -> int | None:
        state = self._state
        waits = 0 < len(state.buffer) < self._trigger and not state.timeout and state.ier & _IER_RECEIVED
        return state.touched_ns + _TIMEOUT_NS if waits else None

    def _pass_time(self, now_ns: int) -> None:
        while (at := self._arrival_ns()) is not None and at <= now_ns:
            state = self._state
            self._state = state._replace(
                buffer=state.buffer + state.line[:1],
                line=state.line[1:],
                next_ns=at + _BYTE_NS,
                touched_ns=at,
            )
        if (at := self._timeout_ns()) is not None and at <= now_ns:
            self._state = self._state._replace(timeout=True)
        self._set_level()

    def _listen(self, *, settled: bool) -> None:
        """The guest listens; where it has just changed a setting, it is not ready yet."""
        state = self._state
        if state.next_ns is None or not settled:
            next_ns = max(state.next_ns or 0, self._wires.now_ns() + _SETTLE_NS)
            self._state = state._replace(next_ns=next_ns)
            self._wires.moved()

    def _receive(self) -> int:
        state = self._state
        fifo = state.fcr & _FCR_ENABLE
        if not state.buffer:
            return 0 if fifo else state.last
        now = self._wires.now_ns()
        next_ns = None if state.next_ns is None else max(state.next_ns, now + _BYTE_NS)
        self._state = state._replace(
            buffer=state.buffer[1:],
            last=state.last if fifo else state.buffer[0],
            timeout=False,
            touched_ns=now,
            next_ns=next_ns,
        )
        self._wires.moved()
        return state.buffer[0]

    # -- interrupts -------------------------------------------------------------------------------

    def _reason(self) -> int:
        """Return the most urgent reason for an interrupt."""
        state = self._state
        if state.ier & _IER_RECEIVED and state.timeout:
            return _IIR_TIMEOUT
        if state.ier & _IER_RECEIVED and len(state.buffer) >= self._trigger:
            return _IIR_RECEIVED
        if state.ier & _IER_SENT and state.sent_pending:
            return _IIR_SENT
        return _IIR_NONE

    def _set_level(self) -> None:
        """Set the interrupt line; only one that rises is noticed."""
        level = self._reason() != _IIR_NONE
        before = self._state.level
        self._state = self._state._replace(level=level)
        if level and not before:
            self._wires.interrupt()

    # -- registers --------------------------------------------------------------------------------

    def _read(self, port: int) -> int:
        state = self._state
        register = port - self._base
        if state.lcr & _LCR_DLAB and register in (_DATA, _IER):
            return state.divisor >> (8 * register) & 0xFF
        match register:
            case 0:
                value = self._receive()
            case 2:
                value = self._identify_interrupt()
            case 5:
                self._listen(settled=True)
                value = self._line_status()
            case 6:
                value = self._modem_status()
            case _:
                value = {_IER: state.ier, _LCR: state.lcr, _MCR: state.mcr, _SCR: state.scr}.get(
                    register, _NOBODY
                )
        self._set_level()
        return value

    def _line_status(self) -> int:
        return _LSR_SENT | (_LSR_READY if self._state.buffer else 0)

    def _identify_interrupt(self) -> int:
        """Return the reason for an interrupt; reading it settles "transmitter empty"."""
        reason = self._reason()
        if reason == _IIR_SENT:
            self._state = self._state._replace(sent_pending=False)
        return reason | (_IIR_FIFO if self._state.fcr & _FCR_ENABLE else 0)

    def _modem_status(self) -> int:
        """Return the input lines: connected, or in loopback mode the port's own output lines."""
        if not self._loopback:
            return _MSR_CONNECTED
        mcr = self._state.mcr
        dtr, rts, out1, out2 = (mcr >> bit & 1 for bit in range(4))
        return rts << 4 | dtr << 5 | out1 << 6 | out2 << 7

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
                self._enable(byte & _IER_MASK)
            case 2:
                self._control_fifo(byte)
            case 3:
                self._state = state._replace(lcr=byte)
            case 4:
                self._state = state._replace(mcr=byte & _MCR_MASK)
            case 7:
                self._state = state._replace(scr=byte)
            case _:  # the status registers are read-only
                pass
        if register in (_IER, _IIR_FCR, _LCR, _MCR) and (
            self._state.ier & _IER_RECEIVED or self._state.next_ns is not None
        ):
            self._listen(settled=False)
        self._set_level()

    def _send(self, byte: int) -> None:
        self._state = self._state._replace(sent_pending=False)
        self._set_level()
        if not self._loopback:
            self._wires.send(bytes((byte,)))
        elif self._room > 0:  # a byte that finds the buffer full is lost, as on overrun
            self._state = self._state._replace(
                buffer=self._state.buffer + bytes((byte,)), touched_ns=self._wires.now_ns()
            )
        self._state = self._state._replace(sent_pending=True)

    def _enable(self, ier: int) -> None:
        state = self._state
        pending = state.sent_pending
        if (ier ^ state.ier) & _IER_SENT:
            pending = bool(ier & _IER_SENT)
        self._state = state._replace(ier=ier, sent_pending=pending)

    def _control_fifo(self, byte: int) -> None:
        """Take FCR. What is thrown away comes again if the other side has sent it: as if it had not arrived yet."""
        state = self._state
        if byte & _FCR_CLEAR_RECEIVED or (byte ^ state.fcr) & _FCR_ENABLE:
            line = state.line if self._loopback else state.buffer + state.line
            state = state._replace(buffer=b"", timeout=False, line=line)
        self._state = state._replace(fcr=byte & 0xC9)
