"""What is compared of debuggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.debug import Debugger


def state_of(debugger: Debugger) -> tuple[object, ...]:
    """Return where a debugger stands, first, and all that its machine is there."""
    machine = debugger.machine
    return (
        debugger.moment,
        debugger.event,
        machine.calls.open_calls,
        machine.memory.read(0, len(machine.memory)),
        machine.registers(),
        machine.interrupts.now_ns(),
        [bytes(each) for each in machine.output.values()],
    )
