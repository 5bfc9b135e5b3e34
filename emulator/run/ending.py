"""How a run of a kernel ended: plain facts, worded where they are shown.

Two neighbours are other concepts, and each has one mapping to this one. `emulator.machine.execution.Outcome` says why one call of
`Machine.run` came back, which may be long before the run ends (`emulator.run.to_end.ending_of`). A trace file keeps a
line of text (`emulator.run.recorded`).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame
    from emulator.machine.unanswered import Lack, LastRead


class How(Enum):
    """How a run ended. The values are stable names."""

    EXIT = "exit"  # through the debug exit device
    RESET = "reset"  # the kernel reset the PC
    OFF = "power off"  # the kernel switched the power off
    HALTED = "halted"  # for good
    TEXT = "text"  # the text that it was run for has appeared
    IDLE = "idle"  # the kernel only waits, and it was run until then
    BAD_ACCESS = "bad access"  # it was to end in front of the first one
    BUDGET = "budget used up"
    STOPPED = "stopped"  # the guest could not go on
    NOT_EMULATED = "not emulated"  # it needs what kmemu lacks
    DIVERGED = "diverged"  # model and native code disagreed
    LEFT = "left"  # by who typed, in an interactive run
    INTERRUPTED = "interrupted"  # Ctrl-C, another signal, or somebody who did not want to wait
    NOT_RUN = "not run"  # the kernel could not be loaded


class Left(KeyboardInterrupt):
    """Who types in an interactive run has had enough of it."""


class Budget(NamedTuple):
    """What a run may take, and what ends it well.

    Attributes:
        max_instructions: Of the guest, exact; None: no limit.
        timeout_s: Seconds of the host; None: no limit.
        until: A text on a console or the text screen with which the run ends; "": none.
        until_idle: Whether the run ends when the kernel has done nothing but wait for two seconds of virtual time.
    """

    max_instructions: int | None = None
    timeout_s: float | None = None
    until: str = ""
    until_idle: bool = False


NO_LIMIT: Final = Budget()


class Activity(NamedTuple):
    """What a kernel was doing when its run was ended.

    Attributes:
        waited: Share of the run's virtual time that it was in `hlt`.
        last_read: What it read last that was no RAM; None: nothing.
    """

    waited: float
    last_read: LastRead | None


class Ending(NamedTuple):
    """How a run ended, with what is known of it.

    Attributes:
        exit_value: What the kernel wrote to the exit device; 0 is success. None: nothing.
        eip: Of the next instruction, or of the one that failed.
        location: Of the last instruction, for people; None after an exit through the exit device.
        instructions: Executed; None: not known.
        error: What was raised; None: the kernel ended the run by itself.
        open_calls: Recorded calls that had not returned when the kernel halted.
        budget: The one that was used up, or that had what ended the run.
        missed: The text that the run was to go on until, and that had not appeared when the kernel ended it; "": none.
        interrupts_on: Whether interrupts were on when the kernel halted; None: it did not.
        spins: It halted in a loop that nothing can end, and not in `hlt`.
        lacks: What the kernel accessed that the machine does not have.
        backtrace: Where a run ended by a budget, a halt, a reset or what the kernel did not survive, innermost first.
        activity: What the kernel was doing; None: the run was not ended by a budget.
    """

    how: How
    exit_value: int | None = None
    eip: int | None = None
    location: str | None = None
    instructions: int | None = None
    error: BaseException | None = None
    open_calls: int = 0
    budget: Budget | None = None
    missed: str = ""
    interrupts_on: bool | None = None
    spins: bool = False
    lacks: tuple[Lack, ...] = ()
    backtrace: tuple[Frame, ...] = ()
    activity: Activity | None = None

    @property
    def exit_code(self) -> int | None:
        """What QEMU would exit with."""
        return None if self.exit_value is None else (self.exit_value << 1) | 1

    @property
    def by_itself(self) -> bool:
        """Whether the kernel ended the run: it exited, halted, reset the PC or switched it off."""
        return self.how in (How.EXIT, How.RESET, How.OFF, How.HALTED)

    @property
    def is_whole(self) -> bool:
        """Whether the run has come to its end, after which nothing more is to be expected: the kernel ended it, or what it was run for has happened."""
        return self.by_itself or self.how in (How.TEXT, How.IDLE)

    @property
    def failed(self) -> bool:
        """Whether the kernel could not go on, or ended the run with a bad exit value or a reset."""
        return bool(self.exit_value) or self.how in (How.RESET, How.STOPPED, How.NOT_EMULATED, How.DIVERGED)

    @property
    def problem(self) -> str:
        """What was raised, in one line; "" if nothing was."""
        return "" if self.error is None else "".join(str(self.error).splitlines()[:1])

    @property
    def signal(self) -> str:
        """Name of the signal that interrupted the run; "" after Ctrl-C, or where none did."""
        return str(self.error) if isinstance(self.error, KeyboardInterrupt) else ""
