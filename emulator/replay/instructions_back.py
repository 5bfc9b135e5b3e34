"""Count the instructions before where a machine stands: which they were, and back by some of them.

How many have begun is known only from a moment on at which the machine has stood: it goes to one further and further back, and counts from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.errors import Cancelled
from emulator.machine.core.stops import Stopping
from emulator.replay.moment import Moment
from emulator.replay.travel import Halt
from emulator.run.ending import How

if TYPE_CHECKING:
    from emulator.machine.core.stops import Executed
    from emulator.replay.travel import Travel

_WINDOW: Final = 64  # instructions before here that are looked at first
_MANY: Final = 1 << 62


def executed_before(travel: Travel, count: int) -> list[Executed]:
    """Return the instructions that have begun before here, the oldest first: the last *count*, fewer at the start of the run.

    Raises:
        Cancelled: The machine stands somewhere.
        HostError: See `Travel.forward`.
    """
    here, start = travel.moment, travel.start
    window = count + _WINDOW
    while True:
        begin = Moment(max(start.instructions, here.instructions - window))
        if travel.approach(begin) is not Halt.TARGET:
            raise Cancelled
        with travel.machine.stops.trail(min(window, here.instructions) + _WINDOW) as trail:
            halt = travel.pass_to(here)
            begun = trail()
        if halt not in (Halt.TARGET, Halt.END):
            raise Cancelled
        before = [each for each in begun if begin <= Moment(*each.instant) < here._replace(entered=False)]
        if len(before) >= count or begin <= start:
            return before[-count:]
        window *= 8


def go_back(travel: Travel, count: int) -> Halt | None:
    """Go back by instructions; nothing stops that.

    Args:
        travel: The machine.
        count: How many; 1 or more.

    Returns:
        `Halt.TARGET`; None: there are fewer, and the machine stands at the start; or it was stopped from outside.

    Raises:
        HostError: See `Travel.forward`.
    """
    here, start = travel.moment, travel.start
    begin = here
    while True:
        begin = Moment(max(start.instructions, begin.instructions - max(count, _WINDOW)))
        begun, halt = _begun_between(travel, begin, here)
        if halt is not Halt.TARGET:
            return halt
        if begun >= count:
            break
        if begin <= start:
            travel.back_to(start)
            return None
    travel.go_to(begin)
    with travel.machine.stops.mode_for(Stopping.IGNORES):
        return travel.forward(steps=begun - count) if begun > count else Halt.TARGET


def _begun_between(travel: Travel, begin: Moment, end: Moment) -> tuple[int, Halt]:
    """Go from a moment to a later one, and return how many instructions have begun from the first on, before the other."""
    has_last = end.at_end and travel.ending is not None and travel.ending.how is not How.BUDGET
    halt = travel.approach(begin)
    if halt is not Halt.TARGET:
        return 0, halt
    with travel.machine.stops.mode_for(Stopping.IGNORES):
        halt = travel.forward(None if end.at_end else end._replace(entered=False), steps=_MANY)
    if halt is Halt.END and end.at_end:
        halt = Halt.TARGET
    return _MANY - travel.steps_left + has_last, halt
