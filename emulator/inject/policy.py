"""Fault injection: allocations that fail although there is memory.

An allocation is an entry of a function of the profile that takes a block and has a way to say that there is none. One
that fails is left at its first instruction with that answer: it has done nothing. A model that stands in for the function
does not see the call. Of nested allocations each counts, in order of entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from emulator.check.findings import CallSite
from emulator.guest.symbolizer import Symbolizer
from emulator.trace.recording import newest_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.guest.symbolizer import Frame
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile
    from emulator.trace.table import Call


@dataclass(frozen=True, slots=True)
class Injection:
    """Which allocations of a run fail: exactly one of these.

    Attributes:
        nth: This one, from 1.
        every: Each whose number can be divided by this.
        caller: Each with a function of this name, or glob, on its call stack.

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
        """Say it in words, for messages."""
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
        """Tell whether the allocation of this number fails, as far as that depends on the number."""
        return self.next_after(number - 1) == number


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that was made to fail.

    Attributes:
        call_site: The call; its event is the entry.
        arguments: As many as the profile describes.
        result: EAX that it returned, unsigned.
    """

    call_site: CallSite
    arguments: tuple[int, ...]
    result: int


class Failures:
    """Makes allocations of a machine fail, from now on until it is closed.

    It is an `emulator.machine.allocations.AllocationObserver`.

    Args:
        recording: Of the machine's calls, from `emulator.trace.recording.record_calls`.
        profile: What is recorded.
        injection: Which of them.
    """

    def __init__(self, recording: Recording, profile: Profile, injection: Injection) -> None:
        self._recording = recording
        self._profile = profile
        self._injection = injection
        self._answers = {each.name: each.refusal for each in profile.functions}
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
        return self._injection.next_after(number)

    def answer(self, number: int) -> int | None:
        """See `emulator.machine.allocations.AllocationObserver`."""
        if not self._injection.is_due(number):
            return None
        call = newest_call(self._recording, self._profile)
        stack = self._symbolizer.callers(self._recording.stack(call.stack))
        if not self._is_below(stack):
            if call.stack:  # all of its allocations would be asked about, with the same answer
                self._recording.machine.allocations.pass_stack(call.stack, yes=True)
            return None
        failed = failed_call(call, stack, self._answers)
        self._failed[call.number] = failed
        return failed.result

    def _is_below(self, stack: tuple[Frame, ...]) -> bool:
        caller = self._injection.caller
        return caller is None or any(fnmatchcase(frame.function, caller) for frame in stack)


def failed_call(call: Call, stack: tuple[Frame, ...], answers: Mapping[str, int | None]) -> FailedCall:
    """Describe a call that is made to fail with what its function answers when there is no memory."""
    result = answers[call.function]
    if result is None:
        raise ValueError(f"{call.function} has no way to fail")
    return FailedCall(CallSite(call.number, call.entered, call.function, stack), call.arguments, result)
