"""Boot the kernels of a session, each once; every test starts from a snapshot."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

import pytest

from emulator import boot
from emulator.check.later_mistakes import keeps_mappings
from emulator.check.null_accesses import can_guard
from emulator.errors import BudgetUsedUp, EmulatorError, KernelMismatch
from emulator.guest.symbolizer import Symbolizer
from emulator.hle.kernels import recognize
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.recording import RecordedFunction, record
from emulator.profile.known import match, matching_profile
from emulator.pytest_plugin.guest_failure import backtrace_lines, last_lines
from emulator.pytest_plugin.guest_memory import open_program
from emulator.pytest_plugin.settings import BadConfiguration, Settings
from emulator.report.text.ending import ending_text
from emulator.run.to_end import ending_of
from emulator.wording import code_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from drgn import Program

    from emulator.check.findings import Finding, Kind
    from emulator.inject.policy import FaultInjector
    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.core.observed import BadAccess, BadAccesses
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.trace.recording import CallLog
    from kernel_model.audit import Audit

_INSTRUCTIONS_BETWEEN_CHECKS: Final = 1 << 20
_STRUCTURES: Final = ("heap", "kmem", "pools")
_NO_KERNEL: Final = 'no kernel to test: set kmemu_kernel in the configuration of pytest, or mark the test with @pytest.mark.kmemu(kernel="...")'


class BootedKernel:
    """A kernel that has booted.

    Args:
        settings: What is booted, and how.
        recorded: Whether its calls have to be recorded; else they are if a profile fits and its mistakes are looked for.

    Attributes:
        machine: The machine, which stands where the boot has ended.
        start: The snapshot of that state.
        log: The calls since the start, also those of the boot; None if they are not recorded.
        accesses: Keeps bad accesses; None where they are not looked for.
        guard: Keeps accesses of page zero; None where the kernel lies there, or nobody looks.
        heap_audits: The audits of the kernel's heap, as far as it is wanted, known, and not damaged from the start.
        on_output: Called whenever the kernel has printed something.
        expected: The kinds of mistakes that this test expects: bad accesses of these kinds do not stop the kernel.
        halted_at: The bad access before which the last run was stopped; none in most runs.
        failures: The allocations that fail in this test; None: none does.

    Raises:
        EmulatorError: The kernel cannot be booted; with notes that say where it stands.
    """

    def __init__(self, settings: Settings, *, recorded: bool) -> None:
        self.settings = settings
        self.on_output: Callable[[], None] = do_nothing
        self.machine = boot(
            settings.kernel,
            ram=settings.ram,
            command_line=settings.cmdline,
            modules=settings.modules,
            load=settings.load,
            entry=settings.entry,
            protocol=settings.protocol or None,
            symbols=settings.symbols or None,
            disk=settings.disk,
            on_output=lambda _console, _data: self.on_output(),
        )
        profile = self._profile(recorded=recorded)
        self.log: CallLog | None = None
        self.accesses: CheckedAccesses | None = None
        self.expected: frozenset[Kind] = frozenset()
        self.halted_at: list[Finding] = []
        self.guard = (
            self.machine.observers.guard_page_zero()
            if settings.check and can_guard(self.machine.image, profile)
            else None
        )
        try:
            self._boot(profile)
        except EmulatorError as error:
            add_facts(error, self.machine, self.output().decode("utf-8", "replace"))
            raise
        self.start = self.machine.snapshot()
        self.heap_audits = _heap_audits(self.machine) if settings.walk_heap else ()
        self.failures: FaultInjector | None = None

    def begin_again(self) -> None:
        """Go back to where the boot has ended, for another test."""
        self.start.reset()
        self.let_fail(None)
        self.expected = frozenset()
        self.halted_at = []

    def bad_accesses(self, accesses: Iterable[BadAccess]) -> list[Finding]:
        """Return the mistakes that some of the kept accesses are; calls have to be recorded."""
        from emulator.check.accesses.bad_accesses import bad_accesses  # few sessions need them

        if self.log is None:
            raise ValueError("no calls are recorded")
        return bad_accesses(self.machine, accesses, self.log.trace(self.symbolizer))

    def _ends_at(self, seen: BadAccesses) -> bool:
        """Return whether a run ends before the newest access."""
        found = self.bad_accesses(seen.accesses)
        self.halted_at = [each for each in found if each.kind not in self.expected]
        return bool(self.halted_at)

    @cached_property
    def symbolizer(self) -> Symbolizer:
        """Names the addresses of the kernel's code, and remembers them."""
        return Symbolizer(self.machine.image)

    @cached_property
    def has_mappings(self) -> bool:
        """Whether the kernel has page tables that are known."""
        return self.log is not None and keeps_mappings(self.machine, self.log.profile.name)

    @property
    def is_in_call(self) -> bool:
        """Whether the kernel stands inside a recorded call, so that its heap may be half changed."""
        return self.log is not None and self.machine.calls.open_calls > 0

    def let_fail(self, failures: FaultInjector | None) -> None:
        """Let these allocations fail from now on, instead of those that did until now."""
        if self.failures is not None:
            self.failures.close()
        self.failures = failures

    def output(self) -> bytearray:
        """Return what the kernel has printed: on COM1, or if it has never used that, on port 0xE9."""
        serial = self.machine.output[Console.SERIAL]
        return serial or self.machine.output[Console.DEBUG]

    @cached_property
    def objects(self) -> Program:
        """The kernel's variables, as `open_program` gives them; drgn is needed only if a test asks for them."""
        return open_program(self.machine)

    @contextmanager
    def deadline(self, timeout_s: float | None) -> Iterator[None]:
        """Let runs inside the block raise `BudgetUsedUp` when the block takes longer than *timeout_s*; None: than the settings say.

        A thread that watches the time, as `Machine.run` has it, would cost more than most calls take.
        """
        seconds = self.settings.timeout if timeout_s is None else timeout_s
        end = time.monotonic() + seconds
        machine = self.machine
        inside = True

        def check() -> None:
            if not inside:
                return
            machine.consoles.flush()  # a prompt without a newline
            if time.monotonic() > end:
                eip = machine.registers().eip
                problem = f"budget of {seconds:g} seconds used up"
                raise BudgetUsedUp(problem, eip, code_location(*machine.image.location(eip)))
            machine.pause_after(_INSTRUCTIONS_BETWEEN_CHECKS, check)

        machine.pause_after(_INSTRUCTIONS_BETWEEN_CHECKS, check)
        try:
            yield
        finally:
            inside = False

    def _profile(self, *, recorded: bool) -> Profile | None:
        """Return what to record; None: nothing."""
        if not recorded and not self.settings.check and not self.settings.sanitize:
            return None
        from emulator.profile.reader import read_profile
        from emulator.report.text.gaps import gap_lines

        image, path = self.machine.image, self.settings.profile
        try:
            profile = match(read_profile(path), image) if path else matching_profile(image)
        except KernelMismatch:
            if recorded or path or self.settings.sanitize:
                raise
            return None
        for line in gap_lines(profile, image):
            warnings.warn(pytest.PytestWarning(line), stacklevel=1)
        return profile

    def _boot(self, profile: Profile | None) -> None:
        with self.deadline(None):
            instructions = self._instructions_to(self.settings.boot_until)
            if profile is not None:
                from emulator.trace.recording import CallLog  # slow: numpy

                self.log = CallLog(self.machine, profile)
                if self.settings.sanitize:
                    from emulator.trace.checking import check_accesses  # few sessions need it

                    ends = self._ends_at if self.settings.halt_on_error else None
                    self.accesses = check_accesses(
                        self.machine, profile, ends, uninitialised=self.settings.uninitialised
                    )
            if instructions is not None:
                with suppress(BudgetUsedUp):
                    self.machine.run(max_instructions=instructions)
                return
            outcome = self.machine.run()
            if outcome.exit_value or outcome.ending in (Returned.RESET, Returned.BAD_ACCESS):
                how = ending_text(ending_of(self.machine, outcome))
                raise EmulatorError(f"{how} when it booted; boot_until can end its boot earlier")

    def _instructions_to(self, symbol: str) -> int | None:
        """Return how many instructions the kernel executes before it enters a function, from where it stands; None: no function is named.

        Whatever it did for that is undone. Only one recording can be made at a time, and the calls of the boot come into another one.
        """
        if not symbol:
            return None
        start = self.machine.snapshot()
        recording = record(self.machine, [RecordedFunction(symbol)])
        outcome = self.machine.run(stop_at_event=1)
        if outcome.ending is not Returned.EVENT:
            how = ending_text(ending_of(self.machine, outcome))
            raise EmulatorError(f"{how} before it reached {symbol}, where its boot should end")
        recording.close()
        start.reset()
        start.discard()
        return outcome.instructions


Booted = dict[tuple[Settings, bool], BootedKernel | EmulatorError]
"""The kernels that were booted in a session, and why others could not be; by what is booted, and whether calls have to be recorded."""


def booted_kernel(booted: Booted, settings: Settings, *, recorded: bool) -> BootedKernel:
    """Return a kernel at the end of its boot.

    Args:
        booted: Those of the session; this one is added.
        settings: What is booted, and how.
        recorded: Whether its calls are recorded.

    Raises:
        BadConfiguration: The settings name no kernel.
        EmulatorError: It cannot be booted.
    """
    if not settings.kernel:
        raise BadConfiguration(_NO_KERNEL)
    key = (settings, recorded)
    if key not in booted:
        try:
            booted[key] = BootedKernel(settings, recorded=recorded)
        except (
            EmulatorError
        ) as error:  # once is enough: a kernel that hangs would cost its timeout in each test
            booted[key] = error
    found = booted[key]
    if isinstance(found, EmulatorError):
        raise found
    found.begin_again()
    return found


def _heap_audits(machine: Machine) -> tuple[Audit, ...]:
    """Return the audits of a machine's heap and pools, as far as they are known and not damaged from the start."""
    found = recognize(machine)
    if found is None:
        return ()
    audits = found[1].audits(len(machine.memory))
    return tuple(each for each in audits if each.structure in _STRUCTURES and not each.defects())


def add_facts(error: EmulatorError, machine: Machine, console: str) -> None:
    """Note in an error where the kernel stood and what it printed."""
    error.add_note("\n".join([*backtrace_lines(machine), *(last_lines(console) if console else [])]))


def do_nothing() -> None:
    """Nobody waits for output."""
