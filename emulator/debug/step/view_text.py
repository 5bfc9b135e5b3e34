"""Write a view as lines, pane by pane. What comes from the kernel is made safe for a terminal here."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from emulator.debug.dumps import FREED, LIVE, OTHER, ROW
from emulator.loader.dwarf.c_types import Encoding
from emulator.report.text.ending import ending_text
from emulator.report.text.findings import finding_lines
from emulator.report.text.frames import frame_text, frame_text_after
from emulator.report.text.memory_map import draw_heap, draw_memory, layer_lines
from emulator.report.text.style import BOLD, DIM, RED, rule
from emulator.wording import ascii_text, counted, printable
from emulator.x86 import WORD_MAX, WORD_SIZE, Eflags
from kernel_model.text import defect_text, location_or_address, location_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.findings import Finding
    from emulator.debug.fields import FieldChange
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.live_blocks import LiveBlock
    from emulator.debug.step.view import View
    from emulator.debug.stop import Stop
    from emulator.debug.writer import Writer
    from emulator.guest.disassembler import CodeLine, Operand
    from emulator.replay.moment import Moment
    from emulator.report.text.style import Style
    from emulator.run.ending import Ending
    from kernel_model.litecore.heap_layout import HeapUsage

_DECIMAL_MAX = 0xFFFF
_BYTES_SHOWN = 8
_BLOCKS_MAX = 200
_NAME_WIDTH = 34
_FLAGS = ("CF", "PF", "AF", "ZF", "SF", "TF", "IF", "DF", "OF")


class Tone(Enum):
    """How a line stands out."""

    PLAIN = ""
    HERE = "here"
    TITLE = "title"
    FAINT = "faint"
    BAD = "bad"


class PaneLine(NamedTuple):
    """One line of a pane.

    Attributes:
        text: Printable, except for the escape sequences of a memory map's colours.
        address: The address that the line is about, for "who wrote this?".
        tone: How it stands out.
        item: What can be chosen: the path of a variable, a level of the backtrace, the id of a thread; None: nothing.
    """

    text: str
    address: int | None = None
    tone: Tone = Tone.PLAIN
    item: tuple[str, ...] | int | None = None


def headline(view: View) -> str:
    """Return where the machine stands, in one line, and which bad access comes next."""
    coming = view.bad_accesses[:1] if view.at_event else ()
    return _place(view) + "".join(f"; next: {printable(each.message)}" for each in coming)


def _place(view: View) -> str:
    if view.at_end:
        return f"the end of the run: {printable(ended_text(view.ending))}"
    if view.at_event and view.call is None:
        return "before the first instruction" + ("" if view.unknown else f"; {view.event_count} events")
    if view.call is None or not view.at_event:
        executed = counted(view.moment.instructions, "instruction", ",")
        event = f"after event {view.event}" if view.event else "before event 1"
        among = "" if view.unknown else f", {event} of {view.event_count}"
        return f"{frame_text(view.stack[0].frame)}; {executed}{among}"
    is_passed = view.call.left == view.call.entered  # a copy inside of another function
    done = "is executed" if is_passed else "has returned" if view.has_returned else "is entered"
    return f"event {view.event} of {view.event_count}: #{view.call.number} {printable(view.call.function)} {done}"


def stop_text(debugger: Debugger, stop: Stop) -> str:
    """Return why a machine has stopped, printable; "" where it is where it was to go, or where that is seen anyway."""
    if stop.point is not None and stop.access is None:
        return f"stop {stop.point.number}"
    if stop.point is not None and stop.access is not None:
        before, after = (
            f"0x{int.from_bytes(each, 'little'):0{2 * len(each)}x}"
            for each in (stop.access.before, stop.access.after)
        )
        done = f"{before} became {after}" if stop.access.is_write else f"{after} was read"
        return f"stop {stop.point.number}: {done} by {frame_text(debugger.image.location(stop.access.pc))}"
    if stop.finding is not None:
        return f"next: {printable(stop.finding.message)}"
    return ""


def moment_text(moment: Moment, event: int) -> str:
    """Return where in its run a machine stands, for people.

    Args:
        moment: Where.
        event: The newest one; 0: there was none yet.
    """
    executed = f"after {counted(moment.instructions, 'instruction')}"
    return f"{executed}, after event {event}" if event else executed


def ended_text(ending: Ending) -> str:
    """Return how a run ended, in one line for people."""
    if ending.error is not None:
        return str(ending.error)
    return ending_text(ending._replace(open_calls=0))


def _change_lines(view: View, style: Style) -> Iterator[PaneLine]:
    """Yield the fields that the last call changed."""
    if not view.fields:
        yield PaneLine(_no_change(view), tone=Tone.FAINT)
        return
    arrow = "→" if style.unicode else "->"
    names = [location_or_address(field.address, field.location) for field in view.fields]
    width = min(max(map(len, names)), _NAME_WIDTH, max(style.width - 26, 12))
    for name, field in zip(names, view.fields, strict=True):
        before, after = (value_text(each, field.encoding) for each in (field.before, field.after))
        more = f"  ({len(field.after)} bytes)" if _is_cut(field) else ""
        yield PaneLine(f"{printable(name):{width}}  {before} {arrow} {after}{more}", field.address)
    if view.has_more_fields:
        yield PaneLine("and more", tone=Tone.FAINT)


def _no_change(view: View) -> str:
    if view.is_step:
        return "nothing"
    if view.unknown:
        return "no step has led here: s goes to the next line, i to the next instruction"
    if not view.at_event and not view.at_end:
        return "between two events: n goes to the next call's return"
    if view.at_end or view.call is None:
        return "no call to look at"
    return "nothing" if view.has_returned else "the call is only entered; n goes to its return"


def _is_cut(field: FieldChange) -> bool:
    return field.encoding is Encoding.BYTES and len(field.after) > _BYTES_SHOWN


def value_text(data: bytes, encoding: Encoding) -> str:
    """Return a scalar's value: numbers decimal while they are small, bytes as bytes."""
    if encoding is Encoding.BYTES or len(data) > 2 * WORD_SIZE:
        shown = data[:_BYTES_SHOWN]
        return f"{shown.hex(' ')} '{ascii_text(shown)}'"
    if encoding is Encoding.SIGNED:
        return str(int.from_bytes(data, "little", signed=True))
    value = int.from_bytes(data, "little")
    if encoding is Encoding.UNSIGNED and value <= _DECIMAL_MAX:
        return str(value)
    return f"0x{value:0{2 * len(data)}x}"


def _code_lines(view: View, style: Style) -> Iterator[PaneLine]:
    """Yield source lines and instructions around EIP; the next one is marked, what it reads and writes stands below it."""
    for line in view.code:
        if not line.code:
            yield PaneLine(printable(line.text), tone=Tone.TITLE)
            continue
        yield _instruction(line, style, stops=line.address + view.registers.cs_base & WORD_MAX in view.stops)
        for operand in line.operands:
            yield PaneLine(f"             {_operand_text(operand)}", operand.address, Tone.FAINT)


def _instruction(line: CodeLine, style: Style, *, stops: bool) -> PaneLine:
    mark = ("▶" if style.unicode else ">") if line.is_next else " "
    stop = ("●" if style.unicode else "*") if stops else " "
    tone = Tone.HERE if line.is_next else Tone.PLAIN
    return PaneLine(f"{mark}{stop}0x{line.address:08x}  {printable(line.text)}", line.address, tone)


def _operand_text(operand: Operand) -> str:
    value = "is not mapped" if operand.value is None else f"= 0x{operand.value:0{2 * operand.size}x}"
    return f"{operand.text} at 0x{operand.address:08x} {value}"


def _register_lines(view: View, _style: Style) -> Iterator[PaneLine]:
    """Yield the registers, a line each, and what they point to."""
    registers = view.registers
    named = {name: location_text(location) for name, location in view.pointers.items()}
    named["eip"] = str(view.stack[0].frame)
    for name in ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip"):
        value: int = getattr(registers, name)
        yield PaneLine(f"{name}  0x{value:08x}  {printable(named.get(name, ''))}".rstrip(), value)
    flags = " ".join(name for name in _FLAGS if registers.eflags & getattr(Eflags, name))
    yield PaneLine(f"efl  0x{registers.eflags:08x}  {flags}".rstrip())
    yield from (PaneLine(f"{name}  {text}") for name, text in view.floating.items())
    for name in ("cr0", "cr2", "cr3"):
        yield PaneLine(f"{name}  0x{getattr(registers, name):08x}", tone=Tone.FAINT)


def _stack_lines(view: View, _style: Style) -> Iterator[PaneLine]:
    """Yield the backtrace, the innermost function first; of a task that does not run, if one is chosen."""
    stack = view.stack
    if view.thread is not None:
        task, stack = view.threads[view.thread]
        yield PaneLine(f"{printable(task.name)}, which does not run", tone=Tone.TITLE)
        if not stack:
            yield PaneLine("where it goes on is not known", tone=Tone.FAINT)
    for number, level in enumerate(stack):
        tone = Tone.HERE if number == view.level else Tone.PLAIN
        yield PaneLine(f"{number}  {frame_text(level.frame)}", level.low, tone, number)


def _variable_lines(view: View, style: Style) -> Iterator[PaneLine]:
    """Yield the variables of a level of the backtrace: `name = value`, and the type."""
    opened, closed = ("▾", "▸") if style.unicode else ("-", "+")
    for each in view.variables:
        mark = " " if each.is_open is None else opened if each.is_open else closed
        indent = "  " * (len(each.path) - 1)
        if len(each.path) == 1:
            yield PaneLine(f"{mark} {each.path[0]}", tone=Tone.TITLE, item=each.path)
        elif each.path:
            kind = f"  ({printable(each.type)})" if each.type else ""
            text = f"{indent}{mark} {printable(each.path[-1])} = {printable(each.text)}{kind}"
            yield PaneLine(text, each.address, item=None if each.is_open is None else each.path)
        else:
            yield PaneLine(f"    {each.text}", tone=Tone.FAINT)
    if not view.variables:
        yield PaneLine("the kernel's file does not name any here", tone=Tone.FAINT)


def _task_lines(view: View, style: Style) -> Iterator[PaneLine]:
    """Yield the present address space, and the tasks, with where those go on that do not run."""
    paging = f"CR3 0x{view.registers.cr3:08x}" if view.is_paged else "paging is off"
    yield PaneLine(f"address space: {paging}", tone=Tone.TITLE)
    for number, (task, stack) in view.threads.items():
        mark = ("▶" if style.unicode else ">") if task.is_running else " "
        level = next(iter(view.stack if task.is_running else stack), None)
        where = "" if level is None else f"  {frame_text(level.frame)}"
        text = f"{mark} {printable(task.name)}: {printable(task.state)}{where}"
        yield PaneLine(text, tone=Tone.HERE if task.is_running else Tone.PLAIN, item=number)
    if not view.threads:
        yield PaneLine("no tasks are known; a profile can say where they are", tone=Tone.FAINT)


def _memory_lines(view: View, style: Style) -> Iterator[PaneLine]:
    """Yield the memory map, the heap, and what is wrong with them."""
    for defect in view.memory_map.defects:
        yield PaneLine(f"damaged: {printable(defect_text(defect))}", tone=Tone.BAD)
    heap = view.memory_map.heap
    if heap is not None:
        yield from map(PaneLine, draw_heap(heap, style))
        yield from _block_lines(heap)
        yield PaneLine("")
    yield from map(PaneLine, draw_memory(view.memory_map, style))
    if view.memory_map.btron is not None:
        yield PaneLine("")
        yield from map(PaneLine, layer_lines(view.memory_map, style))
    for note in view.memory_map.notes:
        yield PaneLine(printable(note), tone=Tone.FAINT)


def _block_lines(heap: HeapUsage) -> Iterator[PaneLine]:
    for block in heap.blocks[:_BLOCKS_MAX]:
        text = f"0x{block.body:08x} {'used' if block.used else 'free'} {block.size:8}"
        yield PaneLine(text, block.body, Tone.PLAIN if block.used else Tone.FAINT)
    if len(heap.blocks) > _BLOCKS_MAX:
        yield PaneLine(f"and {len(heap.blocks) - _BLOCKS_MAX} more blocks", tone=Tone.FAINT)


def _area_lines(view: View, style: Style) -> Iterator[PaneLine]:
    """Yield the live blocks of each area, by address, and who made them."""
    for area in view.areas:
        text = f"{printable(area.name)}: {counted(area.block_count, 'live block', ',')}, {counted(area.size, 'byte', ',')}"
        yield PaneLine(text, tone=Tone.TITLE)
        for block in area.blocks:
            is_new = view.event == block.born
            yield PaneLine(block_text(block, style), block.address, Tone.HERE if is_new else Tone.PLAIN)
        if area.block_count > len(area.blocks):
            yield PaneLine(f"and {area.block_count - len(area.blocks):,} more", tone=Tone.FAINT)
    if view.unknown:
        yield from unknown_lines(view.unknown, style)
    elif not view.areas:
        yield PaneLine("the profile has no area whose blocks are known", tone=Tone.FAINT)


def unknown_lines(unknown: str, style: Style) -> Iterator[PaneLine]:
    """Yield why no allocator is known, in lines that fit."""
    return (PaneLine(line, tone=Tone.FAINT) for line in style.folded(printable(unknown), indent=2))


def block_text(block: LiveBlock, style: Style) -> str:
    """Return a live block and who made it, printable."""
    text = f"0x{block.address:08x} {block.size:>9,}  #{block.call}  "
    return text + ("" if block.owner is None else frame_text_after(block.owner, len(text), style))


_STATES = {LIVE: (".", "in a live block"), FREED: ("F", "freed"), OTHER: (" ", "")}


def _dump_lines(view: View, style: Style) -> Iterator[PaneLine]:
    """Yield the bytes of a dump, and after them a sign for each that says what allocators have made of it."""
    columns = ROW if style.width >= _dump_width(ROW) else ROW // 2
    for row in view.dump:
        for at in range(0, len(row.data), columns):
            data, states = row.data[at : at + columns], row.states[at : at + columns]
            signs = "".join(_STATES[state][0] for state in states)
            text = f"0x{row.address + at:08x}: {data.hex(' '):{3 * columns - 1}}  {signs:{columns}}"
            if len(text) + 2 + columns <= style.width:
                text += f"  {ascii_text(data)}"
            yield PaneLine(text.rstrip(), row.address + at)
    if view.dump:
        meanings = (_STATES[each] for each in (LIVE, FREED))
        yield PaneLine(f"each byte: {', '.join(map(' '.join, meanings))}", tone=Tone.FAINT)
    else:
        yield PaneLine("no block to look at; x shows the bytes at an address", tone=Tone.FAINT)


def _dump_width(columns: int) -> int:
    """Return how wide a line of so many bytes and their signs is."""
    return len("0x00000000: ") + 3 * columns - 1 + 2 + columns


def _console_lines(view: View, _style: Style) -> Iterator[PaneLine]:
    """Yield what the kernel wrote so far."""
    for line in view.console.replace("\r\n", "\n").split("\n"):
        yield PaneLine(printable(line.expandtabs()))


PANES = {
    "changes": ("Changes", _change_lines),
    "code": ("Code", _code_lines),
    "variables": ("Variables", _variable_lines),
    "memory": ("Memory", _memory_lines),
    "blocks": ("Blocks", _area_lines),
    "bytes": ("Bytes", _dump_lines),
    "registers": ("Registers", _register_lines),
    "stack": ("Call stack", _stack_lines),
    "console": ("Console", _console_lines),
    "tasks": ("Tasks", _task_lines),
}
"""Key of a pane -> its title, and what makes its lines."""

_CODES = {Tone.PLAIN: "", Tone.HERE: BOLD, Tone.TITLE: "36", Tone.FAINT: DIM, Tone.BAD: RED}


def view_lines(view: View, style: Style) -> Iterator[str]:
    """Yield all panes of a view, one after the other."""
    yield style.paint(headline(view), BOLD)
    for title, lines_of in PANES.values():
        yield ""
        yield rule(title, style)
        for line in lines_of(view, style):
            yield style.paint(line.text, _CODES[line.tone]).rstrip()


def writer_lines(writer: Writer, bad: Finding | None, style: Style) -> Iterator[str]:
    """Yield the last writer of some bytes; printable.

    Args:
        writer: The writer.
        bad: The bad access that its write is, if it is one.
        style: What is shown.
    """
    before, after = (int.from_bytes(each, "little") for each in (writer.before, writer.after))
    digits = 2 * len(writer.after)
    yield printable(f"0x{writer.address:08x}  {location_or_address(writer.address, writer.location)}")
    when = f"event {writer.event}" if writer.event else counted(writer.instructions, "instruction", ",")
    yield f"0x{before:0{digits}x} became 0x{after:0{digits}x} after {when}"
    yield ""
    yield printable(f"0x{writer.eip:08x}  {writer.text}")
    if writer.source:
        yield printable(writer.source)
    for number, frame in enumerate(writer.backtrace):
        yield f"  {number}  {frame_text(frame)}"
    if bad is not None:
        yield ""
        yield "The write is a bad access:"
        yield from finding_lines([bad], style)
