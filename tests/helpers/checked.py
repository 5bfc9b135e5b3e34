"""Runs a kernel under recording with the audits of a check, but at other moments, and lets tests change its memory."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from emulator import boot
from emulator.check.structures.kernel_checks import KernelChecks, kernel_checks
from emulator.check.structures.run_audits import RunAudits
from emulator.errors import GuestStopped
from emulator.machine.execution import Ending
from emulator.profile.known import matching_profile
from emulator.replay.engine import Rerun
from emulator.run.recorded import record_trace
from emulator.trace.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.machine.machine import Machine


class Checked(NamedTuple):
    """What a run left.

    Attributes:
        audits_at_rest: Number of audits at which the kernel was at rest.
        finished: It ended the run by itself.
    """

    machine: Machine
    checks: KernelChecks
    trace: Trace
    rerun: Rerun
    audits: RunAudits
    audits_at_rest: int
    finished: bool

    def findings(self) -> list[Finding]:
        """Return what the audits found."""
        return self.audits.findings(self.trace, self.rerun)

    def finding(self) -> Finding:
        """Return the only finding."""
        (finding,) = self.findings()
        return finding


def checked(  # noqa: PLR0913 - all but two have a default
    kernel: str,
    directory: Path,
    *,
    command_line: str = "",
    every: int = 0,
    max_instructions: int | None = None,
    prepare: Callable[[Machine], None] = lambda _machine: None,
    at_end: Callable[[Machine], None] = lambda _machine: None,
) -> Checked:
    """Run a built-in kernel.

    Args:
        kernel: Its name.
        directory: For the trace.
        command_line: For it.
        every: Audit after so many events; 0: after every 50,000 instructions.
        max_instructions: Budget.
        prepare: Changes each machine before it runs.
        at_end: Changes the machine before the last audit.
    """

    def new_machine() -> Machine:
        machine = boot(f"firmware:{kernel}", command_line=command_line)
        prepare(machine)
        return machine

    machine = new_machine()
    profile = matching_profile(machine.image)
    checks = kernel_checks(machine, profile.name)
    assert checks is not None
    audits = RunAudits(machine, checks)
    at_rest = 0
    finished = False

    def audit() -> None:
        nonlocal at_rest
        at_rest += checks.at_rest
        audits.audit()

    def pause() -> None:
        audit()
        machine.pause_after(50_000, pause)

    with record_trace(machine, directory / "run.kmt", profile), suppress(GuestStopped):
        if every:
            event = every
            while machine.run(stop_at_event=event).ending is Ending.EVENT:
                audit()
                event += every
        else:
            pause()
            machine.run(max_instructions=max_instructions)
        finished = True
    at_end(machine)
    audit()
    trace = Trace.read(directory / "run.kmt")
    rerun = Rerun(new_machine, profile, max_instructions)
    return Checked(machine, checks, trace, rerun, audits, at_rest, finished)
