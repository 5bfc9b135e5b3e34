"""Words for the ways a guest goes wrong: a stop of the CPU, or an interrupt without a handler, becomes an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp, GuestException, GuestStopped, NotEmulated, UnmappedAccess
from emulator.machine.core.core_types import Access, Delivery, DeliveryKind, Reason
from emulator.x86 import EXCEPTION_NAMES, WORD_MAX, Eflags, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.board.interrupts import Attempt
    from emulator.machine.core.core_types import Registers, Stop
    from emulator.machine.linear_memory import LinearMemory


_ACCESS_WORDS = {Access.READ: "read of", Access.WRITE: "write to", Access.FETCH: "fetch from"}
_ACCESS_NAMES = {Access.READ: "read", Access.WRITE: "write", Access.FETCH: "fetch"}

_BY_INSTRUCTION = (Vector.BREAKPOINT, Vector.OVERFLOW)  # int3 and into

_REASONS = {
    Delivery.NO_GATE: "no handler in the IDT",
    Delivery.IDT_ENDS: "the IDT ends before vector {vector}: its limit is 0x{limit:04x}",
    Delivery.IDT_LOST: "the IDT is not mapped: its gate would lie at 0x{at:08x}",
    Delivery.GATE_OFF: "its gate in the IDT is not present",
    Delivery.WRONG_GATE: "its gate in the IDT has type 0x{type:02x}, through which no interrupt goes",
    Delivery.NO_CODE: "its gate in the IDT names 0x{selector:04x}, which is no code segment of ring 0",
    Delivery.NO_RIGHT: "its gate in the IDT is not open to ring {ring}",
    Delivery.NO_STACK: "its frame finds no memory below ESP 0x{esp:08x}",
}
_LACKS = {
    Delivery.OTHER_GATE: "through task gates and 16-bit gates",
    Delivery.OTHER_RING: "from ring {ring}",
    Delivery.V86: "from virtual-8086 mode",
    Delivery.REAL_MODE: "in real mode",
}


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
    address: int,
    failed: Sequence[Attempt],
    registers: Registers,
    memory: LinearMemory,
) -> GuestStopped:
    """Return the error for an interrupt that found no way to a handler.

    Args:
        stop: How the run ended.
        location: Of `stop.eip`, for people.
        address: What a page fault accessed, as exactly as it is known.
        failed: What was tried, see `emulator.machine.board.interrupts.Interrupts`.
        registers: As the guest has left them.
        memory: For the gates of the IDT.
    """
    first, last = failed[0], failed[-1]
    name = interrupt_name(first.vector, first.kind)
    if first.vector == Vector.PAGE_FAULT and first.kind is DeliveryKind.FAULT:
        name += f", {_ACCESS_WORDS[stop.access]} 0x{address:08x}, error code 0x{stop.error_code:x},"
    facts = (stop.eip, location, stop.instructions)
    if not last.delivery.is_lacking:
        error = GuestException(f"triple fault: {name} ({_reason(first, registers, memory)})", *facts)
        error.vector = first.vector
        return error
    if last is not first:
        name = f"{interrupt_name(last.vector, last.kind)} after {name} ({_reason(first, registers, memory)})"
    return NotEmulated(_lack(last, name, registers), *facts)


def _reason(attempt: Attempt, registers: Registers, memory: LinearMemory) -> str:
    """Return why a CPU would not deliver it either."""
    at = registers.idt_base + 8 * attempt.vector & WORD_MAX
    gate = memory.read(at, 8).ljust(8, b"\0")
    return _REASONS[attempt.delivery].format(
        vector=attempt.vector,
        limit=registers.idt_limit,
        at=at,
        type=gate[5] & 0x1F,
        selector=int.from_bytes(gate[2:4], "little"),
        ring=3 if registers.eflags & Eflags.VM else registers.cs & 3,
        esp=registers.esp,
    )


def _lack(attempt: Attempt, name: str, registers: Registers) -> str:
    """Return what kmemu would need to deliver it."""
    if attempt.delivery is Delivery.REAL_MODE and attempt.kind is DeliveryKind.SOFTWARE:
        return f"kmemu has no BIOS: {name} in real mode"
    where = _LACKS[attempt.delivery].format(ring=registers.cs & 3)
    return f"kmemu does not deliver interrupts {where}: {name}"
