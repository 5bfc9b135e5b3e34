"""The run loop: lets the CPU run in parts, and between them moves the clock, lets timers tick and checks budgets."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from emulator.machine.core.call_recorder import EVENTS_MAX
from emulator.machine.core.core_types import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.allocations import Allocations
    from emulator.machine.board.interrupts import Interrupts
    from emulator.machine.core.call_recorder import CallRecorder
    from emulator.machine.core.core_types import Stop
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.handle import Core
    from emulator.machine.faults.diagnosis import Diagnosis
    from emulator.machine.unanswered import Unanswered
    from emulator.machine.until import Until


class Returned(Enum):
    """Why a call of `Machine.run` came back by itself, which may be long before the end of the run.

    Why the CPU stopped meanwhile is a `Reason`; how the whole run ended, with what else can end it, is the
    `emulator.run.ending.Ending` that `emulator.run.to_end.ending_of` makes of an `Outcome`.
    """

    EXIT = "exit"  # through the debug exit device
    RESET = "reset"  # the guest has reset the PC
    OFF = "power off"  # it has switched the power off
    HALTED = "halted"  # hlt with nothing left that could wake the CPU
    SPINS = "spins"  # in a loop that nothing can end
    TEXT = "text"  # the text that `run` was to go on until has appeared
    IDLE = "idle"  # the guest only waits, and `run` was to go on until then
    BAD_ACCESS = "bad access"  # in front of one at which who checks accesses has ended it
    STOP = "stop"  # at a breakpoint, or at the moment that was asked for (`emulator.machine.core.stops`)
    EVENT = "event"  # at the event that `run` was asked to stop at
    ASKED = "asked"  # by `Machine.stop`


class Outcome(NamedTuple):
    """What a call of `Machine.run` returns.

    Attributes:
        exit_code: What QEMU would exit with, (value << 1) | 1; None: the guest wrote nothing to the exit device.
        eip: Of the next instruction.
        instructions: Executed by the run; an exit counts to the end of its translated block.
    """

    ending: Returned
    exit_code: int | None
    eip: int
    instructions: int

    @property
    def exit_value(self) -> int | None:
        """What the kernel wrote to the debug exit device (7 bits); 0 is success."""
        return None if self.exit_code is None else self.exit_code >> 1


class Execution:
    """Runs one machine.

    Args:
        core: Of the machine.
        cpu: What runs.
        interrupts: Their timers of Python's tick between parts of a run.
        calls: Recorded ones, with events at which a run may end.
        allocations: Recorded ones, at which a run may end, or which may return at once.
        diagnosis: Explains stops of the CPU.
        unanswered: Takes accesses to memory in which nothing is.
        until: Returns what looks whether what a run goes on until has happened.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what takes part in a run
        self,
        core: Core,
        cpu: Cpu,
        interrupts: Interrupts,
        calls: CallRecorder,
        allocations: Allocations,
        diagnosis: Diagnosis,
        unanswered: Unanswered,
        until: Callable[[], Until],
    ) -> None:
        self._core = core
        self._cpu = cpu
        self._interrupts = interrupts
        self._calls = calls
        self._allocations = allocations
        self._diagnosis = diagnosis
        self._unanswered = unanswered
        self._make_until = until
        self._until: Until | None = None  # of the run that goes on, if it is to go on until something
        self._waits: Until | None = None  # of the last one that was
        self._stop_asked = False
        self._ended: tuple[Returned, int | None] | None = None
        self._pause: Callable[[], None] | None = None
        self._pause_left = 0  # instructions

    def run(
        self,
        budget: int | None,
        timeout_s: float | None,
        event: int,
        allocation: int,
        *,
        until: str = "",
        until_idle: bool = False,
    ) -> Outcome:
        """Run until the guest exits or halts for good; see `Machine.run`.

        Args:
            budget: In instructions.
            timeout_s: In seconds of the host.
            event: Number of the event to stop at; 0: none.
            allocation: The same, from 1 for the next one.
            until: A text that is to appear; "": none.
            until_idle: Whether the run ends when the guest only waits.
        """
        self._core.check_machine_rests("run()")
        if budget is not None and budget < 0:
            raise ValueError(f"a budget of {budget} instructions")
        if timeout_s is not None and not timeout_s >= 0:
            raise ValueError(f"a budget of {timeout_s:g} seconds")
        if budget == 0:
            raise self._diagnosis.no_budget()
        self._ended = None
        self._stop_asked = False
        last = self._allocations.count + allocation if allocation else 0
        self._calls.stop_at(event)
        self._core.in_run = True
        self._waits = self._waits or (self._make_until() if until or until_idle else None)
        self._until = self._waits if until or until_idle else None
        try:
            if self._until is not None:
                self._until.start(until, idle=until_idle)
            if timeout_s is None:
                return self._run(budget, event, last)
            with self._cpu.time_limit(timeout_s):
                return self._run(budget, event, last)
        finally:
            self._core.in_run = False
            if self._until is not None:
                self._until.end()

    def run_call(self, return_to: int) -> Outcome | None:
        """Run a called function until it returns, without a budget: as `run`, but where nothing has to be done on the way at less cost.

        Accesses of memory in which nothing is are errors.

        Args:
            return_to: Address of the `hlt` that it returns to.

        Returns:
            How the run ended; None: in this `hlt`.
        """
        if self._pause is not None:
            with self._unanswered.refused():
                return self.run(None, None, 0, 0)
        self._ended = self._until = None
        self._stop_asked = False
        self._calls.stop_at(0)
        self._allocations.arm(0)
        self._core.in_run = True
        try:
            executed, stop = self._cpu.run_call(return_to)
            if stop is not None:
                with self._unanswered.refused():
                    return self._run(None, 0, 0, self._after_part(self._diagnosis.count_exactly(stop)))
            self._interrupts.ran(executed)
            self._core.raise_pending()
        finally:
            self._core.in_run = False
        return None

    def _run(self, budget: int | None, event: int, allocation: int, first: Stop | None = None) -> Outcome:
        """Run the CPU part by part.

        Args:
            budget: In instructions.
            event: Number of the one to stop at; 0: none.
            allocation: The same.
            first: How the first part has ended; None: it has not begun.
        """
        executed = 0
        while True:
            left = None if budget is None else budget - executed
            if first is not None:
                stop, first = first, None
            else:
                if self._allocations.settle() and self._calls.event_count == event:
                    return Outcome(Returned.EVENT, None, self._cpu.registers().eip, executed)
                self._allocations.arm(allocation)
                stop = self._run_part(left)
            executed += stop.instructions
            budget_left = left is None or stop.instructions < left
            whole = stop if stop.instructions == executed else stop._replace(instructions=executed)
            outcome = self._go_on(whole, budget_left=budget_left)
            awaited = None
            if self._until is None:
                pass
            elif outcome is None:
                awaited = self._until.look(stop)
            elif outcome.ending in (Returned.HALTED, Returned.SPINS):
                awaited = self._until.halted()
            if awaited is not None:
                return Outcome(Returned(awaited.value), None, self._cpu.registers().eip, executed)
            if outcome is not None and not self._stopped_to_ask(outcome, event, allocation):
                return outcome

    def _run_part(self, budget: int | None) -> Stop:
        """Let the CPU run until something has to be done between two of its runs."""
        limit = None if self._until is None else self._until.limit()
        most = budget if limit is None else limit if budget is None else min(limit, budget)
        stop = self._diagnosis.count_exactly(self._cpu.run(most, self._slice()))
        if stop.reason is Reason.INSTRUCTIONS and most != budget:
            stop = stop._replace(reason=Reason.SLICE)
        return self._after_part(stop)

    def _after_part(self, stop: Stop) -> Stop:
        self._interrupts.ran(stop.instructions)
        self._core.raise_pending()
        self._pause_if_due(stop.instructions)
        return stop

    def _stopped_to_ask(self, outcome: Outcome, event: int, allocation: int) -> bool:
        """Return whether the run stands at an event only because an observer of allocations has to be asked."""
        return (
            outcome.ending is Returned.EVENT
            and self._allocations.stopped_to_ask(allocation)
            and self._calls.event_count != event
        )

    def stop(self) -> None:
        """End the run that goes on, before long; for callbacks."""
        self._stop_asked = True
        self._core.request_stop()

    def end(self, how: Returned, exit_code: int | None = None) -> None:
        """End the run that goes on, as the guest wants it; for devices. What the rest of its block wants does not count."""
        self._ended = self._ended or (how, exit_code)
        self._core.request_stop()

    def pause_after(self, instructions: int, callback: Callable[[], None]) -> None:
        """Call back once; see `Machine.pause_after`."""
        self._pause_left, self._pause = instructions, callback

    def _slice(self) -> int | None:
        return None if self._pause is None else self._pause_left

    def _pause_if_due(self, executed: int) -> None:
        if self._pause is None:
            return
        self._pause_left -= executed
        if self._pause_left <= 0:
            pause, self._pause = self._pause, None
            pause()

    def _go_on(self, stop: Stop, *, budget_left: bool) -> Outcome | None:
        """After a stop of the CPU: how the run ended, or None if it goes on."""
        match stop.reason:
            case Reason.ASKED if self._ended is not None:
                return Outcome(*self._ended, stop.eip, stop.instructions)
            case Reason.HALTED | Reason.SPINS | Reason.EVENT | Reason.STOP | Reason.BAD_ACCESS if (
                self._is_end(stop.reason)
            ):
                return Outcome(Returned[stop.reason.name], None, stop.eip, stop.instructions)
            case Reason.ASKED | Reason.SLICE | Reason.BAD_ACCESS:
                pass
            case Reason.EXCEPTION:
                raise self._diagnosis.undelivered(stop)
            case Reason.UNMAPPED if self._unanswered.take(stop, self._diagnosis.accessed(stop)):
                pass  # the instruction is executed again
            case Reason.INTERRUPTED:
                raise KeyboardInterrupt
            case _:
                raise self._diagnosis.error(stop)
        if not budget_left:
            eip = self._cpu.registers().eip
            raise self._diagnosis.error(stop._replace(reason=Reason.INSTRUCTIONS, eip=eip))
        if self._stop_asked:
            return Outcome(Returned.ASKED, None, self._cpu.registers().eip, stop.instructions)
        return None

    def _is_end(self, reason: Reason) -> bool:
        """Return whether the run ends where the CPU has stopped in one of its own ways."""
        if reason is Reason.BAD_ACCESS:
            return self._core.ends_at_access is not None and self._core.ends_at_access()
        return reason is not Reason.EVENT or self._calls.event_count < EVENTS_MAX
