"""Read all that can be shown of a machine at one moment, as plain data."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.dumps import read_dump
from emulator.debug.fields import changed_fields
from emulator.debug.live_blocks import live_areas
from emulator.debug.parked import ParkedVariables
from emulator.debug.points import Breakpoint
from emulator.debug.step.variable_lines import scopes_only, variable_lines
from emulator.debug.threads import threads_of
from emulator.debug.variables import GlobalVariables, Variables
from emulator.errors import KernelMismatch
from emulator.guest.backtrace import backtrace, parked_backtrace
from emulator.guest.disassembler import disassemble
from emulator.guest.locator import Locator
from emulator.guest.memory import physical_of
from emulator.guest.memory_map.reader import read_memory_map
from emulator.guest.tasks import task_reader
from emulator.machine.consoles import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.check.findings import Finding
    from emulator.debug.dumps import DumpRow
    from emulator.debug.fields import FieldChange
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.live_blocks import LiveArea
    from emulator.debug.step.variable_lines import Opens, VariableLine
    from emulator.debug.timeline import Timeline
    from emulator.guest.backtrace import StackFrame
    from emulator.guest.disassembler import CodeLine
    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.guest.tasks import GuestTask
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
        code: The code around EIP, or where *level*, or *thread*, goes on.
        registers: All registers.
        floating: Registers of the FPU's stack that are not empty, by their names.
        is_paged: Whether paging is on.
        pointers: What general registers point to, by name of the register, as far as it is known.
        stops: Addresses of instructions that stop the run, linear.
        stack: The backtrace.
        level: The level of the backtrace that is shown whose variables are shown.
        variables: Of that level.
        threads: The tasks of a kernel whose tasks are known, by the ids of their threads, with the backtraces of those that do not run; else none.
        thread: A task that does not run, whose backtrace is shown in place of that of what runs; None: none is.
        memory_map: What memory is used for.
        areas: The blocks that live, by area of the profile.
        dump: Bytes of the call's block, or around an address that was asked for.
        console: The end of what the kernel wrote so far to COM1, or where it wrote nothing, to port 0xE9.
        bad_accesses: Those that happen before the next event, as far as they are known.
        unknown: See `Timeline`.
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
    floating: Mapping[str, str]
    is_paged: bool
    pointers: dict[str, Location]
    stops: frozenset[int]
    stack: tuple[StackFrame, ...]
    level: int
    variables: tuple[VariableLine, ...]
    threads: Mapping[int, tuple[GuestTask, tuple[StackFrame, ...]]]
    thread: int | None
    memory_map: MemoryMap
    areas: tuple[LiveArea, ...]
    dump: tuple[DumpRow, ...]
    console: str
    bad_accesses: tuple[Finding, ...] = ()
    unknown: str = ""

    @property
    def has_returned(self) -> bool:
        """Whether *event* is the call's exit."""
        return self.call is not None and self.call.left == self.event

    @property
    def at_end(self) -> bool:
        """Whether the machine stands where the run ended."""
        return self.moment.at_end


class Wanted(NamedTuple):
    """What is to be seen where a machine stands.

    Attributes:
        dump_at: The linear address around which bytes are shown; None: the block of the call.
        level: Of the backtrace, whose variables and code are shown.
        thread: Whose backtrace is shown (`emulator.debug.threads`); None: of what runs.
        opens: Which variables are open.
        all_globals: Whether the global variables of all files can be opened.
    """

    dump_at: int | None = None
    level: int = 0
    thread: int | None = None
    opens: Opens = scopes_only
    all_globals: bool = False


WHAT_IS_USUAL: Final = Wanted()


class ViewReader:
    """Reads views of one timeline.

    Args:
        timeline: The run, whose machine is read.

    Attributes:
        locator: Says what lies in that machine's memory.
        globals_: The variables of its kernel.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._machine = timeline.machine
        self.locator = Locator(self._machine)
        self.globals_ = GlobalVariables(self._machine.image)
        try:
            self._tasks = task_reader(self._machine, timeline.profile.tasks)
        except KernelMismatch:  # what the profile names is not there: no task is known
            self._tasks = None

    def read(self, wanted: Wanted = WHAT_IS_USUAL) -> View:
        """Read everything from the machine as it stands. It moves to find out what changed, and comes back.

        Raises:
            Cancelled: `Debugger.cancel` was called; the machine stands somewhere.
        """
        timeline, machine, event = self._timeline, self._machine, self._timeline.event
        changes = timeline.changes()
        moment = timeline.debugger.moment
        stack = backtrace(machine)
        found = changed_fields(changes, self.locator, machine.memory, stack)
        fields = tuple(islice(found, FIELDS_MAX))
        registers = machine.registers()
        threads = {} if self._tasks is None else threads_of(self._tasks)
        view = View(
            moment=moment,
            event=event,
            at_event=timeline.is_at_start or timeline.is_at_event(),
            event_count=timeline.event_count,
            ending=timeline.ending,
            call=timeline.call_of(event),
            is_step=timeline.is_stepped_to,
            fields=fields,
            has_more_fields=next(found, None) is not None,
            code=(),
            registers=registers,
            floating={
                name: value.text()
                for name, value in Variables(machine, self.globals_).all_floating(0).items()
            },
            is_paged=machine.address_space().is_paged,
            pointers=_pointers(machine, self.locator, registers, stack),
            stops=frozenset(_stops(timeline.debugger)),
            stack=stack,
            level=0,
            variables=(),
            threads={
                number: (task, parked_backtrace(machine, task.registers)) for number, task in threads.items()
            },
            thread=None,
            memory_map=read_memory_map(machine, machine.modules),
            areas=_areas(timeline),
            unknown=timeline.unknown,
            dump=(),
            console=_console(timeline),
            bad_accesses=() if moment.at_end else tuple(timeline.bad_accesses.after(event)),
        )
        return self.again(view, wanted)

    def again(self, view: View, wanted: Wanted) -> View:
        """Return the view of the same moment, with what else is wanted now; the machine stands still."""
        variables, thread = Variables(self._machine, self.globals_), None
        levels = len(view.stack)
        chosen = None if wanted.thread is None else view.threads.get(wanted.thread)
        if chosen is not None and not chosen[0].is_running:
            thread, (task, frames) = wanted.thread, chosen
            variables, levels = ParkedVariables(self._machine, self.globals_, task.registers), len(frames)
        level = min(wanted.level, levels - 1)
        at: int | None = None
        if level > 0 and (number := variables.levels[level].number) is not None:
            at = variables.frames[number].address
        elif thread is not None and chosen is not None:
            at = chosen[0].registers.get("eip")
        lines = (
            variable_lines(variables, level, wanted.opens, all_globals=wanted.all_globals) if levels else ()
        )
        return view._replace(
            code=tuple(disassemble(self._machine, _CODE_BEFORE, _CODE_AFTER, at)),
            stops=frozenset(_stops(self._timeline.debugger)),
            level=max(level, 0),
            variables=tuple(lines),
            thread=thread,
            dump=tuple(_dump(self._timeline, wanted.dump_at)),
        )


def _areas(timeline: Timeline) -> tuple[LiveArea, ...]:
    trace = timeline.trace()
    return () if trace is None else tuple(live_areas(trace, timeline.event))


def _stops(debugger: Debugger) -> Iterator[int]:
    for each in debugger.points:
        if isinstance(each, Breakpoint) and each.enabled:
            yield from each.addresses


def _dump(timeline: Timeline, address: int | None) -> Iterator[DumpRow]:
    """Yield the bytes around an address, or of the block of the call at which the machine stands."""
    trace, event = timeline.trace(), timeline.event
    call, size = timeline.call_of(event), 1
    if address is None and trace is not None and call is not None:
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
