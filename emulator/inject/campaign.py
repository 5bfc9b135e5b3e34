"""Lets every allocation of a run fail once, and says what becomes of the kernel each time.

Theory. A run that ends by itself is the measure. A machine goes through it again and stops at each allocation: there it takes a
snapshot, lets the allocation fail, runs on to the end, and returns to the snapshot. So a run is not begun anew for each failure,
and each failure meets the same kernel. Several machines share the allocations; the result does not depend on how many they are.
The machine goes from allocation to allocation, never back to an earlier one: it needs no checkpoints of `emulator.replay`.

Shortcomings. A kernel hangs when it has executed several times as many instructions as the good run: one that only waits for a
long time does so, too.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.null_accesses import can_guard, is_used_on_purpose, null_uses
from emulator.errors import BudgetUsedUp, GuestStopped, NoEnd
from emulator.guest.symbolizer import Symbolizer
from emulator.inject.policy import FailedCall, failed_call
from emulator.run.ending import NO_LIMIT, Budget, How
from emulator.run.to_end import run_to_end
from emulator.trace.recording import newest_call, record_calls
from emulator.wording import code_location
from emulator.x86 import EXCEPTION_NAMES, PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from emulator.machine.core.observed import NullAccess
    from emulator.replay.engine import Rerun
    from emulator.run.ending import Ending

_FIRST_EVENT: Final = 1
"""Before it no allocator has come up."""

PATIENCE: Final = 10
"""So many times the instructions of the good run, and `PATIENCE_MORE`, are executed until a kernel is said to hang."""
PATIENCE_MORE: Final = 2_000_000


class Reaction(Enum):
    """What becomes of a kernel when an allocation fails, measured by the run without a failure. The value is a stable name.

    How that run ended by itself is another matter (`emulator.run.ending.How`): an exit can be `SURVIVES`, `REPORTS` or `DIES`.
    """

    SURVIVES = "survives"  # it ends as in the good run
    ACCESSES_NULL = "accesses null"  # the same, or in another way, after an access through a null pointer
    REPORTS = "reports"  # it ends in another way: it noticed
    DIES = "dies"  # a fault
    HANGS = "hangs"
    UNKNOWN = (
        "unknown"  # its process died, or the kernel needs what kmemu lacks: neither is the kernel's fault
    )


_BAD: Final = (Reaction.DIES, Reaction.HANGS, Reaction.ACCESSES_NULL)


class Trial(NamedTuple):
    """The run in which one allocation failed.

    Attributes:
        number: Number of the allocation, from 1.
        call: The call that failed.
        reaction: What became of the kernel.
        ending: How it ended, in words: ``exit value 1``, ``#UD invalid opcode``; of an unknown one why it is unknown.
        location: Where the kernel died, or was when patience ended, for people; "" for the other reactions.
        null_access: What was accessed through a null pointer first, and where; "": nothing was.
    """

    number: int
    call: FailedCall
    reaction: Reaction
    ending: str
    location: str
    null_access: str = ""


class GoodRun(NamedTuple):
    """The run without a failure.

    Attributes:
        ending: How the kernel ended it by itself.
        page_zero: The accesses of page zero in it; None: the kernel uses the page, and nothing is said of it.
    """

    ending: Ending
    page_zero: tuple[NullAccess, ...] | None


class Campaign(NamedTuple):
    """What became of a kernel in all runs.

    Attributes:
        good: How the kernel ended the run without a failure by itself.
        allocations: How many calls of that run can be made to fail.
        trials: A trial for each allocation that failed, in order.
    """

    good: Ending
    allocations: int
    trials: tuple[Trial, ...]

    def number_of(self, reaction: Reaction) -> int:
        """Return in how many trials the kernel reacted so."""
        return sum(trial.reaction is reaction for trial in self.trials)

    @property
    def is_bad(self) -> bool:
        """Whether the kernel died, hung or accessed memory through a null pointer at least once."""
        return any(trial.reaction in _BAD for trial in self.trials)


class TrialRunner:
    """Runs trials on one machine of its own, one after the other.

    Args:
        rerun: How to run the kernel once more.
    """

    def __init__(self, rerun: Rerun) -> None:
        self._machine = rerun.new_machine()
        self._profile = rerun.profile
        self._recording = record_calls(self._machine, self._profile)
        self._symbolizer = Symbolizer(self._machine.image)
        self._guard = (
            self._machine.observers.guard_page_zero()
            if can_guard(self._machine.image, self._profile)
            else None
        )

    @property
    def allocations(self) -> int:
        """Allocations so far."""
        return self._machine.allocations.count

    def good_run(self, budget: Budget) -> GoodRun:
        """Run to the end without a failure; the machine cannot be used for anything else then.

        Raises:
            NoEnd: The run does not end within its budget.
            EmulatorError: It ends badly.
            KeyboardInterrupt: Ctrl-C, or a signal that is handled so.
        """
        ending = run_to_end(self._machine, budget)
        if isinstance(ending.error, BudgetUsedUp):
            raise NoEnd(ending.error, self.allocations) from ending.error
        if ending.error is not None:
            raise ending.error
        return GoodRun(ending, self._page_zero())

    def _page_zero(self) -> tuple[NullAccess, ...] | None:
        seen = None if self._guard is None else self._guard.seen()
        if seen is None or seen.missed or is_used_on_purpose(self._machine, seen, _FIRST_EVENT):
            return None
        return seen.accesses

    def trials(self, numbers: Iterable[int], good: GoodRun) -> Iterator[Trial]:
        """Let each of these allocations fail, in ascending order."""
        # Where nothing is, and the good run accesses nothing: there a wild pointer points to.
        pages = {lack.address for lack in good.ending.lacks if lack.port is None}
        if None not in pages:
            self._machine.unanswered.expected = frozenset(
                page & -PAGE_SIZE for page in pages if page is not None
            )
        for number in numbers:
            failed = self._go_to(number)
            with self._machine.snapshot():
                self._machine.allocations.return_here(failed.result)
                result = self._run_on(good)
            yield Trial(number, failed, *result)

    def lost_trials(self, causes: Mapping[int, str]) -> Iterator[Trial]:
        """Describe trials whose process died, without running them again.

        Args:
            causes: By number of the allocation, how the process ended.
        """
        for number in sorted(causes):
            yield Trial(number, self._go_to(number), Reaction.UNKNOWN, causes[number], "")

    def _go_to(self, number: int) -> FailedCall:
        """Run to an allocation, which is to fail."""
        self._machine.run(stop_at_allocation=number - self.allocations)
        call = newest_call(self._recording, self._profile)
        backtrace = self._symbolizer.callers(self._recording.stack(call.stack))
        return failed_call(call, backtrace, self._profile)

    def _run_on(self, good: GoodRun) -> tuple[Reaction, str, str, str]:
        """Run to the end after a failure; return what became of the kernel: reaction, ending, location, null access."""
        before = 0 if self._guard is None else len(self._guard.seen().accesses)
        ending = self._end(good.ending)
        reaction, words, location = self._judge(ending, good.ending)
        null_access = self._null_access(good, before)
        if null_access and reaction in (Reaction.SURVIVES, Reaction.REPORTS):
            reaction = Reaction.ACCESSES_NULL
        return reaction, words, location, null_access

    def _null_access(self, good: GoodRun, before: int) -> str:
        """Describe the first access through a null pointer after so many accesses of page zero; "": there is none."""
        if self._guard is None or good.page_zero is None:
            return ""
        known = {_way(access) for access in good.page_zero}
        later = [access for access in self._guard.seen().accesses[before:] if _way(access) not in known]
        learned = [access for access in good.page_zero if access.event < _FIRST_EVENT]
        use = next(iter(null_uses(self._machine, later, learned)), None)
        if use is None:
            return ""
        return f"{use} at {code_location(*use.frames[0])}" if use.frames else str(use)

    def _end(self, good: Ending) -> Ending:
        """Run to the end, as long as patience lasts."""
        awaited = good.budget or NO_LIMIT
        return run_to_end(self._machine, awaited._replace(max_instructions=_patience(good), timeout_s=None))

    def _judge(self, ending: Ending, good: Ending) -> tuple[Reaction, str, str]:
        problem = ending.error.problem if isinstance(ending.error, GuestStopped) else ending.problem
        match ending.how:
            case How.INTERRUPTED if ending.error is not None:
                raise ending.error
            case How.BUDGET:
                return Reaction.HANGS, f"no end after {_patience(good)} instructions", ending.location or ""
            case How.NOT_EMULATED:
                return Reaction.UNKNOWN, problem, ending.location or ""
            case How.STOPPED | How.DIVERGED:
                return Reaction.DIES, problem, ending.location or ""
        return self._compare(ending, good)

    def _compare(self, ending: Ending, good: Ending) -> tuple[Reaction, str, str]:
        """Return the reaction of a kernel that has ended the run by itself."""
        if _end(ending) == _end(good):
            return Reaction.SURVIVES, brief_ending(ending), ""
        fault = self._machine.fault_in_hand()
        if fault is not None:
            name = EXCEPTION_NAMES.get(fault.vector, f"exception {fault.vector}")
            return Reaction.DIES, name, code_location(*self._machine.image.location(fault.eip))
        return Reaction.REPORTS, brief_ending(ending), ""


def _way(access: NullAccess) -> tuple[object, ...]:
    """Return what tells accesses apart: the instruction with its callers."""
    return access.registers.pc, access.callers, access.access


def _patience(good: Ending) -> int:
    """Return after how many instructions a kernel hangs."""
    return PATIENCE * (good.instructions or 0) + PATIENCE_MORE


def _end(ending: Ending) -> tuple[How, int | None, int | None]:
    """Return what two runs that end alike have in common: the exit value, or where the kernel halted."""
    return ending.how, ending.exit_value, ending.eip if ending.how is How.HALTED else None


def brief_ending(ending: Ending) -> str:
    """Return how a run ended well, for people."""
    match ending.how:
        case How.HALTED:
            return "halted"
        case How.RESET:
            return "resets the PC"
        case How.OFF:
            return "switches the power off"
        case How.TEXT:
            return "the text appears"
        case How.IDLE:
            return "only waits"
    return f"exit value {ending.exit_value}"


def sampled(count: int, limit: int) -> list[int]:
    """Return the numbers 1 to *count*, or of more than *limit* so many, evenly spread, the first and the last among them.

    Args:
        count: 0 or more.
        limit: 2 or more.
    """
    if count <= limit:
        return list(range(1, count + 1))
    return [1 + index * (count - 1) // (limit - 1) for index in range(limit)]
