"""Turns accesses that the core has kept into findings: one for each mistake.

Theory. The core keeps one record for each instruction, call stack and reason. A mistake is seen in several of them where

- a loop, or ``rep movs``, goes on over what lies after a block: a redzone, then what is in no block, then a freed one. Records of one
  instruction with one stack and no recorded call in between are one *sweep*, of which the first says what happened;
- one line of the source is called from several places, or is compiled into several instructions. Findings are told apart by the line
  (in functions such as memset() by that of their caller), the kind, and the call stack that allocated the block.

An access of memory that is in no block goes beyond the bounds of the nearest block if one is near; else nothing is known of it but that.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.accesses.code_places import code_place
from emulator.check.accesses.compiled_checks import accessing_instruction
from emulator.check.accesses.fields import Fields
from emulator.check.accesses.meant_writes import MeantWrites
from emulator.check.accesses.shadow_dumps import shadow_dump
from emulator.check.accesses.variables import Variables
from emulator.check.area import Area
from emulator.check.call_sites import CallSites
from emulator.check.findings import BlockHistory, CallSite, Finding, Kind, with_rest
from emulator.guest.disassembler import instruction_text
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.core.core_types import Access
from emulator.machine.core.observed import REDZONE_SIZE, AllocatedBlock, Poison, Use
from emulator.profile.functions import Role
from emulator.wording import address_range, counted
from emulator.x86 import LONGEST_INSTRUCTION, PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.check.accesses.variables import Variable
    from emulator.guest.symbolizer import Frame
    from emulator.machine.core.observed import BadAccess
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace

MOST_FINDINGS: Final = 64

_NEAR: Final = 1024  # bytes
_LONGEST_SWEEP: Final = 4096  # bytes
_AREAS: Final = {
    Poison.STACK: "stack",
    Poison.SCOPE: "stack",
    Poison.RETURN: "stack",
    Poison.BELOW_STACK: "stack",
    Poison.GLOBAL: "globals",
}
_KINDS: Final = {
    Poison.UNINITIALISED: Kind.UNINITIALISED,
    Poison.READ_ONLY: Kind.READ_ONLY,
    Poison.RETURN: Kind.RETURN_WRITE,
    Poison.BELOW_STACK: Kind.BELOW_STACK,
    Poison.STACK: Kind.OUT_OF_BOUNDS,
    Poison.SCOPE: Kind.USE_AFTER_SCOPE,
    Poison.GLOBAL: Kind.OUT_OF_BOUNDS,
}
_SENTENCES: Final = {
    Poison.READ_ONLY: "{}, which the kernel may only read",
    Poison.STACK: "out-of-bounds {}, beside variables on the stack",
    Poison.SCOPE: "use after scope: {}",
    Poison.GLOBAL: "out-of-bounds {}, beside variables in static memory",
}
_VERBS: Final = {
    Access.READ: ("read", "from"),
    Access.WRITE: ("write", "to"),
    Access.FETCH: ("fetch", "from"),
}

_USES: Final = {
    Use.BRANCH: "a branch depends",
    Use.ADDRESS: "an address depends",
    Use.OUTPUT: "what a device gets depends",
}


class Mistake(NamedTuple):
    """A mistake, and what shows it.

    Attributes:
        finding: What is said of it.
        accesses: The bad accesses that it is, in order of the first ones.
    """

    finding: Finding
    accesses: tuple[BadAccess, ...]


class _Sweep(NamedTuple):
    """Records of one instruction with one call stack that belong together.

    Attributes:
        accesses: The records, in order of the first accesses.
    """

    accesses: tuple[BadAccess, ...]

    @property
    def first(self) -> BadAccess:
        """The first of them."""
        return self.accesses[0]

    @property
    def times(self) -> int:
        """How many accesses they are."""
        return sum(each.times for each in self.accesses)


class _Gift(NamedTuple):
    """Memory that an allocator has to hand out.

    Attributes:
        area: Its area.
        call: That has given the memory to it last.
        address: Of the byte that was accessed, as the call names the memory: linear or physical.
    """

    area: Area
    call: int
    address: int


def bad_accesses(machine: Machine, accesses: Iterable[BadAccess], trace: Trace) -> list[Finding]:
    """Return a finding for each mistake, in order of the first accesses.

    Args:
        machine: The machine that ran; its memory still holds the code.
        accesses: In order of the first ones.
        trace: Of the run.
    """
    return [each.finding for each in mistakes(machine, accesses, trace)]


def mistakes(machine: Machine, accesses: Iterable[BadAccess], trace: Trace) -> list[Mistake]:
    """Return each mistake, as `bad_accesses` does, with its accesses."""
    reader = _Reader(machine, trace)
    unmeant = MeantWrites(machine, trace).left_out(accesses)
    certain = [reader.of_living(access) for access in unmeant if not reader.may_be_in_block(access)]
    groups: dict[tuple[object, ...], list[_Sweep]] = {}
    for sweep in _sweeps(certain):
        groups.setdefault(reader.mistake(sweep.first), []).append(sweep)
    shown = list(groups.values())[:MOST_FINDINGS]
    found = with_rest([reader.finding(group) for group in shown], len(groups))
    records = (tuple(access for sweep in group for access in sweep.accesses) for group in shown)
    return [Mistake(*each) for each in zip(found, records, strict=True)]


def _sweeps(accesses: Iterable[BadAccess]) -> list[_Sweep]:
    """Return accesses with those that an instruction made on and on together, in order of the first ones."""
    together: dict[tuple[object, ...], list[list[BadAccess]]] = {}
    for access in accesses:
        key = access.registers.eip, access.callers, access.event, access.access, access.use
        runs = together.setdefault(key, [])
        if runs and abs(access.linear - runs[-1][0].linear) <= _LONGEST_SWEEP:
            runs[-1].append(access)
        else:
            runs.append([access])
    found = [_Sweep(tuple(run)) for runs in together.values() for run in runs]
    return sorted(found, key=lambda each: each.first.time_ns)


class _Reader:
    """Names what the accesses of one run concern.

    Args:
        machine: The machine that ran.
        trace: Of the run.
    """

    def __init__(self, machine: Machine, trace: Trace) -> None:
        self._machine = machine
        self._trace = trace
        self._areas = trace.profile.areas
        self._calls = len(trace)
        self._call_sites = CallSites(trace)
        self._symbolizer = Symbolizer(machine.image)
        self._fields = Fields(machine.image)
        self._variables = Variables(machine)
        self._seeded = [Area(trace, area) for area in self._areas]
        self._unseen_from = cache(lambda area: Area(trace, area).unseen_from(Role.ALLOC, Role.REALLOC))

    def may_be_in_block(self, access: BadAccess) -> bool:
        """Return whether an access may lie in a block of which nothing is known: one that a copy of its allocator inside of another function has made."""
        if access.poison in (Poison.READ_ONLY, Poison.RETURN, Poison.BELOW_STACK):
            return False
        area = self._area(access)
        return any(access.event >= self._unseen_from(each) for each in ([area] if area else self._areas))

    def of_living(self, access: BadAccess) -> BadAccess:
        """Return an access; one of a freed block whose memory another block has now, beside that, as one beyond the bounds of the other.

        That is what is left of the freed block where its memory was handed out again for a smaller one, or where it was made smaller in place.
        """
        block = access.block
        if block is None or access.poison is not Poison.FREED:
            return access
        blocks = self._trace.live(access.event, self._areas[block.area])
        bad = block.start + access.distance
        start, size = blocks.address.astype(np.int64), blocks.size.astype(np.int64)
        is_reused = (start < block.start + block.size) & (start + size > block.start)
        is_beside = (start - REDZONE_SIZE <= bad) & (bad < start + size + REDZONE_SIZE)
        rows = np.flatnonzero(is_reused & is_beside & (blocks.born_call != block.birth))
        if not len(rows):
            return access
        row = rows[-1]
        birth = int(blocks.born[row]), int(blocks.born_call[row])
        now = AllocatedBlock(int(start[row]), int(size[row]), block.area, *birth, died=None, death=None)
        return access._replace(block=now, poison=Poison.REDZONE, distance=bad - now.start)

    def mistake(self, access: BadAccess) -> tuple[object, ...]:
        """Return what tells mistakes apart."""
        place = code_place(self._symbolizer, access.registers.eip, access.callers, access.access)
        if access.access is Access.FETCH:
            lines = _lines(self._symbolizer.callers(place))
        else:
            of_callers = tuple(self._symbolizer.instruction(each).function for each in place[:-1])
            caller = self._symbolizer.caller if of_callers else self._symbolizer.backtrace
            lines = (*of_callers, *_lines(self._with_line(access, caller(place[-1]))))
        history = self._history(access)
        born = None if history is None else _lines(history.allocated.backtrace)
        return lines, _kind(access), self._area(access), born

    def _with_line(self, access: BadAccess, frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
        """Return frames; where a value is used by an instruction of no line, as compilers make one of several, that which has read the value."""
        read = self._symbolizer.backtrace(access.read_at, ()) if access.use and not frames[0].line else ()
        return read if read and read[0].function == frames[0].function else frames

    def finding(self, group: Sequence[_Sweep]) -> Finding:
        """Return the finding that a group of accesses is, which are one mistake; the first of them stands for all."""
        access = group[0].first
        eip, callers = access.registers.eip, access.callers
        is_jump = access.access is Access.FETCH
        variable = self._variables.of(access)
        frames = self._symbolizer.callers(callers) if is_jump else self._symbolizer.backtrace(eip, callers)
        history = self._history(access)
        return Finding(
            _kind(access),
            self._area(access),
            self._message(access, variable),
            CallSite(0, access.event, frames[0].function if frames else "", frames),
            history,
            hex_dump=shadow_dump(access),
            details=tuple(self._details(group, history, variable)),
        )

    def _message(self, access: BadAccess, variable: Variable | None) -> str:
        if access.poison is Poison.RETURN:
            owner = self._symbolizer.instruction(access.owner).function
            return f"{_done(access)}, over the return address of {owner or f'0x{access.owner:08x}'}"
        gift = self._gift(access)
        if gift is not None and self._is_unused_page(access, gift):
            return f"{_done(access)}, in a page that {gift.area.name} has never handed out"
        return _message(access) if variable is None else _message_of_variable(access, variable)

    def _read(self, linear: int) -> Iterator[str]:
        """Yield where a value was read."""
        code = self._machine.read_linear(linear, LONGEST_INSTRUCTION)
        yield f"read by {instruction_text(code, linear)} at 0x{linear:08x}, {self._symbolizer.instruction(linear)}"

    def _area(self, access: BadAccess) -> str:
        if access.poison in _AREAS:
            return _AREAS[access.poison]
        if access.block is not None:
            return self._areas[access.block.area]
        gift = self._gift(access)
        return "" if gift is None else gift.area.name

    def _gift(self, access: BadAccess) -> _Gift | None:
        """Return whose memory it is that no block has, far from any; None: that is not the case, or not known."""
        if access.poison is not Poison.GAP or _kind(access) is not Kind.UNALLOCATED:
            return None
        for start in (access.linear, access.physical):
            address = start + access.offset
            gifts = [_Gift(area, area.given_by(address, access.event), address) for area in self._seeded]
            found = max((each for each in gifts if each.call), key=lambda each: each.call, default=None)
            if found is not None:
                return found
        return None

    def _is_unused_page(self, access: BadAccess, gift: _Gift) -> bool:
        """Return whether an allocator of pages has never handed out the page of an access."""
        page = gift.address & -PAGE_SIZE
        return gift.area.pages and not gift.area.has_had(page, page + PAGE_SIZE, access.event)

    def _history(self, access: BadAccess) -> BlockHistory | None:
        """Return the life of the block that an access concerns; None where none is known."""
        block = access.block
        if block is None or not 0 < block.birth <= self._calls:
            return None
        freed = self._call_sites.entry(block.death) if block.death else None
        return BlockHistory(block.start, block.size, self._call_sites.exit(block.birth), freed)

    def _read_only(self, address: int) -> str:
        """Return what lies at an address of code or constants: ``code of kmain+0x10 (main.c:12)``, ``constant digits+0x3``."""
        if any(address in section for section in self._machine.image.code_sections):
            return f"it is code of {self._symbolizer.instruction(address)}"
        for symbol in self._machine.image.symbols.values():
            if symbol.kind == "object" and 0 <= address - symbol.address < symbol.size:
                return f"it is the constant {symbol.name}+0x{address - symbol.address:x}"
        return "it is a constant, or part of one"

    def _memory(self, access: BadAccess) -> Iterator[str]:
        """Yield what the memory is that was accessed, where it is no block's and no variable's."""
        gift = self._gift(access)
        if gift is not None:
            start, end = (gift.area.argument(gift.call, name) for name in ("start", "end"))
            given = f"call #{gift.call}, {gift.area.function(gift.call).name}"
            yield f"{gift.area.name} got {address_range(start, end)} by {given}"
        if access.poison is Poison.RETURN:
            to = self._symbolizer.caller(access.variables)
            yield f"the return address at 0x{access.frame:08x} leads to {to[0] if to else f'0x{access.variables:08x}'}"
        if access.poison is Poison.READ_ONLY:
            yield self._read_only(access.linear + access.offset)

    def _details(
        self, group: Sequence[_Sweep], history: BlockHistory | None, variable: Variable | None
    ) -> Iterator[str]:
        access = group[0].first
        if access.access is not Access.FETCH:
            eip = accessing_instruction(self._machine, access)
            code = self._machine.read_linear(access.registers.cs_base + eip, LONGEST_INSTRUCTION)
            yield f"by {instruction_text(code, eip)} at 0x{eip:08x}"
        if access.use:
            yield from self._read(access.read_at)
        if history is not None:
            block = address_range(history.address, history.address + history.size)
            yield f"block #{history.allocated.call} is {block}"
            field = self._fields.text(history, access.distance)
            if field:
                yield field
        yield from self._memory(access)
        if variable is not None:
            extent = address_range(variable.address, variable.address + variable.size)
            if access.poison is Poison.RETURN:
                where = _position(access.linear - variable.address, access.size, variable.size)
                yield f"{where} {variable.name}{_of_size(variable.size)}, {extent}, {variable.place}"
            else:
                yield f"{variable.name} is {extent}, {variable.place}"
        times = sum(each.times for each in group)
        if times > 1:
            stacks = len({(each.first.registers.eip, each.first.callers) for each in group})
            how = f", from {stacks} call stacks" if stacks > 1 else ""
            yield f"{times} {'uses' if access.use else 'accesses'} like this{how}"


def _lines(frames: Sequence[Frame]) -> tuple[object, ...]:
    """Return frames as lines of source; where these are not known, as addresses."""
    return tuple(
        (each.function, each.file, each.line) if each.line else (each.function, each.address)
        for each in frames
    )


def _kind(access: BadAccess) -> Kind:
    block = access.block
    if access.poison in _KINDS:
        return _KINDS[access.poison]
    if access.poison is Poison.FREED and not _is_beside_living(access):
        return Kind.USE_AFTER_FREE
    if block is None:
        return Kind.UNALLOCATED
    if access.poison is Poison.GAP and not -_NEAR <= access.distance < block.size + _NEAR:
        return Kind.UNALLOCATED
    is_inside = 0 <= access.distance < block.size
    return Kind.USE_AFTER_FREE if block.died is not None and is_inside else Kind.OUT_OF_BOUNDS


def _is_beside_living(access: BadAccess) -> bool:
    """Return whether the byte lies right before or after a block that lives: nothing is known any more of what was freed there."""
    block = access.block
    return (
        block is not None
        and block.died is None
        and -REDZONE_SIZE <= access.distance < block.size + REDZONE_SIZE
    )


def _message(access: BadAccess) -> str:
    """Return what was done, to what: ``out-of-bounds write of 1 byte to 0x0010b020, 0 bytes after a block of 24 bytes``."""
    kind = _kind(access)
    if kind is Kind.UNINITIALISED:
        return _USES[access.use] + _of_what(access)
    done = _done(access)
    if kind is Kind.BELOW_STACK:
        return f"{done}, {counted(access.frame - access.linear, 'byte')} below ESP, which an interrupt overwrites"
    block = access.block
    first = access.distance - access.offset  # from the block's start to the first byte that was accessed
    where = (
        ""
        if block is None
        else f", {_position(first, access.size, block.size)} a {{}}block{_of_size(block.size)}"
    )
    if access.poison in _SENTENCES:
        return _SENTENCES[access.poison].format(done)
    if kind is Kind.UNALLOCATED:
        return f"{done}, which is in no block{where.format('')}"
    if kind is Kind.USE_AFTER_FREE:
        return f"use after free: {done}{where.format('freed ' if block and block.died else '')}"
    return f"out-of-bounds {done}{where.format('')}"


def _of_what(access: BadAccess) -> str:
    if access.block is None:
        return " on what a block held that was never written"
    inside = f"{counted(access.distance, 'byte')} inside a block{_of_size(access.block.size)}"
    return f" on 0x{access.linear:08x}, {inside}, which was never written"


def _message_of_variable(access: BadAccess, variable: Variable) -> str:
    """Return what was done, to which variable: ``out-of-bounds write of 1 byte to 0x0010fe50, 0 bytes after name of 16 bytes``."""
    where = _position(access.linear - variable.address, access.size, variable.size)
    known = f"{where} {variable.name}{_of_size(variable.size)}"
    if access.poison is Poison.SCOPE:
        return f"use after scope: {_done(access)}, {known}"
    return f"out-of-bounds {_done(access)}, {known}"


def _done(access: BadAccess) -> str:
    verb, preposition = _VERBS[access.access]
    return f"{verb} of {counted(access.size, 'byte')} {preposition} 0x{access.linear:08x}"


def _of_size(size: int) -> str:
    return f" of {counted(size, 'byte')}" if size else ""


def _position(first: int, accessed: int, size: int) -> str:
    """Return where an access lies in relation to a block: ``4 bytes before``, ``across the end of``, ``8 bytes inside``, ``0 bytes after``.

    Args:
        first: From the block's start to the first byte that was accessed.
        accessed: How many bytes were.
        size: Of the block.
    """
    if first < 0:
        return "across the start of" if first + accessed > 0 else f"{counted(-first, 'byte')} before"
    if first >= size:
        return f"{counted(first - size, 'byte')} after"
    return f"{counted(first, 'byte')} inside" if first + accessed <= size else "across the end of"
