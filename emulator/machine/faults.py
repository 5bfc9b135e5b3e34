"""Words for the ways a guest goes wrong.

The core knows of an access only its page (Unicorn's TLB fill is not told more); the faulting instruction's operands
give the exact address. This is the path of errors, so capstone is imported here only.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp, GuestException, GuestStopped, NotEmulated, UnmappedAccess
from emulator.machine.core_types import Access, Delivery, DeliveryKind, Reason
from emulator.x86 import EXCEPTION_NAMES, LONGEST_INSTRUCTION, PAGE_SIZE, WORD_MAX, Eflags, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from capstone import Cs

    from emulator.machine.core_types import Registers, Stop
    from emulator.machine.cpu import Cpu
    from emulator.machine.interrupts import Attempt

    class GuestState(Protocol):
        """What the words for a fault need of a machine."""

        cpu: Cpu

        def read_linear(self, address: int, size: int) -> bytes:
            """See `emulator.machine.machine.Machine`."""


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


def exact_address(code: bytes, registers: Registers, page: int, access: Access) -> int:
    """The address that an instruction accesses in a page.

    Args:
        code: The instruction's bytes (and what follows).
        registers: At the instruction.
        page: Address of the page that the access faulted in.
        access: How it was accessed.

    Returns:
        The exact address if the instruction's own address, an operand or the stack pointer leads into that page; else
        *page* (as for the second page of an access across a page's end).
    """
    if access is Access.FETCH:
        candidates = [registers.pc]
    else:
        stack = registers.on_stack(registers.esp if access is Access.READ else registers.esp - 4)
        matching, others = _operand_addresses(code, registers, access)
        candidates = [*matching, stack, *others]
    return next((each for each in candidates if each & -PAGE_SIZE == page), page)


def _operand_addresses(code: bytes, registers: Registers, access: Access) -> tuple[list[int], list[int]]:
    """Addresses of an instruction's memory operands: those accessed so, and the others."""
    from capstone import CS_AC_READ, CS_AC_WRITE, CS_ARCH_X86, CS_MODE_32, CS_OP_MEM, Cs

    disassembler = Cs(CS_ARCH_X86, CS_MODE_32)
    disassembler.detail = True
    wanted = CS_AC_READ if access is Access.READ else CS_AC_WRITE
    matching: list[int] = []
    others: list[int] = []
    for instruction in disassembler.disasm(code[:LONGEST_INSTRUCTION], registers.eip, 1):
        for operand in instruction.operands:
            if operand.type == CS_OP_MEM:
                address = registers.operand_address(instruction, operand.mem)
                (matching if operand.access & wanted else others).append(address)
    return matching, others


def instructions_before(code: bytes, offset: int, count: int) -> int:
    """How many instructions of a block lie in front of one of them.

    Args:
        code: The block's bytes.
        offset: Where that instruction starts.
        count: How many instructions the CPU has seen in the block: that tells code of 16 bits from code of 32 bits.
    """
    starts = min(
        (_instruction_starts(code, bits) for bits in (32, 16)), key=lambda each: abs(len(each) - count)
    )
    return sum(start < offset for start in starts)


def _instruction_starts(code: bytes, bits: int) -> list[int]:
    return [address for address, *_ in _disassembler(bits).disasm_lite(code, 0)]


@cache
def _disassembler(bits: int) -> Cs:
    """Return the one for lengths; a run that is stopped at many events asks often."""
    from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, Cs

    return Cs(CS_ARCH_X86, CS_MODE_32 if bits == 32 else CS_MODE_16)  # noqa: PLR2004 - bits


def guest_stopped(stop: Stop, location: str, address: int) -> GuestStopped:
    """The error for a run that ended badly.

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
    """The name of an interrupt for people: exceptions have one of their own."""
    is_exception = kind is DeliveryKind.FAULT or (kind is DeliveryKind.SOFTWARE and vector in _BY_INSTRUCTION)
    name = EXCEPTION_NAMES.get(vector) if is_exception else None
    return name or f"interrupt 0x{vector:02x}"


def undelivered(
    stop: Stop, location: str, address: int, failed: Sequence[Attempt], machine: GuestState
) -> GuestStopped:
    """The error for an interrupt that found no way to a handler.

    Args:
        stop: How the run ended.
        location: Of `stop.eip`, for people.
        address: What a page fault accessed, as exactly as it is known.
        failed: What was tried, see `emulator.machine.interrupts.Interrupts`.
        machine: For the reasons.
    """
    first, last = failed[0], failed[-1]
    name = interrupt_name(first.vector, first.kind)
    if first.vector == Vector.PAGE_FAULT and first.kind is DeliveryKind.FAULT:
        name += f", {_ACCESS_WORDS[stop.access]} 0x{address:08x}, error code 0x{stop.error_code:x},"
    facts = (stop.eip, location, stop.instructions)
    if not last.delivery.is_lacking:
        error = GuestException(f"triple fault: {name} ({_reason(first, machine)})", *facts)
        error.vector = first.vector
        return error
    if last is not first:
        name = f"{interrupt_name(last.vector, last.kind)} after {name} ({_reason(first, machine)})"
    return NotEmulated(_lack(last, name, machine.cpu.registers()), *facts)


def _reason(attempt: Attempt, machine: GuestState) -> str:
    """Why a CPU would not deliver it either."""
    registers = machine.cpu.registers()
    at = registers.idt_base + 8 * attempt.vector & WORD_MAX
    gate = machine.read_linear(at, 8).ljust(8, b"\0")
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
    """What kmemu would need to deliver it."""
    if attempt.delivery is Delivery.REAL_MODE and attempt.kind is DeliveryKind.SOFTWARE:
        return f"kmemu has no BIOS: {name} in real mode"
    where = _LACKS[attempt.delivery].format(ring=registers.cs & 3)
    return f"kmemu does not deliver interrupts {where}: {name}"
