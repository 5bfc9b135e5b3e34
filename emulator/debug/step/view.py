"""Read all that can be shown of a machine at one moment, as plain data."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from emulator.debug.dumps import read_dump
from emulator.debug.fields import changed_fields
from emulator.debug.live_blocks import live_areas
from emulator.debug.points import Breakpoint
from emulator.guest.backtrace import backtrace
from emulator.guest.disassembler import disassemble
from emulator.guest.memory import physical_of
from emulator.guest.memory_map.reader import read_memory_map
from emulator.machine.consoles import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.findings import Finding
    from emulator.debug.dumps import DumpRow
    from emulator.debug.fields import FieldChange
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.live_blocks import LiveArea
    from emulator.debug.timeline import Timeline
    from emulator.guest.backtrace import StackFrame
    from emulator.guest.disassembler import CodeLine
    from emulator.guest.locator import Locator
    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.machine.core.core_types import Registers
    from emulator.machine.machine import Machine
    from emulator.replay.moment import Moment
    from emulator.run.ending import Ending
    from emulator.trace.table import Call
    from emulator.trace.trace import Trace
    from kernel_model.audit import Location

FIELDS_MAX = 500
_CODE_BEFORE, _CODE_AFTER = 24, 24  # instructions
_CONSOLE_MAX = 1 << 16  # bytes of its end
_POINTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")


class View(NamedTuple):
    """What can be shown at one moment.

    Attributes:
        moment: Where the machine stands.
        event: The newest event; 0: there was none yet.
        at_event: Whether it has just happened: nothing has been executed since. Before the first instruction that is so of 0.
        event_count: Events of the whole run.
        ending: How the run ended, for people.
        call: The call whose entry or exit *event* is.
        is_step: Whether *fields* are what the step has changed that has led here, and not the call.
        fields: The first `FIELDS_MAX` fields that have been changed.
        has_more_fields: Whether there are more.
        code: The code around EIP.
        registers: All registers.
        pointers: What general registers point to, by name of the register, as far as it is known.
        stops: Addresses of instructions that stop the run, linear.
        stack: The backtrace.
        memory_map: What memory is used for.
        areas: The blocks that live, by area of the profile.
        dump: Bytes of the call's block, or around an address that was asked for.
        console: The end of what the kernel wrote so far to COM1, or where it wrote nothing, to port 0xE9.
        bad_accesses: Those that happen before the next event, as far as they are known.
    """

    moment: Moment
    event: int
    at_event: bool
    event_count: int
    ending: Ending
    call: Call | None
    is_step: bool
    fields: tuple[FieldChange, ...]
    has_more_fields: bool
    code: tuple[CodeLine, ...]
    registers: Registers
    pointers: dict[str, Location]
    stops: frozenset[int]
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

    @property
    def at_end(self) -> bool:
        """Whether the machine stands where the run ended."""
        return self.moment.at_end


def read_view(
    timeline: Timeline, locator: Locator, dump_at: int | None = None, begin: Moment | None = None
) -> View:
    """Read everything from the machine as it stands. It moves to find out what changed, and comes back.

    Args:
        timeline: The run, whose machine is read.
        locator: Says what lies in that machine's memory.
        dump_at: The linear address around which bytes are read; None: the block of the call.
        begin: Where the step began that has led here; None: the call counts.

    Raises:
        Cancelled: `Debugger.cancel` was called; the machine stands somewhere.
    """
    machine, event = timeline.machine, timeline.event
    moment = timeline.debugger.moment
    changes = timeline.changes_of_call() if begin is None else timeline.changes_since(begin)
    stack = backtrace(machine)
    found = changed_fields(changes, locator, machine.memory, stack)
    fields = tuple(islice(found, FIELDS_MAX))
    registers = machine.registers()
    return View(
        moment,
        event,
        timeline.is_at_start or timeline.is_at_event(),
        timeline.event_count,
        timeline.ending,
        timeline.call_of(event),
        begin is not None,
        fields,
        next(found, None) is not None,
        tuple(disassemble(machine, _CODE_BEFORE, _CODE_AFTER)),
        registers,
        _pointers(machine, locator, registers, stack),
        frozenset(_stops(timeline.debugger)),
        stack,
        read_memory_map(machine, machine.modules),
        tuple(live_areas(timeline.trace(), event)),
        tuple(_dump(timeline, dump_at)),
        _console(timeline),
        () if moment.at_end else tuple(timeline.bad_accesses.after(event)),
    )


def _stops(debugger: Debugger) -> Iterator[int]:
    for each in debugger.points:
        if isinstance(each, Breakpoint) and each.enabled:
            yield from each.addresses


def _dump(timeline: Timeline, address: int | None) -> Iterator[DumpRow]:
    """Yield the bytes around an address, or of the block of the call at which the machine stands."""
    trace, event = timeline.trace(), timeline.event
    call, size = timeline.call_of(event), 1
    if address is None and call is not None:
        address = timeline.block_of(call)
        size = 1 if address is None else _size_of_block(trace, event, address)
    if address is not None:
        yield from read_dump(timeline.machine, trace, event, address, size)


def _size_of_block(trace: Trace, event: int, address: int) -> int:
    """Return how large the block at an address is, or the last one was that lay there up to an event; 1: there was none."""
    blocks = (trace.blocks(area) for area in trace.areas)
    at = (each.where((each.address == address) & (each.born <= event)) for each in blocks)
    newest = max(((int(each.born[-1]), int(each.size[-1])) for each in at if len(each.born)), default=(0, 1))
    return newest[1]


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
