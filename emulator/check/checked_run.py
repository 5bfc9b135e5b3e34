"""Runs a kernel once under recording and returns all findings about that run."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Final

from emulator.check.bad_endings import bad_endings, deadlocks, wild_accesses
from emulator.check.calls.checks import check_calls
from emulator.check.calls.results import known_memory
from emulator.check.check_report import CheckReport
from emulator.check.findings import OF_ACCESSES, OF_VALUES, Kind
from emulator.check.leaks.guest_words import GuestWords
from emulator.check.leaks.leaks import NO_LEAKS, find_leaks
from emulator.check.leaks.space_rules import broken_rules
from emulator.check.measures import measure
from emulator.check.null_accesses import can_guard, null_accesses
from emulator.check.structures.kernel_checks import kernel_checks
from emulator.check.structures.locks import check_locks
from emulator.check.structures.run_audits import RunAudits
from emulator.check.unchecked import unchecked_kinds
from emulator.errors import HostError
from emulator.guest.symbolizer import Symbolizer
from emulator.hle.layers import lockstep_calls
from emulator.profile.binding import unknown_parameters
from emulator.profile.functions import Role
from emulator.profile.known import structures_of
from emulator.replay.engine import Rerun
from emulator.run.ending import Budget, How
from emulator.run.to_end import run_to_end
from emulator.trace.checking import check_accesses
from emulator.trace.recording import CallLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.check.findings import Finding
    from emulator.check.leaks.leaks import Leaks
    from emulator.check.structures.kernel_checks import KernelChecks
    from emulator.machine.core.observed import BadAccesses, PageZero, StaleUse
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile
    from emulator.run.ending import Ending
    from emulator.trace.trace import Trace

DEFAULT_BUDGET: Final = Budget(max_instructions=10**10, timeout_s=60.0)

_OF_STRUCTURES: Final = {
    Kind.CORRUPTION,
    Kind.MAPPING,
    Kind.BITMAP,
    Kind.REFCOUNT,
    Kind.RESERVED,
    Kind.DEADLOCK,
}
_LENGTHS: Final = {"size", "pages", "order"}
_LEFT: Final = {How.INTERRUPTED, How.LEFT}


_FIRST_PAUSE: Final = 1 << 20
"""Instructions, about a millisecond, until it is said how far the run is; doubled up to the longest pause."""
_LONGEST_PAUSE: Final = 1 << 27


def _ignore(_what: object) -> None:
    pass


def _tell_progress(recording: Recording, on_progress: Callable[[int], None]) -> None:
    machine, pause = recording.machine, _FIRST_PAUSE

    def tell() -> None:
        nonlocal pause
        pause = min(2 * pause, _LONGEST_PAUSE)
        on_progress(recording.event_count)
        machine.pause_after(pause, tell)

    if on_progress is not _ignore:
        machine.pause_after(pause, tell)


def check_kernel(  # noqa: PLR0913 - the run, and who takes part in it
    machine: Machine,
    profile: Profile,
    budget: Budget = DEFAULT_BUDGET,
    *,
    walk_every: int = 0,
    sanitize: bool = False,
    uninitialised: bool = False,
    halts_at: Callable[[Finding], bool] | None = None,
    new_machine: Callable[[], Machine] | None = None,
    on_start: Callable[[Recording], None] = _ignore,
    on_progress: Callable[[int], None] = _ignore,
) -> CheckReport:
    """Run a kernel to its end and find what it does wrong with its memory.

    Args:
        machine: Not yet run, with its layers attached.
        profile: What to record; functions that the kernel has.
        budget: What the run may take.
        walk_every: Audit the kernel's structures at the entry of every so manieth recorded call; 0: only at the end.
        sanitize: Check each access of the kernel.
        uninitialised: With *sanitize*: look for uses of values that were never written, too.
        halts_at: With *sanitize*: whether the run ends before a bad access that is this finding; None: it never does.
        new_machine: Makes a machine as the first one was before its run. Without it, no finding has a hex dump or a faulting
            write, because nothing is run again.
        on_start: Called with the recording, before the first instruction.
        on_progress: Called with the number of the last event now and then.

    Raises:
        HostError: No memory is left.
    """
    check = Check(
        machine, profile, new_machine, sanitize=sanitize, uninitialised=uninitialised, halts_at=halts_at
    )
    started = time.perf_counter()

    def start(recording: Recording) -> None:
        if walk_every:
            machine.calls.at_entries(walk_every, check.audits.audit)
        on_start(recording)

    ending, trace = check.record(budget, start, on_progress)
    check.audits.audit()
    report = check.report(trace, ending)
    unchecked = unchecked_kinds(report, trace, machine)
    return report._replace(
        checked=report.checked - unchecked.keys(),
        unchecked=unchecked,
        seconds=time.perf_counter() - started,
    )


class Check:
    """One check while it is made: `record` comes first, then the last audit, then `report`.

    Args:
        machine: Not yet run, with its layers attached.
        profile: The profile to record.
        new_machine: Makes a machine as the first one was before its run; None: nothing is run again.
        sanitize: Check each access of the kernel, if the machine can do that.
        uninitialised: With *sanitize*: look for uses of values that were never written, too.
        halts_at: Whether the run ends before a bad access; see `check_kernel`.

    Attributes:
        checks: What is known of the kernel's structures; None: nothing.
        audits: The audits of these structures during the run.
    """

    def __init__(
        self,
        machine: Machine,
        profile: Profile,
        new_machine: Callable[[], Machine] | None,
        *,
        sanitize: bool = False,
        uninitialised: bool = False,
        halts_at: Callable[[Finding], bool] | None = None,
    ) -> None:
        self._machine = machine
        self._profile = profile
        self._new_machine = new_machine
        self.checks: KernelChecks | None = kernel_checks(machine, profile.name)
        self.audits = RunAudits(machine, self.checks)
        self._seeks_stale = machine.mmu != "reference"
        self._stale: tuple[StaleUse, ...] = ()
        self._has_sought_stale = False
        self._page_zero: PageZero | None = None
        self._sanitize = sanitize
        self._uninitialised = sanitize and uninitialised
        self._halts_at = halts_at
        self._accesses: BadAccesses | None = None

    def record(
        self,
        budget: Budget,
        on_start: Callable[[Recording], None],
        on_progress: Callable[[int], None] = _ignore,
    ) -> tuple[Ending, Trace]:
        """Run the kernel to its end, and record its calls; the arguments are those of `check_kernel`."""
        machine = self._machine
        with (
            machine.observers.seek_stale() if self._seeks_stale else nullcontext() as stale,
            machine.observers.guard_page_zero()
            if can_guard(machine.image, self._profile)
            else nullcontext() as guard,
            ExitStack() as closing,
        ):
            log = CallLog(machine, self._profile)

            def trace() -> Trace:
                return log.trace(Symbolizer(machine.image))

            if self._sanitize and machine.mmu != "reference":
                ends = None if self._halts_at is None else self._ends(trace, self._halts_at)
                checked = check_accesses(machine, self._profile, ends, uninitialised=self._uninitialised)
                closing.enter_context(checked)
            else:
                checked = None
            on_start(log.recording)
            _tell_progress(log.recording, on_progress)
            ending = run_to_end(machine, budget)
            self._accesses = None if checked is None else checked.seen()
        if stale is not None:
            self._stale, self._has_sought_stale = stale.uses(), stale.is_whole
            if (
                not self._has_sought_stale
                and ending.how not in _LEFT
                and not isinstance(ending.error, HostError)
            ):
                self._seek_stale_again(ending, on_progress)
        self._page_zero = guard.seen() if guard is not None else None
        if isinstance(ending.error, HostError):
            raise ending.error
        return ending, trace()

    def _seek_stale_again(self, ending: Ending, on_progress: Callable[[int], None]) -> None:
        """Run the kernel once more, as far as it ran, and follow each load of CR3, which may take long."""
        rerun = self.rerun(ending)
        # Its accesses are checked again then, and both together take too long.
        is_compiled = self._sanitize and self._machine.image.kasan is not None
        if rerun is None or is_compiled:
            return
        replay = rerun.replay()
        _tell_progress(replay.recording, on_progress)
        with replay.machine.observers.seek_stale(each_load=True) as stale:
            replay.run_to_end()
        self._stale, self._has_sought_stale = stale.uses(), stale.is_whole

    def _ends(
        self, trace: Callable[[], Trace], halts_at: Callable[[Finding], bool]
    ) -> Callable[[BadAccesses], bool]:
        from emulator.check.accesses.halting import ends_at  # few runs need it

        return ends_at(self._machine, trace, halts_at)

    def _bad_accesses(self, seen: BadAccesses, trace: Trace) -> list[Finding]:
        if not seen.accesses:
            return []
        from emulator.check.accesses.bad_accesses import bad_accesses  # most kernels make none

        return bad_accesses(self._machine, seen.accesses, trace)

    def report(self, trace: Trace, ending: Ending) -> CheckReport:
        """Make the checks of a run that has ended, and return all findings."""
        memory = GuestWords(self._machine, structures_of(self._profile))
        leaks = find_leaks(trace, memory, self.rerun(ending)) if ending.is_whole else NO_LEAKS
        mappings = broken_rules(trace, memory, self._profile.address_spaces) if ending.is_whole else []
        seen = self._page_zero
        nulls = None if seen is None else null_accesses(self._machine, seen, trace, ending)
        accesses = self._accesses
        bad = [] if accesses is None else self._bad_accesses(accesses, trace)
        is_guarded = nulls is not None and seen is not None and not seen.missed
        return CheckReport(
            kernel=self._machine.image.path,
            ending=ending,
            events=trace.event_count,
            calls=len(trace),
            findings=tuple(self._findings(ending, trace, leaks, mappings, [*bad, *(nulls or [])])),
            measures=measure(trace, leaks.sizes),
            reachable=leaks.reachable,
            lockstep=lockstep_calls(self._machine),
            profile=self._profile.name,
            profile_reason=self._profile.reason,
            never_called=trace.never_called,
            unknown=tuple(unknown_parameters(self._profile)),
            has_frames=len(self._machine.image.unwind_table) > 0,
            sanitized=self._sanitize,
            uninitialised=self._uninitialised,
            checked=checked_kinds(
                self._profile,
                ending,
                self.checks,
                audited=self.audits.any_done,
                is_rerun=self._new_machine is not None,
                has_sought_stale=self._has_sought_stale,
            )
            - self.audits.missed
            - ({Kind.NULL_ACCESS} if not is_guarded else set())
            | self._ruled_kinds(ending)
            | (set() if accesses is None or accesses.missed else _of_accesses(self._machine, accesses))
            | set(OF_VALUES if accesses and self._uninitialised and not accesses.missed else ()),
        )

    def _findings(
        self, ending: Ending, trace: Trace, leaks: Leaks, mappings: list[Finding], accesses: list[Finding]
    ) -> list[Finding]:
        """Return all findings in order of events; those that show at the end only come last.

        Of one event, bad accesses of blocks come before null accesses: the null may be what was read there.
        """
        rerun = self.rerun(ending)
        has_mappings = self.checks is not None and self.checks.has_mappings
        found = check_calls(trace, known_memory(self._machine, has_mappings=has_mappings))
        if self.checks is not None:
            found += self.checks.at_end(trace, rerun)
        if rerun is not None and (ending.is_whole or ending.how is How.BUDGET):  # else it died
            found += check_locks(self._machine, trace, rerun, finished=ending.by_itself)
        found += self.audits.findings(trace, rerun)
        found += self._stale_uses(trace) + accesses
        found.sort(
            key=lambda finding: finding.call_site.event if finding.call_site else trace.event_count + 1
        )
        waiting = self.checks.waiting() if self.checks is not None else []
        found += [*mappings, *leaks.lost, *deadlocks(self._machine, ending, trace, waiting)]
        found += wild_accesses(self._machine.image, ending, trace, anybodys=self._sanitize)
        found += bad_endings(self._machine.image, ending, trace)
        if rerun is None or not found:
            return found
        from emulator.check.hex_dumps import with_hex_dumps  # not without findings

        return with_hex_dumps(found, rerun)

    def _stale_uses(self, trace: Trace) -> list[Finding]:
        if not self._stale:
            return []
        from emulator.check.stale_translations import stale_uses  # most kernels make none

        return stale_uses(self._machine, self._stale, trace)

    def _ruled_kinds(self, ending: Ending) -> frozenset[Kind]:
        """Return the kinds that are searched for because the profile asks for it."""
        rules = self._profile.address_spaces
        asked = rules.freed_but_mapped or rules.writable_twice
        return frozenset((Kind.MAPPING,) if asked and ending.is_whole else ())

    def rerun(self, ending: Ending) -> Rerun | None:
        """Return how to run the kernel once more, as far as it ran; None: not at all."""
        if self._new_machine is None:
            return None
        goes_on = ending.how in (
            How.BUDGET,
            How.TEXT,
            How.IDLE,
            How.BAD_ACCESS,
        )  # it would, unlike the first time
        instructions = ending.instructions if goes_on else None
        return Rerun(self._new_machine, self._profile, instructions, self._sanitize)


def checked_kinds(
    profile: Profile,
    ending: Ending,
    state: KernelChecks | None,
    *,
    audited: bool,
    is_rerun: bool,
    has_sought_stale: bool,
) -> frozenset[Kind]:
    """Return the kinds of findings that a check covers, without those of accesses: "nothing found" says something about these only.

    Args:
        profile: The profile that was recorded.
        ending: How the run ended.
        state: What is known of the kernel's structures; None: nothing.
        audited: Whether the structures were audited at least once while they had to be whole.
        is_rerun: Whether the kernel may be run once more.
        has_sought_stale: Whether all uses of stale translations were looked for.
    """
    kinds = set(Kind) - _OF_STRUCTURES - {*OF_ACCESSES, *OF_VALUES}
    if state is not None:
        kinds |= state.kinds
        if not audited:
            kinds.discard(Kind.CORRUPTION)
        if not state.at_rest:
            kinds -= {Kind.BITMAP, Kind.REFCOUNT}
    if not ending.by_itself:
        kinds -= {Kind.LOCK_HELD, Kind.DEADLOCK}
    if not ending.is_whole:
        kinds.discard(Kind.LEAK)
    if not is_rerun:
        kinds -= {Kind.LOCK_HELD, Kind.LOCK_TWICE}
    if not has_sought_stale:
        kinds.discard(Kind.STALE_TRANSLATION)
    frees = [each for each in profile.functions if each.role is Role.FREE]
    if not any(_LENGTHS & set(each.parameters) for each in frees if not profile.pages(each.area)):
        kinds.discard(Kind.WRONG_SIZE)
    if not any("pool" in each.parameters for each in frees):
        kinds.discard(Kind.WRONG_POOL)
    return frozenset(kinds)


def _of_accesses(machine: Machine, accesses: BadAccesses) -> set[Kind]:
    """Return the kinds that the check of a kernel's accesses shows."""
    kinds = set(OF_ACCESSES)
    if not machine.image.kasan:
        kinds.discard(Kind.USE_AFTER_SCOPE)
    if not accesses.has_returns:
        kinds.discard(Kind.RETURN_WRITE)
    return kinds
