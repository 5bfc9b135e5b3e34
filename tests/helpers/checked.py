"""A kernel that is recorded and looked at as a check does it, but at other moments, and with a way to meddle."""

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
        looks: How often the kernel was quiet when it was looked at.
        finished: It ended the run by itself.
    """

    machine: Machine
    checks: KernelChecks
    trace: Trace
    rerun: Rerun
    audits: RunAudits
    looks: int
    finished: bool

    def broken(self) -> list[Finding]:
        """Return what the looks found."""
        return self.audits.findings(self.trace, self.rerun)

    def blamed(self) -> Finding:
        """Return the one thing that they found."""
        (finding,) = self.broken()
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
        every: Look after so many events; 0: after every 50,000 instructions.
        max_instructions: Budget.
        prepare: Changes each machine before it runs.
        at_end: Changes the machine before the last look.
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
    looks = 0
    finished = False

    def look() -> None:
        nonlocal looks
        looks += checks.at_rest
        audits.audit()

    def pause() -> None:
        look()
        machine.pause_after(50_000, pause)

    with record_trace(machine, directory / "run.kmt", profile), suppress(GuestStopped):
        if every:
            event = every
            while machine.run(stop_at_event=event).ending is Ending.EVENT:
                look()
                event += every
        else:
            pause()
            machine.run(max_instructions=max_instructions)
        finished = True
    at_end(machine)
    look()
    trace = Trace.read(directory / "run.kmt")
    rerun = Rerun(new_machine, profile, max_instructions)
    return Checked(machine, checks, trace, rerun, audits, looks, finished)
