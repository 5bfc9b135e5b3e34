"""Run a kernel until it ends, in whichever way, and say how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.errors import BadImage, BudgetUsedUp, EmulatorError, GuestStopped, NotEmulated
from emulator.machine.core.call_recorder import EVENTS_MAX
from emulator.machine.execution import Returned
from emulator.run.ending import Activity, Ending, How, Left
from emulator.wording import code_location
from emulator.x86 import Eflags

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame
    from emulator.machine.execution import Outcome
    from emulator.machine.machine import Machine
    from emulator.run.ending import Budget

_AWAITED: Final = {Returned.TEXT: How.TEXT, Returned.IDLE: How.IDLE}
_STANDS: Final = {**_AWAITED, Returned.BAD_ACCESS: How.BAD_ACCESS}  # where it would go on
_ENDED_PC: Final = {Returned.RESET: How.RESET, Returned.OFF: How.OFF}
_AFTER_LAST: Final = (
    How.HALTED,
    How.RESET,
)  # EIP is that of the instruction after the one that ended the run


def run_to_end(machine: Machine, budget: Budget) -> Ending:
    """Run a machine until something ends that, and say what.

    Args:
        machine: Whose guest is to run, from where it stands.
        budget: What the run may take.
    """
    interrupts = machine.interrupts
    started_ns, waited_ns = interrupts.now_ns(), interrupts.waited_ns()
    ending = _run_to_end(machine, budget)
    if ending.how in (How.BUDGET, How.STOPPED, *_AFTER_LAST):
        after_last = ending.how in _AFTER_LAST and not ending.spins
        ending = ending._replace(backtrace=_backtrace(machine, after_last=after_last))
    if ending.how is How.BUDGET:
        share = (interrupts.waited_ns() - waited_ns) / max(1, interrupts.now_ns() - started_ns)
        ending = ending._replace(activity=Activity(share, machine.unanswered.last_read()))
    return ending._replace(
        budget=budget if ending.how in _AWAITED.values() else ending.budget,
        missed=budget.until if ending.by_itself else "",
        lacks=machine.unanswered.lacks(),
    )


def _backtrace(machine: Machine, *, after_last: bool) -> tuple[Frame, ...]:
    from emulator.guest.symbolizer import Symbolizer  # most runs end otherwise
    from emulator.machine.call_stack import prepare_stacks

    eip = machine.registers().eip - after_last  # which may be the last of its function
    try:
        prepare_stacks(machine)
    except BadImage:  # how the run ended matters more
        return (Symbolizer(machine.image).instruction(eip),)
    return Symbolizer(machine.image).backtrace(eip, machine.stacks.callers(eip).return_addresses)


def _run_to_end(machine: Machine, budget: Budget) -> Ending:
    try:
        outcome = machine.run(
            max_instructions=budget.max_instructions,
            timeout_s=budget.timeout_s,
            until=budget.until,
            until_idle=budget.until_idle,
        )
    except (KeyboardInterrupt, EmulatorError) as error:
        return ending_by(machine, budget, error)
    return ending_of(machine, outcome)


def ending_by(machine: Machine, budget: Budget, error: KeyboardInterrupt | EmulatorError) -> Ending:
    """Return the end of a run that an error has ended.

    Args:
        machine: As the run left it.
        budget: What the run might take.
        error: What `Machine.run` has raised.
    """
    if isinstance(error, KeyboardInterrupt):
        return _ended(How.LEFT if isinstance(error, Left) else How.INTERRUPTED, machine, error)
    if isinstance(error, GuestStopped):
        return _stopped(machine, budget, error)
    from emulator.hle.lockstep import Divergence  # only after an error

    return _ended(How.DIVERGED if isinstance(error, Divergence) else How.STOPPED, machine, error)


def ending_of(machine: Machine, outcome: Outcome) -> Ending:
    """Return the end of a run that came back and does not go on.

    Args:
        machine: As the run left it.
        outcome: Why it came back: the kernel exited or halted, it was to end at a bad access, or what it was to go on until has happened.

    Raises:
        ValueError: The run goes on: it only came back because that was asked for.
    """
    eip, instructions = outcome.eip, outcome.instructions
    if outcome.ending is Returned.EXIT:
        return Ending(How.EXIT, outcome.exit_value, eip, instructions=instructions)
    if outcome.ending in _STANDS:
        location = code_location(*machine.image.location(eip))
        open_calls = machine.calls.open_calls
        return Ending(
            _STANDS[outcome.ending],
            eip=eip,
            location=location,
            instructions=instructions,
            open_calls=open_calls,
        )
    spins = outcome.ending is Returned.SPINS
    location = code_location(*machine.image.location(eip - (not spins)))  # of the instruction before
    open_calls = machine.calls.open_calls
    if outcome.ending in _ENDED_PC:
        how = _ENDED_PC[outcome.ending]
        return Ending(how, eip=eip, location=location, instructions=instructions, open_calls=open_calls)
    if outcome.ending is not Returned.HALTED and not spins:
        raise ValueError(f"a run that goes on: {outcome.ending.value}")
    return Ending(
        How.HALTED,
        eip=eip,
        location=location,
        instructions=instructions,
        open_calls=open_calls,
        interrupts_on=bool(machine.registers().eflags & Eflags.IF),
        spins=spins,
    )


def _ended(how: How, machine: Machine, error: BaseException) -> Ending:
    return Ending(how, eip=machine.registers().eip, error=error.with_traceback(None))


def _stopped(machine: Machine, budget: Budget, error: GuestStopped) -> Ending:
    # When no number is left for another event, that is not the kernel's fault.
    is_full = machine.calls.event_count >= EVENTS_MAX - 1 and not isinstance(error, NotEmulated)
    how = How.NOT_EMULATED if isinstance(error, NotEmulated) else How.STOPPED
    if is_full or isinstance(error, BudgetUsedUp):
        how = How.BUDGET
    return Ending(
        how,
        eip=error.eip,
        location=error.location,
        instructions=error.instructions,
        error=error.with_traceback(None),
        budget=budget if how is How.BUDGET else None,
    )
