"""The checked accesses of a debugger's machine: which of them its runs stop in front of."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from emulator.machine.core.stops import Stopping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.accesses.bad_accesses import Mistake
    from emulator.check.findings import Finding
    from emulator.debug.kernel_debugger import Debugger
    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.core.observed import BadAccesses
    from emulator.replay.moment import Moment


class AccessChecks:
    """The checks of one debugger's machine, if there are any.

    Args:
        debugger: Moves the machine. Its profile says which functions allocate, and their calls are recorded.
        sanitize: As of the debugger.

    Attributes:
        finding: What the access is that has stopped the machine last.
        moments: Where findings were that a run has noted, and not stopped at.

    Raises:
        ValueError: Accesses are to be checked, and there is no profile.
    """

    def __init__(self, debugger: Debugger, sanitize: bool | str) -> None:  # noqa: FBT001 - as of the debugger
        self.finding: Finding | None = None
        self.moments: list[Moment] = []
        self._debugger = debugger
        self._machine = debugger.machine
        self._begun_at: Moment | None = None
        self._wanted: Moment | None = None
        self._checked: CheckedAccesses | None = None
        if sanitize:
            if not debugger.profile.functions:
                raise ValueError(
                    f"accesses are checked by what a profile says of allocators: {debugger.profile.reason}"
                )
            from emulator.trace.checking import check_accesses

            self._checked = check_accesses(
                self._machine,
                debugger.profile,
                self._ends_run,
                uninitialised=sanitize == "uninitialised",
            )

    @property
    def is_on(self) -> bool:
        """Whether accesses are checked."""
        return self._checked is not None

    def begin(self) -> None:
        """Say that a move forwards begins where the machine stands: the access that comes next is passed, as breakpoints are."""
        self._begun_at = self._debugger.moment

    @contextmanager
    def stopping_at(self, moment: Moment) -> Iterator[None]:
        """Stop in front of the access at a moment, and of no other, inside the block."""
        self._wanted = moment
        try:
            yield
        finally:
            self._wanted = None

    def mistakes(self) -> list[Mistake]:
        """Return what the bad accesses so far are; none where accesses are not checked."""
        return [] if self._checked is None else self._mistakes(self._checked.seen())

    def close(self) -> None:
        """Check no more."""
        if self._checked is not None:
            self._checked.close()

    def _mistakes(self, seen: BadAccesses) -> list[Mistake]:
        from emulator.check.accesses.bad_accesses import mistakes

        return mistakes(self._machine, seen.accesses, self._debugger.trace())

    def _ends_run(self, seen: BadAccesses) -> bool:
        """Return whether the machine is to stop in front of the newest access."""
        here, mode = self._debugger.moment, self._machine.stops.mode
        if self._wanted is None and (not self._debugger.stop_at_findings or mode is Stopping.IGNORES):
            return False
        if self._wanted is not None and here != self._wanted:
            return False
        if mode is Stopping.STOPS and here == self._begun_at:
            return False
        newest = seen.accesses[-1]
        finding = next((each.finding for each in self._mistakes(seen) if newest in each.accesses), None)
        if finding is None:
            return False
        self.moments.append(here)
        self.finding = finding
        return mode is Stopping.STOPS or self._wanted is not None
