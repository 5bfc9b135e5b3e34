"""Lets the allocations of one run fail that a policy names, although there is memory.

An allocation is an entry of a function of the profile that returns a block and has a way to report that there is none. One
that fails returns at its first instruction with that result: it has done nothing. A model that stands in for the function
does not see the call. Of nested allocations each counts, in order of entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from emulator.check.findings import CallSite
from emulator.guest.symbolizer import Symbolizer
from emulator.trace.recording import newest_call

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile
    from emulator.trace.table import Call


@dataclass(frozen=True, slots=True)
class InjectionPolicy:
    """Which allocations of a run fail; exactly one of the attributes is given.

    Attributes:
        nth: The allocation of this number, from 1.
        every: Each whose number can be divided by this.
        caller: Each with a function of this name, or glob, in its backtrace.

    Raises:
        ValueError: It is none or several of them, or a number below 1.
    """

    nth: int | None = None
    every: int | None = None
    caller: str | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.nth, self.every, self.caller)) != 1:
            raise ValueError("an injection is one of nth, every and caller")
        if min(each for each in (self.nth, self.every, 1) if each is not None) < 1:
            raise ValueError("allocations are numbered from 1")

    def __str__(self) -> str:
        """Return the policy in words, for messages."""
        if self.caller is not None:
            return f"allocations below {self.caller}"
        return f"allocation {self.nth}" if self.every is None else f"every allocation number {self.every}"

    def next_after(self, number: int) -> int:
        """Return the number of the next allocation that may have to fail; 0: there is none."""
        if self.nth is not None:
            return self.nth if self.nth > number else 0
        step = self.every or 1
        return number - number % step + step

    def is_due(self, number: int) -> bool:
        """Return whether the allocation of this number fails, as far as that depends on the number."""
        return self.next_after(number - 1) == number


class FailedCall(NamedTuple):
    """A call that was made to fail.

    Attributes:
        call_site: The call at its entry.
        arguments: Its arguments, as many as the profile describes.
        result: EAX at its return, unsigned.
    """

    call_site: CallSite
    arguments: tuple[int, ...]
    result: int


class FaultInjector:
    """Makes allocations of a machine fail, from now on until it is closed.

    It is an `emulator.machine.allocations.AllocationObserver`.

    Args:
        recording: The recording of the machine's calls, from `emulator.trace.recording.record_calls`.
        profile: The profile that is recorded.
        policy: Which allocations fail.
    """

    def __init__(self, recording: Recording, profile: Profile, policy: InjectionPolicy) -> None:
        self._recording = recording
        self._profile = profile
        self._policy = policy
        self._symbolizer = Symbolizer(recording.machine.image)
        self._failed: dict[int, FailedCall] = {}
        self._attached = recording.machine.allocations.observe(self)

    @property
    def calls(self) -> tuple[FailedCall, ...]:
        """The calls that failed so far, in order."""
        return tuple(self._failed[number] for number in sorted(self._failed))

    def close(self) -> None:
        """Let no more allocations fail."""
        self._attached.close()

    def next_after(self, number: int) -> int:
        """See `emulator.machine.allocations.AllocationObserver`."""
        return self._policy.next_after(number)

    def answer(self, number: int) -> int | None:
        """See `emulator.machine.allocations.AllocationObserver`."""
        if not self._policy.is_due(number):
            return None
        call = newest_call(self._recording, self._profile)
        backtrace = self._symbolizer.callers(self._recording.stack(call.stack))
        if not self._is_below(backtrace):
            if call.stack:  # all of its allocations would be asked about, with the same answer
                self._recording.machine.allocations.pass_stack(call.stack, yes=True)
            return None
        failed = failed_call(call, backtrace, self._profile)
        self._failed[call.number] = failed
        return failed.result

    def _is_below(self, backtrace: tuple[Frame, ...]) -> bool:
        caller = self._policy.caller
        return caller is None or any(fnmatchcase(frame.function, caller) for frame in backtrace)


def failed_call(call: Call, backtrace: tuple[Frame, ...], profile: Profile) -> FailedCall:
    """Describe a call that is made to fail with what its function returns when there is no memory."""
    result = next(each.failure_result for each in profile.functions if each.name == call.function)
    if result is None:
        raise ValueError(f"{call.function} has no way to fail")
    return FailedCall(CallSite(call.number, call.entered, call.function, backtrace), call.arguments, result)
