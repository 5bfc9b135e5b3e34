"""Connects the rows of a board with the machine, and makes each device when it is needed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from emulator.devices.addresses import LOCAL_APIC
from emulator.devices.board import Wires
from emulator.errors import HostError
from emulator.machine.address_map import ROM_START, VGA_START
from emulator.machine.consoles import Console
from emulator.machine.core.handle import lib
from emulator.machine.execution import Returned
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from emulator.devices.board import Row, Timer
    from emulator.devices.device import Device, MemoryDevice, VideoMemory
    from emulator.machine.board.device_memory import DeviceMemory
    from emulator.machine.board.interrupts import Interrupts
    from emulator.machine.board.ports import PortBus
    from emulator.machine.board.windows import Windows
    from emulator.machine.consoles import Consoles
    from emulator.machine.core.handle import Core

_LAST_PORT = 0xFFFF
_TIMER_LINE = 0  # of the interval timer, which the core has
_MMIO_END = 1 << 32


class Wiring:
    """The devices of a board, and what they are connected to.

    Args:
        board: Its rows.
        core: Of the machine.
        interrupts: Takes interrupt lines, and lets timers tick.
        consoles: Take output.
        end: Ends the run of the machine, in one of its ways, maybe with an exit code.
        set_a20: Opens the machine's gate A20, or shuts it.
        memory: All of the machine's.
        dma: The same, for devices that are bus masters.
        windows: Let devices answer elsewhere in memory.
        bus: Takes their ports.

    Raises:
        ValueError: Rows get into each other's way: a line is none of a PC, or used twice; a window or registers lie elsewhere, or over
            others; two devices answer at a port, or one at a number that is no port.
    """

    def __init__(  # noqa: PLR0913 - what devices are connected to
        self,
        board: Iterable[Row],
        core: Core,
        interrupts: Interrupts,
        consoles: Consoles,
        *,
        end: Callable[..., None],
        set_a20: Callable[[bool], None],
        memory: memoryview,
        dma: DeviceMemory,
        windows: Windows,
        bus: PortBus,
    ) -> None:
        self._core, self._interrupts, self._consoles = core, interrupts, consoles
        self._end, self._set_a20 = end, set_a20
        self._memory, self._dma, self._bus = memory, dma, bus
        self._rows = tuple(board)
        self._devices: dict[int, Device] = {}  # that are awake, by the numbers of their rows
        core.apic_off = self._apic_off
        _check_rows(self._rows, len(memory))
        for frame_buffer in (row.frame_buffer for row in self._rows if row.frame_buffer[1]):
            _declare(core, *frame_buffer)
        for number, row in enumerate(self._rows):
            wake = partial(self._wake, number)
            if row.ports is None:
                wake()
            else:
                self._check_ports(row.ports)
                bus.reserve(row.ports, wake)
            if row.mmio[0] < row.mmio[1]:
                windows.add(row.mmio, cast("Callable[[], MemoryDevice]", wake))

    def device(self, name: str) -> Device:
        """Return the device with that name in its row; it wakes if it sleeps.

        Raises:
            ValueError: There is none.
        """
        names = [row.name for row in self._rows]
        if name not in names:
            raise ValueError(f"the board has no {name}")
        return self._wake(names.index(name))

    def _wake(self, number: int) -> Device:
        """Return the device of a row. If it sleeps, it is made and connected."""
        device = self._devices.get(number)
        if device is not None:
            return device
        row = self._rows[number]
        with self._core.signals_held():  # which would leave half a device
            device = row.make(self._wires(row))
            if row.ports is None:
                self._check_ports(device.ports)
            elif device.ports != row.ports:
                raise ValueError(
                    f"the row of {row.name} names other ports than the device has: {device.ports}"
                )
            self._bus.connect(device, row.console)
            self._devices[number] = device
        return device

    def _apic_off(self) -> None:
        for number, row in enumerate(self._rows):
            if row.mmio == LOCAL_APIC:
                self._wake(number)
        self._interrupts.switch_apic_off()

    def _check_ports(self, ports: Iterable[int]) -> None:
        taken = {*self._interrupts.pic.ports, *self._bus.numbers}
        for port in ports:
            if port in taken or not 0 <= port <= _LAST_PORT:
                raise ValueError(f"port 0x{port:x} is not one of 0 to 0xffff, or has two devices")

    # -- what a device is connected to ------------------------------------------------------------------------

    def _wires(self, row: Row) -> Wires:
        interrupts = self._interrupts
        return Wires(
            now_ns=interrupts.now_ns,
            interrupt=partial(self._interrupt, row.line),
            second_interrupt=partial(self._interrupt, row.second_line),
            is_heard=partial(self._is_heard, row.line),
            ticking=partial(self._ticking, row.line),
            apics=lambda: interrupts.apics,
            device=self.device,
            moved=interrupts.timer_moved,
            changed=self._bus.changed,
            send=partial(self._consoles.send, Console(row.console)),
            end_run=partial(self._end, Returned.EXIT),
            reset=partial(self._end, Returned.RESET),
            switch_off=partial(self._end, Returned.OFF),
            set_a20=self._set_a20,
            ram_end=len(self._memory),
            window=self._memory[slice(*row.window)],
            read_memory=self._dma.read,
            write_memory=self._dma.write,
            video=partial(_video, self._core, row.frame_buffer),
            data_port=self._bus.data_port,
        )

    def _interrupt(self, line: int | None) -> None:
        self._interrupts.pic.request(_connected(line))

    def _ticking(self, line: int | None, timer: Timer) -> Timer:
        self._interrupts.add_timer(timer, line)
        return timer

    def _is_heard(self, line: int | None) -> bool:
        return self._interrupts.is_heard(_connected(line))


def _declare(core: Core, start: int, end: int) -> None:
    """Say where there is a frame buffer."""
    if lib.kc_video(core.raw, start, end):
        raise HostError(f"the host has no memory for a frame buffer of {end - start} bytes")


def _video(core: Core, frame_buffer: tuple[int, int]) -> VideoMemory:
    from emulator.machine.board.video_memory import CoreVideoMemory  # for few kernels

    return CoreVideoMemory(core, frame_buffer[1] - frame_buffer[0])


def _connected(line: int | None) -> int:
    if line is None:
        raise ValueError("the device has no interrupt line: its row of the board names none")
    return line


def _check_rows(board: tuple[Row, ...], ram_end: int) -> None:
    """Make sure that rows do not get into each other's way."""
    lines = [_TIMER_LINE]
    lines += [line for row in board for line in (row.line, row.second_line) if line is not None]
    for line in lines:
        if not 0 <= line <= 15 or lines.count(line) > 1:  # noqa: PLR2004 - a PC's
            raise ValueError(f"interrupt line {line} is not one of 0 to 15, or has two devices")
    end = VGA_START
    for start, stop in sorted(row.window for row in board if row.window[0] < row.window[1]):
        if not end <= start < stop <= ROM_START:
            raise ValueError(
                f"the window 0x{start:08x}-0x{stop:08x} lies outside of video memory, or over another one"
            )
        end = stop
    end = ram_end
    for start, stop in sorted(row.mmio for row in board if row.mmio[0] < row.mmio[1]):
        if not end <= start < stop <= _MMIO_END or start % PAGE_SIZE or stop % PAGE_SIZE:
            raise ValueError(
                f"the registers 0x{start:08x}-0x{stop:08x} lie in RAM, over others, or not on page boundaries below 4 GiB"
            )
        end = stop
    frame_buffers = [row.frame_buffer for row in board if row.frame_buffer[0] < row.frame_buffer[1]]
    for start, stop in frame_buffers:
        if not ram_end <= start < stop <= _MMIO_END or (start | stop) % PAGE_SIZE or len(frame_buffers) > 1:
            raise ValueError(
                f"the frame buffer 0x{start:08x}-0x{stop:08x} lies in RAM, not on page boundaries below 4 GiB, or is one of several"
            )
