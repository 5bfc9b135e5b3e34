"""What is compared of debuggers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from emulator.machine.core.observed import Poison

if TYPE_CHECKING:
    from emulator.check.findings import Finding
    from emulator.debug import Debugger
    from emulator.machine.core.observed import BadAccess


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


_COLUMNS = ("parent", "function", "entered", "time_ns", "left", "left_time_ns", "result", "out")


def calls_of(debugger: Debugger) -> list[tuple[int, ...]]:
    """Return the calls so far, each with its number, and how it ended."""
    calls = debugger.trace().calls
    return list(zip(*(getattr(calls, name).tolist() for name in _COLUMNS), strict=True))


_RETURN, _NOTHING = bytes([Poison.RETURN]), bytes([Poison.ACCESSIBLE])


def checked_state_of(debugger: Debugger) -> tuple[object, ...]:
    """Return the same, and all that its checks know, without an access that it stands in front of.

    Nor are there marks of return addresses: they say where to look, and depend on where one has stopped.
    """
    machine, checked = debugger.machine, debugger._checks._checked  # noqa: SLF001 - what the debugger hides
    assert checked is not None
    now = machine.interrupts.now_ns()
    return (
        *state_of(debugger),
        checked.shadow(0, len(machine.memory)).replace(_RETURN, _NOTHING),
        checked.live_blocks(),
        checked.dead_blocks(),
        [_without_marks(each) for each in checked.seen().accesses if each.time_ns < now],
    )


def _without_marks(access: BadAccess) -> BadAccess:
    shadow = tuple(Poison.ACCESSIBLE if each is Poison.RETURN else each for each in access.shadow)
    return access._replace(shadow=shadow)


def findings_of(debugger: Debugger) -> list[Finding]:
    """Return what the bad accesses so far are, without hexadecimal digits, among which are such marks."""
    return [replace(each.finding, hex_dump=()) for each in debugger.mistakes()]
