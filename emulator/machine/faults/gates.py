"""Why a CPU does not get from an interrupt to its handler: what IDT, GDT and TSS say, in words.

Only for runs that have ended. The registers are those with which the guest stood there.

Source: Intel SDM vol. 3A, 6.10 to 6.13 (IDT, gates, error codes), 3.4.5 (descriptors), 7.2 (TSS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.machine.core.core_types import DeliveryKind
from emulator.x86 import WORD_MAX, Eflags, Vector

if TYPE_CHECKING:
    from emulator.machine.core.core_types import Attempt, Registers
    from emulator.machine.linear_memory import LinearMemory

_ENTRY = 8  # bytes of a gate, and of a descriptor
_PRESENT, _TYPE, _IS_SEGMENT, _IS_CODE, _WRITABLE, _CONFORMING = 0x80, 0x1F, 0x10, 0x08, 0x02, 0x04
_TASK_GATE = 0x05
_GATES = (0x06, 0x07, 0x0E, 0x0F)  # interrupt and trap gates, of 16 and 32 bits
_REAL_MODE_LIMIT = 0x3FF
_REAL_MODE_ENTRY = 4  # bytes of a vector
_LOCAL = 4  # bit of a selector: in the LDT
_TSS_32, _TSS_16, _BUSY = 0x09, 0x01, 0x02


class Stacks(NamedTuple):
    """Where a TSS keeps the stack of ring 0: ESP, then SS, both of *size* bytes, from *offset* on."""

    offset: int
    size: int


_STACKS = {_TSS_32: Stacks(4, 4), _TSS_16: Stacks(2, 2)}


def ring_of(registers: Registers) -> int:
    """Return the ring that the guest runs in; virtual-8086 mode is 3, whatever CS holds."""
    return 3 if registers.eflags & Eflags.VM else registers.cs & 3


def reason(attempt: Attempt, registers: Registers, memory: LinearMemory) -> str:
    """Return why a CPU would not deliver an interrupt either, in words."""
    at = registers.idt_base + _ENTRY * attempt.vector & WORD_MAX
    gate = memory.read(at, _ENTRY)
    if (registers.idt_base, registers.idt_limit) == (0, _REAL_MODE_LIMIT):  # as the kernel has found it
        return "no handler in the IDT"
    if registers.idt_limit and _ENTRY * attempt.vector + _ENTRY - 1 > registers.idt_limit:
        return f"the IDT ends before vector {attempt.vector}: its limit is 0x{registers.idt_limit:04x}"
    if registers.idt_limit and len(gate) < _ENTRY:
        return f"the IDT is not mapped: its gate would lie at 0x{at:08x}"
    if not registers.idt_limit or not any(gate):
        return "no handler in the IDT"
    return _gate_reason(attempt, gate, ring_of(registers)) or _target_reason(gate, registers, memory)


def real_mode_reason(attempt: Attempt, registers: Registers, memory: LinearMemory) -> str:
    """Return why a CPU in real mode gets to no handler, in words."""
    at = registers.idt_base + _REAL_MODE_ENTRY * attempt.vector & WORD_MAX
    if _REAL_MODE_ENTRY * attempt.vector + _REAL_MODE_ENTRY - 1 > registers.idt_limit:
        return f"the interrupt vector table ends before it: its limit is 0x{registers.idt_limit:04x}"
    if not any(memory.read(at, _REAL_MODE_ENTRY)):
        return f"its vector at 0x{at:08x} is 0"
    return f"its frame finds no memory below SP 0x{registers.esp & 0xFFFF:04x}"


def _gate_reason(attempt: Attempt, gate: bytes, ring: int) -> str:
    """Return why no interrupt goes through a gate; empty if one may."""
    access = gate[5]
    if access & _TYPE not in (_TASK_GATE, *_GATES):
        return f"its gate in the IDT has type 0x{access & _TYPE:02x}, through which no interrupt goes"
    if attempt.kind is DeliveryKind.SOFTWARE and access >> 5 & 3 < ring:
        return f"its gate in the IDT is not open to ring {ring}"
    return "" if access & _PRESENT else "its gate in the IDT is not present"


def _target_reason(gate: bytes, registers: Registers, memory: LinearMemory) -> str:
    """Return what is wrong with the code and the stack to which a gate leads."""
    selector, ring = int.from_bytes(gate[2:4], "little"), ring_of(registers)
    if gate[5] & _TYPE == _TASK_GATE:
        return f"its task gate in the IDT names 0x{selector:04x}, a task that cannot be switched to"
    code = _descriptor(selector, registers, memory)
    if not _is_code(code, ring):
        return f"its gate in the IDT names 0x{selector:04x}, which is no code segment of ring 0"
    if ring and not code[5] & _CONFORMING:
        return _stack_reason(code[5] >> 5 & 3, registers, memory)
    return f"its frame finds no memory below ESP 0x{registers.esp:08x}"


def lacks_task(attempt: Attempt, registers: Registers, memory: LinearMemory) -> bool:
    """Tell whether an interrupt came in an outer ring, and `ltr` has loaded no TSS that would name a stack."""
    task = _descriptor(registers.tr, registers, memory)[5]
    is_last = attempt.vector == Vector.DOUBLE_FAULT and attempt.kind is DeliveryKind.FAULT
    return not is_last and ring_of(registers) > 0 and task & _TYPE & ~_BUSY not in _STACKS


def _descriptor(selector: int, registers: Registers, memory: LinearMemory) -> bytes:
    """Return what a selector names; zeroes where it names nothing."""
    local = selector & _LOCAL
    base, limit = (
        (registers.ldt_base, registers.ldt_limit) if local else (registers.gdt_base, registers.gdt_limit)
    )
    at = selector & -_ENTRY
    if selector & ~3 == 0 or at + _ENTRY - 1 > limit:
        return bytes(_ENTRY)
    return memory.read(base + at & WORD_MAX, _ENTRY).ljust(_ENTRY, b"\0")


def _is_code(descriptor: bytes, ring: int) -> bool:
    """Tell whether a descriptor is that of a code segment which an interrupt may enter from a ring."""
    access = descriptor[5]
    wanted = _PRESENT | _IS_SEGMENT | _IS_CODE
    return access & wanted == wanted and (access >> 5 & 3) <= ring


def _stack_reason(inner: int, registers: Registers, memory: LinearMemory) -> str:
    """Return what is wrong with the stack that the TSS names for an inner ring."""
    stacks = _STACKS.get(_descriptor(registers.tr, registers, memory)[5] & _TYPE & ~_BUSY)
    if stacks is None:
        return f"the task register holds 0x{registers.tr:04x}, which is no TSS any more"
    at = stacks.offset + inner * 2 * stacks.size
    if at + 2 * stacks.size - 1 > registers.tr_limit:
        return f"the TSS ends before the stack of ring {inner}: its limit is 0x{registers.tr_limit:04x}"
    words = memory.read(registers.tr_base + at & WORD_MAX, 2 * stacks.size)
    if len(words) < 2 * stacks.size:
        return f"the TSS is not mapped: the stack of ring {inner} would lie at 0x{registers.tr_base + at:08x}"
    esp = int.from_bytes(words[: stacks.size], "little")
    selector = int.from_bytes(words[stacks.size : stacks.size + 2], "little")
    stack = _descriptor(selector, registers, memory)[5]
    writable = stack & (_PRESENT | _IS_SEGMENT | _IS_CODE | _WRITABLE) == _PRESENT | _IS_SEGMENT | _WRITABLE
    if not writable or stack >> 5 & 3 != inner or selector & 3 != inner:
        return f"the TSS names the stack segment 0x{selector:04x}, which is none of ring {inner}"
    return f"its frame finds no memory below ESP 0x{esp:08x}, the stack that the TSS names"
