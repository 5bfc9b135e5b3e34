"""Words for the ways a guest goes wrong: a stop of the CPU, or an interrupt without a handler, becomes an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp, GuestException, GuestStopped, NotEmulated, UnmappedAccess
from emulator.machine.core.core_types import Access, DeliveryKind, Reason
from emulator.machine.faults.gates import lacks_task, real_mode_reason, reason, ring_of
from emulator.x86 import EXCEPTION_NAMES, Cr0, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.core_types import Attempt, Registers, Stop
    from emulator.machine.linear_memory import LinearMemory


_ACCESS_WORDS = {Access.READ: "read of", Access.WRITE: "write to", Access.FETCH: "fetch from"}
_ACCESS_NAMES = {Access.READ: "read", Access.WRITE: "write", Access.FETCH: "fetch"}

_BY_INSTRUCTION = (Vector.BREAKPOINT, Vector.OVERFLOW)  # int3 and into


def guest_stopped(stop: Stop, location: str, address: int) -> GuestStopped:
    """Return the error for a run that ended badly.

    Args:
        stop: How it ended.
        location: Of `stop.eip`, for people.
        address: What was accessed, as exactly as it is known.
    """
    facts = (stop.eip, location, stop.instructions)
    match stop.reason:
        case Reason.INSTRUCTIONS:
            return BudgetUsedUp(f"budget of {stop.instructions} instructions used up", *facts)
        case Reason.TIME:
            return BudgetUsedUp("time budget used up", *facts)
        case Reason.UNMAPPED:
            words = _ACCESS_WORDS[stop.access]
            error = UnmappedAccess(f"{words} unmapped physical memory 0x{address:08x}", *facts)
            error.address, error.access = address, _ACCESS_NAMES[stop.access]
            return error
        case _ if stop.problem.startswith("kmemu "):
            return NotEmulated(stop.problem, *facts)
        case _ if "_UNMAPPED" in stop.problem:  # Unicorn's own MMU
            return GuestStopped(f"the CPU gave up: {stop.problem}", *facts)
        case _:
            return NotEmulated(f"the CPU gave up: {stop.problem}", *facts)


def interrupt_name(vector: int, kind: DeliveryKind) -> str:
    """Return the name of an interrupt for people: exceptions have one of their own."""
    is_exception = kind is DeliveryKind.FAULT or (kind is DeliveryKind.SOFTWARE and vector in _BY_INSTRUCTION)
    name = EXCEPTION_NAMES.get(vector) if is_exception else None
    return name or f"interrupt 0x{vector:02x}"


def undelivered(
    stop: Stop,
    location: str,
    failed: Sequence[Attempt],
    registers: Registers,
    memory: LinearMemory,
) -> GuestStopped:
    """Return the error for an interrupt that found no way to a handler.

    Args:
        stop: How the run ended.
        location: Of `stop.eip`, for people.
        failed: What was tried, see `emulator.machine.core.cpu.Cpu.undelivered`.
        registers: As the guest has left them.
        memory: For the gates of the IDT.
    """
    first, last = failed[0], failed[-1]
    name = interrupt_name(first.vector, first.kind)
    if first.vector == Vector.PAGE_FAULT and first.kind is DeliveryKind.FAULT:
        name += f", {_ACCESS_WORDS[stop.access]} 0x{stop.address:08x}, error code 0x{stop.error_code:x},"
    facts = (stop.eip, location, stop.instructions)
    if not registers.cr0 & Cr0.PE:
        problem = f"{name} in real mode has no handler: {real_mode_reason(first, registers, memory)}"
    elif lacks_task(last, registers, memory):
        ring = ring_of(registers)
        problem = (
            f"{name} came in ring {ring}, and the task register was never loaded: its handler has no stack"
        )
    else:
        problem = f"triple fault: {name} ({reason(first, registers, memory)})"
    error = GuestException(problem, *facts)
    error.vector = first.vector
    return error
