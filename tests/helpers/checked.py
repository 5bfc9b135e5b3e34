"""Runs a kernel under recording with the audits of a check, but at other moments, and lets tests change its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator import boot
from emulator.check.checked_run import Check
from emulator.machine.execution import Returned
from emulator.profile.known import matching_profile
from emulator.run.ending import Budget
from emulator.run.recorded import record_trace
from emulator.run.to_end import ending_of
from emulator.trace.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.check.structures.kernel_checks import KernelChecks
    from emulator.check.structures.run_audits import RunAudits
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Rerun


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
    check = Check(machine, profile, new_machine)
    checks = check.checks
    assert checks is not None
    at_rest = 0

    def audit() -> None:
        nonlocal at_rest
        at_rest += checks.at_rest
        check.audits.audit()

    def pause() -> None:
        audit()
        machine.pause_after(50_000, pause)

    if every:
        event, path = every, directory / "run.kmt"
        with record_trace(machine, path, profile):
            while (outcome := machine.run(stop_at_event=event)).ending is Returned.EVENT:
                audit()
                event += every
        ending, trace = ending_of(machine, outcome), Trace.read(path)
    else:
        ending, trace = check.record(Budget(max_instructions), lambda _recording: pause())
    at_end(machine)
    audit()
    rerun = check.rerun(ending)
    assert rerun is not None
    return Checked(machine, checks, trace, rerun, check.audits, at_rest, ending.by_itself)
