"""Connects the rows of a board with the machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from emulator.devices.board import Wires, check_board
from emulator.machine.consoles import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from emulator.devices.board import Row, Timer
    from emulator.devices.device import Device, MemoryDevice
    from emulator.machine.board.device_memory import DeviceMemory
    from emulator.machine.board.interrupts import Interrupts
    from emulator.machine.board.ports import PortBus
    from emulator.machine.board.windows import Windows
    from emulator.machine.consoles import Consoles

_LAST_PORT = 0xFFFF


def wire(  # noqa: PLR0913 - what devices are connected to
    board: Iterable[Row],
    interrupts: Interrupts,
    consoles: Consoles,
    *,
    end_run: Callable[[int], None],
    set_a20: Callable[[bool], None],
    memory: memoryview,
    dma: DeviceMemory,
    windows: Windows,
    bus: PortBus,
) -> None:
    """Make the devices of a board, and connect them.

    Args:
        board: Its rows.
        interrupts: Takes interrupt lines, and lets timers tick.
        consoles: Take output.
        end_run: Ends the run of the machine with an exit code.
        set_a20: Opens the machine's gate A20, or shuts it.
        memory: All of the machine's.
        dma: The same, for devices that are bus masters.
        windows: Let devices answer elsewhere in memory.
        bus: Takes their ports.

    Raises:
        ValueError: See `emulator.devices.board.check_board`; or two devices answer at a port, or one at a number that is no port.
    """
    rows = tuple(board)
    check_board(rows, len(memory))
    for row in rows:
        wires = Wires(
            now_ns=interrupts.now_ns,
            interrupt=partial(_interrupt, interrupts, row.line),
            second_interrupt=partial(_interrupt, interrupts, row.second_line),
            is_heard=partial(_is_heard, interrupts, row.line),
            ticking=partial(_ticking, interrupts, row.line),
            moved=interrupts.timer_moved,
            changed=bus.refresh,
            apics=interrupts.apics,
            send=partial(consoles.send, Console(row.console)),
            end_run=end_run,
            set_a20=set_a20,
            ram_end=len(memory),
            window=memory[slice(*row.window)],
            read_memory=dma.read,
            write_memory=dma.write,
            data_port=bus.data_port,
        )
        device = row.make(wires)
        if row.mmio[0] < row.mmio[1]:
            windows.add(row.mmio, cast("MemoryDevice", device))
        _check_ports(device, {*interrupts.pic.ports, *bus.numbers})
        bus.connect(device, row.console)


def _check_ports(device: Device, taken: set[int]) -> None:
    for port in device.ports:
        if port in taken or not 0 <= port <= _LAST_PORT:
            raise ValueError(f"port 0x{port:x} is not one of 0 to 0xffff, or has two devices")


def _interrupt(interrupts: Interrupts, line: int | None) -> None:
    interrupts.pic.request(_connected(line))


def _ticking(interrupts: Interrupts, line: int | None, timer: Timer) -> Timer:
    interrupts.timers.append((timer, line))
    return timer


def _is_heard(interrupts: Interrupts, line: int | None) -> bool:
    return interrupts.is_heard(_connected(line))


def _connected(line: int | None) -> int:
    if line is None:
        raise ValueError("the device has no interrupt line: its row of the board names none")
    return line
