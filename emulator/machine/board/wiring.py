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
    from emulator.machine.board.interrupts import Interrupts
    from emulator.machine.board.windows import Windows
    from emulator.machine.consoles import Consoles


def wire(
    board: Iterable[Row],
    interrupts: Interrupts,
    consoles: Consoles,
    end_run: Callable[[int], None],
    memory: memoryview,
    windows: Windows,
) -> list[tuple[Device, int]]:
    """Make the devices of a board; return each with the number of its console.

    Args:
        board: Its rows.
        interrupts: Takes interrupt lines, and lets timers tick.
        consoles: Take output.
        end_run: Ends the run of the machine with an exit code.
        memory: All of the machine's.
        windows: Let devices answer elsewhere in memory.

    Raises:
        ValueError: See `emulator.devices.board.check_board`.
    """
    rows = tuple(board)
    check_board(rows, len(memory))
    devices: list[tuple[Device, int]] = [(interrupts.pic, 0)]
    for row in rows:
        wires = Wires(
            now_ns=interrupts.now_ns,
            interrupt=partial(_interrupt, interrupts, row.line),
            ticking=partial(_ticking, interrupts, row.line),
            moved=interrupts.timer_moved,
            send=partial(consoles.write, Console(row.console)),
            end_run=end_run,
            window=memory[slice(*row.window)],
        )
        device = row.make(wires)
        if row.mmio[0] < row.mmio[1]:
            windows.add(row.mmio, cast("MemoryDevice", device))
        devices.append((device, row.console))
    return devices


def _interrupt(interrupts: Interrupts, line: int | None) -> None:
    interrupts.pic.request(_connected(line))


def _ticking(interrupts: Interrupts, line: int | None, timer: Timer) -> Timer:
    interrupts.timers.append((timer, _connected(line)))
    return timer


def _connected(line: int | None) -> int:
    if line is None:
        raise ValueError("the device has no interrupt line: its row of the board names none")
    return line
