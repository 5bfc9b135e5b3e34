"""Every allocation of a run fails once: what becomes of the kernel each time.

Theory. A run that ends by itself is the measure. A machine goes through it again and stops in front of each allocation: there
it takes a snapshot, lets the allocation fail, runs on to the end, and returns to the snapshot. So a run is not begun anew for
each failure, and each failure meets the same kernel. Several machines share the allocations; what comes out does not
depend on how many they are.

Shortcomings. A kernel hangs when it has executed several times as many instructions as the good run: one that only
waits for a long time does so, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp, GuestStopped, NoEnd
from emulator.guest.symbolizer import Symbolizer
from emulator.inject.policy import FailedCall, failed_call
from emulator.run.ending import Budget, How
from emulator.run.to_end import run_to_end
from emulator.trace.recording import newest_call, record_calls
from emulator.x86 import EXCEPTION_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.run.ending import Ending

PATIENCE = 10
"""So many times the instructions of the good run, and `PATIENCE_MORE`, are executed until a kernel is said to hang."""
PATIENCE_MORE = 2_000_000


class Verdict(Enum):
    """What becomes of a kernel when an allocation fails, measured by the run without a failure. The value is a stable name.

    How that run ended by itself is another matter (`emulator.run.ending.How`): an exit can be `SURVIVES`, `REPORTS` or `DIES`.
    """

    SURVIVES = "survives"  # it ends as in the good run
    REPORTS = "reports"  # it ends in another way: it noticed
    DIES = "dies"  # a fault
    HANGS = "hangs"
    UNKNOWN = (
        "unknown"  # its process died, or the kernel needs what kmemu lacks: neither is the kernel's fault
    )


@dataclass(frozen=True, slots=True)
class GoodRun:
    """The run in which no allocation was made to fail.

    Attributes:
        ending: How it ended by itself.
        allocations: Calls that can be made to fail.
    """

    ending: Ending
    allocations: int

    @property
    def instructions(self) -> int:
        """That it executed."""
        return self.ending.instructions or 0


@dataclass(frozen=True, slots=True)
class FailurePoint:
    """One allocation, and the run in which it failed.

    Attributes:
        number: Of the allocation, from 1.
        call: The call that failed.
        verdict: What became of the kernel.
        ending: The same in words: ``exit value 1``, ``#UD invalid opcode``; of an unknown one why it is unknown.
        location: Where it died or was when patience ended, for people; "" for the other verdicts.
    """

    number: int
    call: FailedCall
    verdict: Verdict
    ending: str
    location: str


class Exhauster:
    """Lets allocations of one machine fail, one at a time.

    Args:
        machine: Not yet run.
        profile: What is recorded.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self._machine = machine
        self._profile = profile
        self._recording = record_calls(machine, profile)
        self._answers = {each.name: each.refusal for each in profile.functions}
        self._symbolizer = Symbolizer(machine.image)

    def good_run(self, budget: Budget) -> GoodRun:
        """Run to the end; the machine cannot be used for anything else then.

        Raises:
            NoEnd: The run does not end within its budget.
            EmulatorError: It ends badly.
            KeyboardInterrupt: Ctrl-C, or a signal that is handled so.
        """
        ending = run_to_end(self._machine, budget)
        if isinstance(ending.error, BudgetUsedUp):
            raise NoEnd(ending.error, self._machine.allocations.count) from ending.error
        if ending.error is not None:
            raise ending.error
        return GoodRun(ending, self._machine.allocations.count)

    def points(self, numbers: Iterable[int], good: GoodRun) -> Iterator[FailurePoint]:
        """Let each of these allocations fail, in ascending order."""
        for number in numbers:
            failed = self._go_to(number)
            with self._machine.snapshot():
                self._machine.allocations.return_here(failed.result)
                verdict = self._run_on(good)
            yield FailurePoint(number, failed, *verdict)

    def lost_points(self, causes: Mapping[int, str]) -> Iterator[FailurePoint]:
        """Describe allocations whose failure killed the process that tried it, without trying it.

        Args:
            causes: By number of the allocation, how the process ended.
        """
        for number in sorted(causes):
            yield FailurePoint(number, self._go_to(number), Verdict.UNKNOWN, causes[number], "")

    def _go_to(self, number: int) -> FailedCall:
        """Run to an allocation, which is to fail."""
        self._machine.run(stop_at_allocation=number - self._machine.allocations.count)
        call = newest_call(self._recording, self._profile)
        stack = self._symbolizer.callers(self._recording.stack(call.stack))
        return failed_call(call, stack, self._answers)

    def _run_on(self, good: GoodRun) -> tuple[Verdict, str, str]:
        budget = PATIENCE * good.instructions + PATIENCE_MORE
        ending = run_to_end(self._machine, Budget(budget))
        problem = ending.error.problem if isinstance(ending.error, GuestStopped) else ending.problem
        match ending.how:
            case How.INTERRUPTED if ending.error is not None:
                raise ending.error
            case How.BUDGET:
                return Verdict.HANGS, f"no end after {budget} instructions", ending.location or ""
            case How.NOT_EMULATED:
                return Verdict.UNKNOWN, problem, ending.location or ""
            case How.STOPPED | How.DIVERGED:
                return Verdict.DIES, problem, ending.location or ""
        return self._judge(ending, good)

    def _judge(self, ending: Ending, good: GoodRun) -> tuple[Verdict, str, str]:
        if _end(ending) == _end(good.ending):
            return Verdict.SURVIVES, brief_ending(ending), ""
        fault = self._machine.fault_in_hand()
        if fault is not None:
            name = EXCEPTION_NAMES.get(fault.vector, f"exception {fault.vector}")
            return Verdict.DIES, name, self._machine.image.location(fault.eip)
        return Verdict.REPORTS, brief_ending(ending), ""


def _end(ending: Ending) -> tuple[How, int | None, int | None]:
    """Return what two runs that end alike have in common: the exit value, or where the kernel halted."""
    return ending.how, ending.exit_value, ending.eip if ending.how is How.HALTED else None


def brief_ending(ending: Ending) -> str:
    """Return how a run ended by itself, for people."""
    return "halted" if ending.how is How.HALTED else f"exit value {ending.exit_value}"


def sampled(count: int, limit: int) -> list[int]:
    """Return the numbers 1 to *count*, or of more than *limit* so many, evenly spread, the first and the last among them.

    Args:
        count: 0 or more.
        limit: 2 or more.
    """
    if count <= limit:
        return list(range(1, count + 1))
    return [1 + index * (count - 1) // (limit - 1) for index in range(limit)]


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """What became of a kernel in all runs.

    Attributes:
        good: The run without failures.
        points: One for each allocation that failed, in order.
    """

    good: GoodRun
    points: tuple[FailurePoint, ...]

    def count(self, verdict: Verdict) -> int:
        """Return how many failures had this verdict."""
        return sum(point.verdict is verdict for point in self.points)

    @property
    def is_bad(self) -> bool:
        """The kernel died or hung at least once."""
        return any(point.verdict in (Verdict.DIES, Verdict.HANGS) for point in self.points)


@dataclass(frozen=True, slots=True)
class Task:
    """What every worker needs to know.

    Attributes:
        new_machine: Makes a machine with the kernel, not yet run, always the same one. Can be pickled.
        profile: Functions that the kernel has.
    """

    new_machine: Callable[[], Machine]
    profile: Profile

    def exhauster(self) -> Exhauster:
        """Return what works on a machine of its own."""
        return Exhauster(self.new_machine(), self.profile)
