"""Read all that can be shown of a machine at one event, as plain data."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from emulator.debug.dumps import read_dump
from emulator.debug.fields import changed_fields
from emulator.debug.live_blocks import live_areas
from emulator.guest.backtrace import backtrace
from emulator.guest.disassembler import disassemble
from emulator.guest.memory import physical_of
from emulator.guest.memory_map.reader import read_memory_map
from emulator.machine.consoles import Console
from emulator.replay.changes import changes_of_last_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.findings import Finding
    from emulator.debug.bad_accesses import BadAccessesOfRun
    from emulator.debug.dumps import DumpRow
    from emulator.debug.fields import FieldChange
    from emulator.debug.live_blocks import LiveArea
    from emulator.guest.backtrace import StackFrame
    from emulator.guest.disassembler import CodeLine
    from emulator.guest.locator import Locator
    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.guest.memory_map.regions import Span
    from emulator.machine.core.core_types import Registers
    from emulator.machine.machine import Machine
    from emulator.replay.timeline import Timeline
    from emulator.run.ending import Ending
    from emulator.trace.table import Call
    from kernel_model.audit import Location

FIELDS_MAX = 500
_CODE_BEFORE, _CODE_AFTER = 24, 24  # instructions
_CONSOLE_MAX = 1 << 16  # bytes of its end
_POINTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")


class View(NamedTuple):
    """What can be shown at one event.

    Attributes:
        event: The event that has just happened; 0 before the first instruction.
        event_count: Events of the whole run.
        at_end: Whether the machine stands where the run ended.
        ending: How the run ended, for people.
        call: The call whose entry or exit *event* is.
        fields: The first `FIELDS_MAX` fields that the call has changed.
        has_more_fields: Whether there are more.
        code: The code around EIP.
        registers: All registers.
        pointers: What general registers point to, by name of the register, as far as it is known.
        stack: The backtrace.
        memory_map: What memory is used for.
        areas: The blocks that live, by area of the profile.
        dump: Bytes of the call's block, or around an address that was asked for.
        console: The end of what the kernel wrote so far to COM1, or where it wrote nothing, to port 0xE9.
        bad_accesses: Those that happen before the next event, as far as they are known.
    """

    event: int
    event_count: int
    at_end: bool
    ending: Ending
    call: Call | None
    fields: tuple[FieldChange, ...]
    has_more_fields: bool
    code: tuple[CodeLine, ...]
    registers: Registers
    pointers: dict[str, Location]
    stack: tuple[StackFrame, ...]
    memory_map: MemoryMap
    areas: tuple[LiveArea, ...]
    dump: tuple[DumpRow, ...]
    console: str
    bad_accesses: tuple[Finding, ...] = ()

    @property
    def has_returned(self) -> bool:
        """Whether *event* is the call's exit."""
        return self.call is not None and self.call.left == self.event


def read_view(
    timeline: Timeline,
    locator: Locator,
    modules: tuple[Span, ...] = (),
    bad_accesses: BadAccessesOfRun | None = None,
    dump_at: int | None = None,
) -> View:
    """Read everything from the machine as it stands. It moves to find out what changed, and comes back.

    Args:
        timeline: The run, whose machine is read.
        locator: Says what lies in that machine's memory.
        modules: Where boot modules lie.
        bad_accesses: Of the whole run; None: they are not known.
        dump_at: The linear address around which bytes are read; None: the block of the call.
    """
    machine, at = timeline.machine, timeline.position
    changes = changes_of_last_call(timeline)
    stack = backtrace(machine)
    found = changed_fields(changes, locator, machine.memory, stack)
    fields = tuple(islice(found, FIELDS_MAX))
    registers = machine.registers()
    return View(
        at.event,
        timeline.event_count,
        at.at_end,
        timeline.ending,
        timeline.call_of(at.event),
        fields,
        next(found, None) is not None,
        tuple(disassemble(machine, _CODE_BEFORE, _CODE_AFTER)),
        registers,
        _pointers(machine, locator, registers, stack),
        stack,
        read_memory_map(machine, modules),
        tuple(live_areas(timeline.trace(), at.event)),
        tuple(_dump(timeline, dump_at)),
        _console(timeline),
        () if bad_accesses is None or at.at_end else tuple(bad_accesses.after(at.event)),
    )


def _dump(timeline: Timeline, address: int | None) -> Iterator[DumpRow]:
    """Yield the bytes around an address, or of the block of the call at which the machine stands."""
    trace, event = timeline.trace(), timeline.position.event
    call, size = timeline.call_of(event), 1
    if address is None and call is not None:
        address = timeline.block_of(call)
        lived = (trace.live(event - at_entry, area) for area in trace.areas for at_entry in (0, 1))
        sizes = (each.size[each.address == address] for each in lived)
        size = max((int(each[0]) for each in sizes if len(each)), default=1)
    if address is not None:
        yield from read_dump(timeline.machine, trace, event, address, size)


def _pointers(
    machine: Machine, locator: Locator, registers: Registers, stack: tuple[StackFrame, ...]
) -> dict[str, Location]:
    found = {}
    for name in _POINTERS:
        value: int = getattr(registers, name)
        physical = physical_of(machine, value)
        if physical is not None and value >= machine.ram.start:
            location = locator.field_at(physical, physical + 1, stack).location
            if location is not None:
                found[name] = location
    return found


def _console(timeline: Timeline) -> str:
    output = timeline.machine.output
    text = output[Console.SERIAL] or output[Console.DEBUG]
    return bytes(text[-_CONSOLE_MAX:]).decode("utf-8", "replace")
