"""What is said to the client's user besides the protocol: why the machine has stopped, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.debug.live_blocks import live_areas
from emulator.debug.step.view_text import ended_text, moment_text
from emulator.debug.stop import StopKind
from emulator.guest.disassembler import source_text
from emulator.guest.symbolizer import Symbolizer
from emulator.report.text.calls import argument_texts, result_text
from emulator.report.text.findings import finding_lines
from emulator.report.text.frames import frame_text
from emulator.report.text.style import Style
from emulator.wording import counted, printable
from emulator.x86 import EXCEPTION_NAMES, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop
    from emulator.loader.image import KernelImage
    from emulator.replay.newest_write import Write

_BLOCKS_MAX: Final = 100
_BYTES_MAX: Final = 16


def stop_lines(debugger: Debugger, stop: Stop) -> Iterator[str]:
    """Yield why a machine has stopped, where a stop reply does not say it."""
    match stop.kind:
        case StopKind.EVENT:
            yield f"kmemu: {event_text(debugger)}"
        case StopKind.FINDING if stop.finding is not None:
            yield from finding_lines([stop.finding], Style())
        case StopKind.ENDED if stop.ending is not None:
            yield f"kmemu: the run has ended: {printable(ended_text(stop.ending))}"
        case StopKind.EXCEPTION if (fault := debugger.machine.cpu.last_fault()) is not None:
            name = EXCEPTION_NAMES.get(fault.vector, f"exception {fault.vector}")
            yield f"kmemu: {name} at {frame_text(debugger.image.location(fault.eip))}"


def where_text(debugger: Debugger) -> str:
    """Return where a machine stands: in its run, and in its code."""
    moment = debugger.moment
    location = debugger.machine.image.location(debugger.machine.registers().eip)
    at = "at the end of the run, " if moment.at_end else ""
    return f"{at}{moment_text(moment, debugger.event)}: {frame_text(location)}"


def event_text(debugger: Debugger) -> str:
    """Return what the newest event is: ``event 34: kmalloc(13) is entered``, or ``event 35: kmalloc(13) = 0x0010c008``."""
    trace = debugger.trace()
    call = trace[trace.calls.number_at(debugger.event)]
    function = next(each for each in trace.functions if each.name == call.function)
    arguments = ", ".join(argument_texts(function, call.arguments, call.out))
    text = f"event {debugger.event}: {printable(call.function)}({arguments})"
    if call.left != debugger.event:
        return f"{text} is entered"
    result = result_text(function, call.result, call.out, trace.error_names).text
    return f"{text} = {result}" if result else f"{text} returns"


def block_lines(debugger: Debugger) -> Iterator[str]:
    """Yield the live blocks of each area, by address, with who made them."""
    for area in live_areas(debugger.trace(), debugger.event):
        yield f"{printable(area.name)}: {counted(area.block_count, 'live block', ',')}, {counted(area.size, 'byte', ',')}"
        for block in area.blocks[:_BLOCKS_MAX]:
            by = "" if block.owner is None else f"  {frame_text(block.owner)}"
            yield f"  0x{block.address:08x}  {block.size:>10,}  call #{block.call}{by}"
        if area.block_count > _BLOCKS_MAX:
            yield f"  and {area.block_count - _BLOCKS_MAX:,} more"


def write_lines(write: Write | None, address: int, image: KernelImage) -> Iterator[str]:
    """Yield the last write to the bytes at an address; None: there was none."""
    if write is None:
        yield f"nobody has written to 0x{address:08x} since the start"
        return
    before, after = map(_value_text, (write.before, write.after))
    line = image.source_line(write.eip)
    source = "" if line is None else source_text(image, line)
    yield f"0x{address:08x}: {before} became {after}, {moment_text(write.moment, write.event)}"
    yield from (f"  {printable(each)}" for each in (write.text, source) if each)
    for number, frame in enumerate(Symbolizer(image).backtrace(write.eip, write.callers)):
        yield f"  {number}  {frame_text(frame)}"


def _value_text(data: bytes) -> str:
    """Return a word or less as a number, and more as bytes."""
    if len(data) <= WORD_SIZE:
        return f"0x{int.from_bytes(data, 'little'):0{2 * len(data)}x}"
    return data[:_BYTES_MAX].hex(" ") + (" ..." if len(data) > _BYTES_MAX else "")
