"""Replay calls of a recorded run, this time with each of their instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import BudgetUsedUp
from emulator.guest.executed import executed_instructions
from emulator.wording import code_location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.guest.executed import ExecutedInstruction
    from emulator.replay.engine import Replay
    from emulator.trace.table import Call

_STEPS_MAX = 1 << 16  # so many take no more than 100 MiB


class ReplayedCall(NamedTuple):
    """A call and what happened in it.

    Attributes:
        instructions: Of the call; none where it is made by one of the others, which has them.
        cut: Which instructions are the only ones of more; "" if none is missing.
    """

    call: Call
    instructions: list[ExecutedInstruction]
    cut: str = ""


def calls_with_instructions(replay: Replay, calls: Iterable[Call]) -> Iterator[ReplayedCall]:
    """Run from call to call, and yield what was executed in each.

    Args:
        replay: It stands at the start. Its budget is that of the recorded run, its time is that of this run alone.
        calls: In order of entry. One that did not return ends the run as it ended the recorded one.

    Raises:
        BudgetUsedUp: The seconds are used up; the last call that was yielded may lack instructions.
    """
    for call in calls:
        if replay.reached >= call.entered:
            yield ReplayedCall(call, [])
            continue
        if replay.go_to(call.entered):
            yield _inside(replay, call)
        if replay.seconds_left == 0:
            machine = replay.machine
            eip = machine.registers().eip
            raise BudgetUsedUp("time budget used up", eip, code_location(*machine.image.location(eip)))


def _inside(replay: Replay, call: Call) -> ReplayedCall:
    with replay.machine.observers.log_steps(_STEPS_MAX) as log:
        if call.left:
            replay.go_to(call.left)
        else:
            replay.run_to_end()
        steps = log.steps()
    instructions: list[ExecutedInstruction] = []
    for each in executed_instructions(replay.machine, steps):
        if replay.seconds_left == 0:
            return ReplayedCall(call, instructions, "those there was time for")
        instructions.append(each)
    most = f"the first {_STEPS_MAX} instructions and accesses" if len(steps) == _STEPS_MAX else ""
    return ReplayedCall(call, instructions, most)
