"""Judges accesses of page zero, linear addresses 0 to 0xfff: which ones went through a null pointer.

Theory. A PC has RAM there, so that a null pointer is followed without a fault. But kernels use the page on purpose, too, and those show
it. What is taken for purpose:

- the kernel's image lies there, its profile says so, or the CPU's tables do; or code of real mode or virtual-8086 mode had to do with the
  page after the allocator came up: then nothing is said of the page;
- what had accessed the page before the allocator came up may do so for ever: an instruction, or, where that is in a function that
  accesses what its callers name, such as memset(), the call of that;
- a block that an allocator handed out lies there;
- a pointer that is not near null: from `_NEAR` up lie the BIOS's data, and what a boot loader left.

An access that faulted counts where the kernel did not come back from that: a handler may map the page, or expect the fault.

Shortcomings. A null pointer with an offset that is the address of BIOS data is taken for purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.check.findings import CallSite, Finding, Kind, with_rest
from emulator.errors import GuestException
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.core.core_types import Access
from emulator.run.ending import How
from emulator.x86 import LONGEST_INSTRUCTION, PAGE_SIZE, Vector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.guest.symbolizer import Frame
    from emulator.loader.image import KernelImage
    from emulator.machine.code.instructions import MemoryOperand
    from emulator.machine.core.observed import NullAccess, PageZero
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.run.ending import Ending
    from emulator.trace.trace import Trace

MOST_FINDINGS: Final = 16

_NEAR: Final = 0x400
_BIOS_DATA: Final = range(0x400, 0x500)
_SEGMENTS_OF_THREADS: Final = ("fs", "gs")  # a stack protector reads %gs:0x14
_LONGEST_OPERAND: Final = 16  # bytes
_VECTORS_OF_RESET: Final = (0, 0x3FF)  # base and limit
_VERBS: Final = {Access.READ: "read of", Access.WRITE: "write to", Access.FETCH: "jump to"}


class NullUse(NamedTuple):
    """Accesses through a null pointer from one place in the kernel's code.

    Attributes:
        address: Linear, of the first one.
        access: How, the first time.
        event: The last event before the first one.
        frames: The frame of the instruction, and those of the calls around it; of a jump only the latter.
        times: How many there were.
    """

    address: int
    access: Access
    event: int
    frames: tuple[Frame, ...]
    times: int

    def __str__(self) -> str:
        """Return what was done: ``write to 0x00000004 through a null pointer``."""
        return f"{_VERBS[self.access]} 0x{self.address:08x} through a null pointer"


def can_guard(image: KernelImage, profile: Profile | None) -> bool:
    """Return whether accesses of page zero can be mistakes: no part of the kernel's image lies there, nor does its profile say so."""
    is_used = profile is not None and profile.uses_page_zero
    return not is_used and all(min(each.physical, each.virtual) >= PAGE_SIZE for each in image.segments)


def null_uses(
    machine: Machine, accesses: Iterable[NullAccess], learned: Iterable[NullAccess]
) -> list[NullUse]:
    """Return the accesses of page zero that went through a null pointer, in order of the first ones.

    Args:
        machine: The machine, after them.
        accesses: The accesses.
        learned: Those that were made on purpose.
    """
    symbolizer = Symbolizer(machine.image)
    on_purpose = {_place(symbolizer, access) for access in learned}
    uses: dict[tuple[int, ...], NullUse] = {}
    for access in accesses:
        address, is_null = _followed(machine, access)
        place = _place(symbolizer, access)
        if not is_null or place in on_purpose or _comes_after_jump(access, uses):
            continue
        eip, callers = access.registers.eip, access.callers
        is_jump = access.access is Access.FETCH
        frames = symbolizer.callers(callers) if is_jump else symbolizer.backtrace(eip, callers)
        first = uses.setdefault(place, NullUse(address, access.access, access.event, frames, 0))
        uses[place] = first._replace(times=first.times + access.times)
    return list(uses.values())


def fault_in_hand(machine: Machine, seen: PageZero, ending: Ending) -> NullUse | None:
    """Return the access of page zero whose page fault the kernel did not come back from; None: there is none."""
    access = seen.fault
    if access is None:
        return None
    if ending.how is How.STOPPED:
        died = isinstance(ending.error, GuestException) and ending.error.vector == Vector.PAGE_FAULT
        is_in_hand = died and ending.eip == access.registers.eip
    else:
        fault = machine.fault_in_hand()
        is_in_hand = fault is not None and (fault.vector, fault.eip) == (
            Vector.PAGE_FAULT,
            access.registers.eip,
        )
    return next(iter(null_uses(machine, [access], ())), None) if is_in_hand else None


def is_used_on_purpose(machine: Machine, seen: PageZero, event: int) -> bool:
    """Return whether the kernel uses page zero as a whole.

    Args:
        machine: The machine, as the run left it.
        seen: The accesses of page zero.
        event: The event at which its allocator came up.
    """
    registers = machine.registers()
    vectors = (registers.idt_base, registers.idt_limit)
    tables = (
        [registers.gdt_base] if vectors == _VECTORS_OF_RESET else [registers.gdt_base, registers.idt_base]
    )
    early = (access.registers for access in seen.accesses if access.event < event)
    return (
        seen.has_tables
        or min(tables) < PAGE_SIZE
        or (seen.old_modes is not None and seen.old_modes >= event)
        or any(0 < registers.on_stack(registers.esp) <= PAGE_SIZE for registers in early)
    )


def came_up(trace: Trace) -> int | None:
    """Return the event at which the first call that allocates had returned; None: none has."""
    codes = [code for code, function in enumerate(trace.functions) if function.role.makes_block]
    event = None
    for chunk in trace.calls.chunks:
        if event is not None and chunk.columns["entered"][0] > event:
            break
        left = chunk.columns["left"][np.isin(chunk.columns["function"], codes)]
        event = min((*left[left != 0].tolist(), *([] if event is None else [event])), default=None)
    return event


def null_accesses(machine: Machine, seen: PageZero, trace: Trace, ending: Ending) -> list[Finding] | None:
    """Return a finding for each place in the kernel's code from which page zero was accessed through a null pointer.

    Args:
        machine: The machine, as the run left it.
        seen: The accesses of page zero.
        trace: Of the run, from its beginning.
        ending: How the run ended.

    Returns:
        None: nothing can be said, for the kernel uses the page, or no allocator came up.
    """
    event = came_up(trace)
    if event is None:
        return None
    if is_used_on_purpose(machine, seen, event):
        return None
    learned = [access for access in seen.accesses if access.event < event]
    later = seen.accesses[len(learned) :]
    uses = [use for use in null_uses(machine, later, learned) if use.event < _first_block(trace)]
    fault = fault_in_hand(machine, seen, ending)
    if fault is not None:
        uses.append(fault)
    return with_rest([finding_of(use, trace) for use in uses[:MOST_FINDINGS]], len(uses))


def finding_of(use: NullUse, trace: Trace | None) -> Finding:
    """Return a use as a finding.

    Args:
        use: The use.
        trace: Of the run; None: no calls were recorded.
    """
    call_sites = None if trace is None else CallSites(trace)
    inside = None if call_sites is None else call_sites.open_after(use.event)
    function = inside.function if inside is not None else use.frames[0].function if use.frames else ""
    details = [] if trace is None or call_sites is None else [*_failed_before(use, trace, call_sites)]
    if use.times > 1:
        details.append(f"{use.times} accesses like this")
    call_site = CallSite(inside.call if inside is not None else 0, use.event, function, use.frames)
    return Finding(Kind.NULL_ACCESS, "", str(use), call_site, details=tuple(details))


def _first_block(trace: Trace) -> int:
    """Return the event at which a block in page zero was handed out first; one after the last: none was."""
    born = [
        int(event)
        for blocks in map(trace.blocks, trace.areas)
        for event in blocks.born[blocks.address < PAGE_SIZE][:1]
    ]
    return min(born, default=trace.event_count + 1)


def _failed_before(use: NullUse, trace: Trace, call_sites: CallSites) -> Iterator[str]:
    """Yield what is certain of where the pointer came from: the last event was an allocation that failed, in one of these functions."""
    before = call_sites.at(use.event)
    if before is None or not trace.calls.returned[before.call - 1] or not before.backtrace:
        return
    function = trace.functions[int(trace.calls.function[before.call - 1])]
    has_failed = (
        int(trace.calls.left[before.call - 1]) == use.event and not trace.calls.result[before.call - 1]
    )
    caller = before.backtrace[0]
    if (
        function.failure_result == 0
        and has_failed
        and caller.function in {each.function for each in use.frames}
    ):
        yield f"the last recorded call before: #{before.call}, {before.function}, which returned 0 to {caller}"


def _place(symbolizer: Symbolizer, access: NullAccess) -> tuple[int, ...]:
    """Return the place in the kernel's code that an access belongs to."""
    from emulator.check.accesses.code_places import code_place  # most kernels leave the page alone

    return code_place(symbolizer, access.registers.eip, access.callers, access.access)


def _comes_after_jump(access: NullAccess, uses: dict[tuple[int, ...], NullUse]) -> bool:
    """Return whether an access is made by code in page zero, to which a jump has been reported."""
    jumps = any(use.access is Access.FETCH for use in uses.values())
    return jumps and access.registers.pc < PAGE_SIZE


def _followed(machine: Machine, access: NullAccess) -> tuple[int, bool]:
    """Return what an access was of, exactly, and whether a pointer near null led there."""
    if access.access is Access.FETCH:
        return access.linear, True
    from emulator.machine.code.instructions import memory_operands  # as above

    code = machine.read_linear(access.registers.pc, LONGEST_INSTRUCTION)
    for operand in memory_operands(code, access.registers):
        if abs(access.linear - operand.address) < _LONGEST_OPERAND:
            return operand.address, _is_near_null(operand)
    return access.linear, access.linear < _NEAR


def _is_near_null(operand: MemoryOperand) -> bool:
    """Return whether an operand's pointer is near null: its base register, or without one its constant part."""
    if operand.offset in _BIOS_DATA:
        return False
    if operand.base is None:
        return operand.offset < _NEAR and operand.segment not in _SEGMENTS_OF_THREADS
    is_index_pointer = operand.indexed is not None and operand.scale == 1  # either may be the pointer
    return operand.base < _NEAR and not (is_index_pointer and (operand.indexed or 0) >= _NEAR)
