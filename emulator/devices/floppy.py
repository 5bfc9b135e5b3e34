"""The floppy disk controller of a PC, an 82078, without a drive: what kernels find that look for one.

Commands are executed when their last byte is written, but for READ ID, which takes a fiftieth of a second. Those that need a disk fail.

Source: Intel 82078 data sheet; answers as QEMU, hw/block/fdc.c, gives them where no drive is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.devices.board import Wires
    from emulator.devices.device import FastPort

_STATUS_B, _OUTPUT, _TAPE, _STATUS, _FIFO, _CHANGED = addresses.FLOPPY

_READY, _TO_CPU, _BUSY = 0x80, 0x40, 0x10  # of the main status
_RUNS, _DMA, _MOTORS, _SELECTED = 0x04, 0x08, 0x30, 0x01  # of the output register; there could be two drives
_SOFTWARE_RESET, _POWER_DOWN = 0x80, 0x40  # of the data rate register
_BOOT_DRIVE: Final = 0x04  # of the tape register
_NO_DRIVE: Final = 0xC0  # in status B
_IS_CHANGED: Final = 0x80
_INVALID, _FAILED, _SEEK_END, _READY_CHANGED = 0x80, 0x40, 0x20, 0xC0  # of status register 0
_UNIT: Final = 0x07  # head and drive
_NO_SUCH_SECTOR: Final = 0x80  # of status register 1
_SECTOR_SIZE: Final = 2  # 512 bytes
_POLLED: Final = 4  # drives whose state a reset has changed
_READ_ID_NS: Final = 20_000_000

# Commands: what is looked at of the first byte, what it is, and how many bytes follow.
_COMMANDS: Final = (
    *((0x1F, code, 8) for code in (0x06, 0x0C, 0x11, 0x16, 0x19, 0x1D)),  # read, verify, scan
    *((0x3F, code, 8) for code in (0x05, 0x09)),  # write
    (0xBF, 0x02, 8),  # read a track
    (0xBF, 0x0A, 1),  # read an ID
    (0xBF, 0x0D, 5),  # format
    *(
        (0xFF, code, 2) for code in (0x03, 0x0F, 0x8F, 0xCF, 0x17)
    ),  # specify, seek (also in relation), power down
    *(
        (0xFF, code, 1) for code in (0x04, 0x07, 0x12, 0x33)
    ),  # state of a drive, recalibrate, perpendicular, option
    *((0xFF, code, 0) for code in (0x08, 0x0E, 0x10, 0x18)),  # interrupt, registers, version, part
    (0xFF, 0x13, 3),  # configure
    (0x7F, 0x14, 0),  # lock
)


def _command(byte: int) -> tuple[int, int]:
    """Return the command that a byte begins, and how many bytes follow; -1: it is none."""
    return next(((code, count) for mask, code, count in _COMMANDS if byte & mask == code), (-1, 0))


class _State(NamedTuple):
    """What snapshots keep.

    Attributes:
        output: The output register.
        command: The bytes so far.
        result: Those that are to be read.
        due_ns: When the result of READ ID comes; None: it is not awaited.
        selected: Drive of the last command.
        heads: Of the drives, which commands without a disk name.
        status: Of status register 0, what the next result says, too.
        asks: Whether the interrupt line is up.
        polled: How many of SENSE INTERRUPT are still to tell of a reset.
    """

    output: int = _RUNS | _DMA
    tape: int = 0
    command: bytes = b""
    result: bytes = b""
    due_ns: int | None = None
    selected: int = 0
    heads: tuple[int, int] = (0, 0)
    status: int = 0
    asks: bool = False
    polled: int = 0
    times: tuple[int, int] = (0, 0)
    configuration: tuple[int, int] = (0x60, 0)
    is_locked: bool = False


class FloppyController:
    """The controller.

    Args:
        wires: Its interrupt line, and the clock.
    """

    ports = addresses.FLOPPY

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._state = _State()

    def next_tick_ns(self) -> int | None:
        """Return when the result of READ ID comes."""
        return self._state.due_ns

    def take_ticks(self, now_ns: int) -> int:
        """Let the result of READ ID come, if it is time. Return 0: the line is raised at once."""
        due = self._state.due_ns
        if due is not None and due <= now_ns:
            self._set(due_ns=None)
            self._end_transfer(0, 0, (0, self._head, 0))
        return 0

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """None: without a drive there is little to wait for."""
        return {}

    def save(self) -> object:
        """Return the state."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of FloppyController: {state!r}")
        self._state = state

    def _set(self, **changes: object) -> None:
        self._state = self._state._replace(**changes)  # type: ignore[arg-type]

    # -- the ports --------------------------------------------------------------------------------

    def _read(self, port: int) -> int:
        self.take_ticks(self._wires.now_ns())
        state = self._state
        if port == _STATUS:
            self._set(output=state.output | _RUNS)  # as in QEMU
            return self._main_status()
        if port == _FIFO:
            return self._take()
        status_b = _NO_DRIVE | (state.output & _MOTORS) >> 4 | (state.output & 1) << 5
        output = state.output | state.selected
        registers = {_STATUS_B: status_b, _OUTPUT: output, _TAPE: state.tape, _CHANGED: _IS_CHANGED}
        return registers.get(port, 0xFF)

    def _main_status(self) -> int:
        state = self._state
        if state.due_ns is not None:
            return _BUSY
        if state.result:
            return _READY | _TO_CPU | _BUSY
        return _READY | (_BUSY if state.command else 0)

    def _take(self) -> int:
        result = self._state.result
        if not result:
            return 0
        self._set(result=result[1:])
        if len(result) == 1:
            self._lower()
        return result[0]

    def _write(self, port: int, byte: int) -> None:
        self.take_ticks(self._wires.now_ns())
        runs = self._state.output & _RUNS
        if port == _OUTPUT:
            if byte & _RUNS and not runs:
                self._reset()
            self._set(output=byte, selected=byte & _SELECTED)
        elif port == _TAPE and runs:
            self._set(tape=byte & _BOOT_DRIVE)
        elif port == _STATUS and runs and byte & (_SOFTWARE_RESET | _POWER_DOWN):
            self._reset()
        elif port == _FIFO and runs and self._main_status() & ~_BUSY == _READY:
            self._put(byte)

    def _reset(self) -> None:
        kept = self._state
        self._state = _State(
            tape=kept.tape,
            heads=kept.heads,
            status=kept.status | _READY_CHANGED,
            times=kept.times,
            configuration=kept.configuration,
            is_locked=kept.is_locked,
        )
        self._raise()
        self._set(polled=_POLLED)

    def _raise(self) -> None:
        if not self._state.asks:
            self._wires.interrupt()
        self._set(asks=True, polled=0)

    def _lower(self) -> None:
        self._set(asks=False, status=0)

    # -- commands ---------------------------------------------------------------------------------

    def _put(self, byte: int) -> None:
        command = self._state.command + bytes((byte,))
        code, count = _command(command[0])
        if len(command) <= count:
            self._set(command=command)
            return
        self._set(command=b"")
        self._execute(code, command)

    def _execute(self, code: int, command: bytes) -> None:  # noqa: C901, PLR0912 - one case for each command
        match code:
            case 0x03:
                dma = 0 if command[2] & 1 else _DMA
                self._set(times=(command[1] >> 4, command[2] >> 1), output=self._state.output & ~_DMA | dma)
            case 0x04:
                self._select(command[1])
                self._answer(0x78 | self._head << 2 | self._state.selected)
            case 0x07 | 0x0F | 0x8F | 0xCF:
                self._set(selected=command[1] & _SELECTED, status=self._state.status | _SEEK_END)
                self._raise()
            case 0x08:
                self._sense_interrupt()
            case 0x0A:  # of the drive that is selected, as in QEMU
                self._select(command[1] & ~_SELECTED | self._state.selected)
                self._set(due_ns=self._wires.now_ns() + _READ_ID_NS)
                self._wires.moved()
            case 0x0D:
                self._set(selected=command[1] & _SELECTED)
                self._end_transfer(0, 0, (0, self._head, 0))
            case 0x09 | 0x0C:  # deleted data
                self._set(selected=command[1] & _SELECTED)
                self._end_transfer(_FAILED | _SEEK_END, 0, (0, self._head, 0))
            case 0x0E:
                self._show_registers()
            case 0x10:
                self._answer(0x90)
            case 0x12 | 0x33:
                pass
            case 0x13:
                self._set(configuration=(command[2], command[3]))
            case 0x14:
                self._set(is_locked=bool(command[0] & 0x80))
                self._answer(self._state.is_locked << 4)
            case 0x17:
                self._answer(command[1])
            case 0x18:
                self._answer(0x41)
            case -1:
                self._answer(_INVALID)
            case _:
                self._transfer(command)

    def _select(self, byte: int) -> None:
        heads = list(self._state.heads)
        heads[byte & _SELECTED] = byte >> 2 & 1
        self._set(selected=byte & _SELECTED, heads=tuple(heads))

    @property
    def _head(self) -> int:
        return self._state.heads[self._state.selected]

    def _answer(self, *result: int) -> None:
        self._set(result=bytes(result))

    def _sense_interrupt(self) -> None:
        state = self._state
        if not state.polled and not state.asks:
            self._answer(_INVALID)
            return
        polled = _READY_CHANGED + _POLLED - state.polled
        first = polled if state.polled else state.status & ~_UNIT | state.selected
        self._set(polled=max(state.polled - 1, 0))
        self._answer(first, 0)
        self._lower()
        self._set(status=_READY_CHANGED)

    def _show_registers(self) -> None:
        state = self._state
        step, load = state.times
        dma = bool(state.output & _DMA)
        locked = state.is_locked << 7
        self._answer(0, 0, 0, 0, step, load << 1 | dma, 0, locked, *state.configuration)

    def _transfer(self, command: bytes) -> None:
        """Fail: there is no track but the first, and no sector."""
        self._set(selected=command[1] & _SELECTED)
        track, head, sector = command[2:5]
        why = 0 if track or head else _NO_SUCH_SECTOR
        self._end_transfer(_FAILED, why, (track, head, sector))

    def _end_transfer(self, first: int, second: int, where: tuple[int, int, int]) -> None:
        state = self._state
        status = state.status & ~_UNIT | state.selected | self._head << 2 | first
        self._set(status=status)
        self._answer(status, second, 0, *where, _SECTOR_SIZE)
        self._raise()
