"""Boot the kernels of a session, each once; every test starts from a snapshot."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from emulator import boot
from emulator.errors import BudgetUsedUp, EmulatorError
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
    from collections.abc import Callable, Iterator

    from drgn import Program

    from emulator.inject.policy import FaultInjector
    from emulator.machine.machine import Machine
    from emulator.trace.recording import CallLog
    from kernel_model.audit import Audit

_INSTRUCTIONS_BETWEEN_CHECKS: Final = 1 << 20
_STRUCTURE: Final = "heap"
_NO_KERNEL: Final = 'no kernel to test: set kmemu_kernel in the configuration of pytest, or mark the test with @pytest.mark.kmemu(kernel="...")'


class BootedKernel:
    """A kernel that has booted.

    Args:
        settings: What is booted, and how.
        recorded: Whether its calls are recorded.

    Attributes:
        machine: The machine, which stands where the boot has ended.
        start: The snapshot of that state.
        log: The calls after the boot; None if they are not recorded.
        heap_audit: The audit of the kernel's heap; None where it is not wanted, the heap is not known, or it is damaged from the start.
        on_output: Called whenever the kernel has printed something.
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
        try:
            self._boot()
        except EmulatorError as error:
            add_facts(error, self.machine, self.output().decode("utf-8", "replace"))
            raise
        self.log = self._record() if recorded else None
        self.start = self.machine.snapshot()
        self.heap_audit = _heap_audit(self.machine) if settings.walk_heap else None
        self.failures: FaultInjector | None = None

    def begin_again(self) -> None:
        """Go back to where the boot has ended, for another test."""
        self.start.reset()
        self.let_fail(None)

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

    def _boot(self) -> None:
        symbol = self.settings.boot_until
        with self.deadline(None):
            if not symbol:
                outcome = self.machine.run()
                if outcome.exit_value or outcome.ending is Returned.RESET:
                    how = ending_text(ending_of(self.machine, outcome))
                    raise EmulatorError(f"{how} when it booted; boot_until can end its boot earlier")
                return
            recording = record(self.machine, [RecordedFunction(symbol)])
            outcome = self.machine.run(stop_at_event=1)
        if outcome.ending is not Returned.EVENT:
            how = ending_text(ending_of(self.machine, outcome))
            raise EmulatorError(f"{how} before it reached {symbol}, where its boot should end")
        recording.close()

    def _record(self) -> CallLog:
        from emulator.profile.reader import read_profile
        from emulator.trace.recording import CallLog  # slow: numpy

        image, path = self.machine.image, self.settings.profile
        return CallLog(self.machine, match(read_profile(path), image) if path else matching_profile(image))


Booted = dict[tuple[Settings, bool], BootedKernel | EmulatorError]
"""The kernels that were booted in a session, and why others could not be; by what is booted, and whether calls are recorded."""


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


def _heap_audit(machine: Machine) -> Audit | None:
    """Return the audit of a machine's heap; None where the heap is not known, or is damaged from the start."""
    found = recognize(machine)
    if found is None:
        return None
    audits = found[1].audits(len(machine.memory))
    heap = next((audit for audit in audits if audit.structure == _STRUCTURE), None)
    return None if heap is None or heap.defects() else heap


def add_facts(error: EmulatorError, machine: Machine, console: str) -> None:
    """Note in an error where the kernel stood and what it printed."""
    error.add_note("\n".join([*backtrace_lines(machine), *(last_lines(console) if console else [])]))


def do_nothing() -> None:
    """Nobody waits for output."""
