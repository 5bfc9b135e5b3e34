"""A kernel that is recorded, and whose structures are looked at on the way."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from emulator import boot
from emulator.check.blame import Seen, blame
from emulator.check.rerun import Rerun
from emulator.check.state import StateChecks, state_checks
from emulator.errors import GuestStopped
from emulator.loader.known_profiles import matching_profile
from emulator.machine.machine import Ending
from emulator.trace.recorder import record_trace
from emulator.trace.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.machine.machine import Machine


class Checked(NamedTuple):
    """What a run left.

    Attributes:
        seen: The first broken structures that were met.
        looks: How often the kernel was quiet when it was looked at.
        finished: It ended the run by itself.
    """

    machine: Machine
    checks: StateChecks
    trace: Trace
    rerun: Rerun
    seen: Seen | None
    looks: int
    finished: bool

    def blamed(self) -> Finding:
        assert self.seen is not None
        return blame(self.rerun, self.seen, self.trace)


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
    checks = state_checks(machine, profile.name)
    assert checks is not None
    watch = _Watch(machine, checks)
    finished = False
    with record_trace(machine, directory / "run.kmt", profile), suppress(GuestStopped):
        if every:
            watch.step(every)
        else:
            watch.pause()
            machine.run(max_instructions=max_instructions)
        finished = True
    at_end(machine)
    watch.look()
    trace = Trace.read(directory / "run.kmt")
    rerun = Rerun(new_machine, profile, max_instructions)
    return Checked(machine, checks, trace, rerun, watch.seen, watch.looks, finished)


class _Watch:
    def __init__(self, machine: Machine, checks: StateChecks) -> None:
        self._machine = machine
        self._checks = checks
        self._sound = 0
        self.looks = 0
        self.seen: Seen | None = None

    def look(self) -> None:
        defects = self._checks.look()
        quiet = self._checks.quiet
        self.looks += quiet
        event = self._machine.cpu.event_count()
        if defects and self.seen is None:
            self.seen = Seen(self._sound, event, defects)
        elif quiet and self.seen is None:
            self._sound = event

    def pause(self) -> None:
        self.look()
        self._machine.pause_after(50_000, self.pause)

    def step(self, every: int) -> None:
        event = every
        while self._machine.run(stop_at_event=event).ending is Ending.EVENT:
            self.look()
            event += every
