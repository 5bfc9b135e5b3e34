"""Memory as it was when a block was treated badly, for findings that come out of the trace only after the run.

The kernel runs once more, to each of these events in turn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from emulator.check.picture import picture_of
from emulator.errors import EmulatorError
from emulator.machine.machine import Ending
from emulator.machine.recording import record
from emulator.profile.model import Role
from emulator.trace.recorder import recorded_functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.findings import Finding
    from emulator.check.rerun import Rerun
    from emulator.machine.machine import Machine

MOST_PICTURES: Final = 16
"""Of different findings; whoever fixes these runs the check again."""


def with_pictures(findings: Sequence[Finding], rerun: Rerun) -> list[Finding]:
    """Return findings, those about a block with a picture of memory around it.

    Args:
        findings: In order of events; those at the end of the run last.
        rerun: How to get there once more.
    """
    wanted = {finding.id: finding for finding in reversed(findings) if _wants_picture(finding)}
    chosen = sorted(wanted.values(), key=_event)[:MOST_PICTURES]
    if not chosen:
        return list(findings)
    machine = rerun.new_machine()
    record(machine, recorded_functions(rerun.profile))
    drawn = {}
    for finding in chosen:
        if not _go(machine, _event(finding)):
            break
        drawn[id(finding)] = replace(finding, picture=_picture(machine, _address(machine, finding, rerun)))
    return [drawn.get(id(finding), finding) for finding in findings]


def _wants_picture(finding: Finding) -> bool:
    return finding.place is not None and finding.block is not None and not finding.picture


def _event(finding: Finding) -> int:
    return finding.place.event if finding.place else 0


def _go(machine: Machine, event: int) -> bool:
    if machine.cpu.event_count() >= event:
        return machine.cpu.event_count() == event
    try:
        return machine.run(stop_at_event=event).ending is Ending.EVENT
    except EmulatorError:  # it would be the end that the first run had
        return False


def _address(machine: Machine, finding: Finding, rerun: Rerun) -> int:
    """Return what the finding is about: the pointer that the function at whose entry the machine stands was given, or the block."""
    for function in rerun.profile.functions:
        if finding.place and function.name == finding.place.function and function.role is Role.FREE:
            position = function.parameters.index("ptr") if "ptr" in function.parameters else None
            if position is not None:
                registers = machine.cpu.registers()
                stack = registers.on_stack(registers.esp + 4 * (1 + position))
                return int.from_bytes(machine.read_linear(stack, 4), "little")
    return finding.block.address if finding.block else 0


def _picture(machine: Machine, address: int) -> tuple[str, ...]:
    physical = machine.cpu.translate(address)
    if physical is None or physical >= len(machine.memory):
        return ()
    return picture_of(machine.memory, len(machine.memory), physical, address)
