"""Run a kernel for a while and see what the candidates for its allocators do."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Final

from emulator.errors import UnsupportedFunction
from emulator.loader.functions.names import file_and_name
from emulator.profile.discovery.observed import SeenCall
from emulator.profile.discovery.text import everything
from emulator.profile.functions import Result
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from emulator.run.ending import How
from emulator.run.to_end import run_to_end
from emulator.trace.recording import CallLog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine
    from emulator.profile.discovery.areas import DraftArea
    from emulator.profile.model import Profile
    from emulator.run.ending import Budget, Ending
    from emulator.trace.table import Call

_STEP: Final = 5_000_000  # instructions
_CALLS_ENOUGH: Final = 20_000


def try_out(
    machine: Machine, areas: Sequence[DraftArea], budget: Budget, on_progress: Callable[[int], None]
) -> tuple[list[SeenCall], Ending]:
    """Run a machine until it ends, the budget is used up or thousands of calls were seen.

    Args:
        machine: Not yet run.
        areas: Drafts; functions whose calls cannot be recorded are dropped from them.
        budget: What the run may take.
        on_progress: Called with the number of events so far now and then.

    Returns:
        The calls of the drafts' functions, and how the run ended.

    Raises:
        KernelMismatch: No function is left.
    """
    profile = recordable(machine.image, areas)
    log = CallLog(machine, profile)
    left, started = budget.max_instructions, time.monotonic()
    while True:
        rest_s = None if budget.timeout_s is None else budget.timeout_s - (time.monotonic() - started)
        step = _STEP if left is None else min(_STEP, left)
        ending = run_to_end(machine, budget._replace(max_instructions=step, timeout_s=rest_s))
        on_progress(log.recording.event_count)
        left = None if left is None else left - step
        is_late = rest_s is not None and time.monotonic() - started >= (budget.timeout_s or 0)
        if ending.how is not How.BUDGET or left == 0 or is_late or len(log.calls()) >= _CALLS_ENOUGH:
            break
    return list(_seen(log, machine.image, areas)), ending


def recordable(image: KernelImage, areas: Sequence[DraftArea]) -> Profile:
    """Return the profile of all functions of some drafts whose calls can be recorded; the others are dropped from them.

    Raises:
        KernelMismatch: None is left.
    """
    while True:
        try:
            return match(parse_profile(everything(areas), image.path), image)
        except UnsupportedFunction as error:
            for area in areas:
                for each in area.suggestions:
                    if each.name == error.name:
                        each.signature = each.signature._replace(problem=error.problem)
                        each.drop(error.problem)


def _seen(log: CallLog, image: KernelImage, areas: Sequence[DraftArea]) -> Iterator[SeenCall]:
    by_name = {each.name: each for each in log.profile.functions}
    suggested = {each.name for area in areas for each in area.suggestions}
    names = {name: _drafted(name, suggested) for name in by_name}

    @cache
    def callers(stack: int) -> tuple[str, ...]:
        found = (image.function_at(address - 1) for address in log.recording.stack(stack))
        return tuple(each[0].name for each in found if each is not None)

    for call in log.calls():
        if names[call.function] not in suggested:
            continue
        function = by_name[call.function]
        yield SeenCall(
            call.number,
            call.parent,
            names[call.function],
            dict(zip(function.parameters, call.arguments, strict=False)),
            call.entered,
            call.left,
            _block(call, function.result),
            callers(call.stack),
        )


def _drafted(name: str, suggested: Collection[str]) -> str:
    """Return how the drafts name a function, which is matched with its file or the types of its parameters."""
    without_types = name.partition("(")[0]
    _, without_file = file_and_name(without_types)
    return next((each for each in (name, without_types, without_file) if each in suggested), name)


def _block(call: Call, result: Result) -> int | None:
    """Return the block that a call made; 0 where it says that it failed."""
    if result is Result.ERROR and call.result:
        return 0
    return call.result if call.out is None else call.out
