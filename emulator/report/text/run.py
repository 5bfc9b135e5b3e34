"""Write the summary of a run as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.memory_map.regions import FRAME_SIZE
from emulator.report.text.ending import budget_text, ending_text, last_act_text
from emulator.report.text.frames import backtrace_text
from emulator.report.text.lacks import lack_lines
from emulator.report.text.memory_map import draw_heap, draw_memory, layer_lines
from emulator.report.text.style import labelled, rule
from emulator.run.ending import How
from emulator.wording import counted, human_size, percent, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.guest.memory_map.spaces import Spaces
    from emulator.report.run_record import RunRecord
    from emulator.report.text.style import Style
    from emulator.run.ending import Ending
    from kernel_model.audit import Defect
    from kernel_model.frames import FrameUsage
    from kernel_model.litecore.heap_layout import HeapUsage

_DEFECTS_SHOWN = 5
_FRAMES_SHOWN = 12


def summary_lines(record: RunRecord, style: Style, *, maps_spaces: bool = False) -> Iterator[str]:
    """Yield the summary, line by line.

    Args:
        record: The run.
        style: What the output can show.
        maps_spaces: Show each address space with its ranges.
    """
    yield ""
    yield rule(printable(record.kernel), style)
    if record.memory_map is not None:
        yield from _map_lines(record.memory_map, style, maps_spaces=maps_spaces)
    yield from _kernel_lines(record, style)
    for line in lack_lines(record.ending.lacks):
        yield from labelled("Lacks", printable(line), style)
    yield from labelled("Ended", printable(_ending_text(record.ending)), style)
    if len(record.ending.backtrace) > 1:
        yield from labelled("Where", backtrace_text(record.ending.backtrace[:_FRAMES_SHOWN]), style)
    yield from labelled("Took", _duration_text(record), style)


def _map_lines(memory_map: MemoryMap, style: Style, *, maps_spaces: bool) -> Iterator[str]:
    yield from draw_memory(memory_map, style)
    yield ""
    if memory_map.heap is not None:
        yield from draw_heap(memory_map.heap, style)
        yield ""
    if maps_spaces:
        yield from _space_map(memory_map.spaces, style)
    yield from layer_lines(memory_map, style)
    if memory_map.bitmap is not None:
        yield from labelled("Frames", _frames_text(memory_map.bitmap), style)
    if memory_map.heap is not None:
        yield from labelled("Heap", _heap_text(memory_map.heap), style)
    if not maps_spaces:
        yield from _space_summary(memory_map.spaces, style)
    for line in _defect_lines(memory_map.defects):
        yield from labelled("", line, style)
    for note in memory_map.notes:
        yield from labelled("Note", printable(note), style)


def _space_summary(spaces: Spaces | None, style: Style) -> Iterator[str]:
    if spaces is not None:
        from emulator.report.text.spaces import spaces_text  # only with paging

        yield from labelled("Spaces", spaces_text(spaces), style)


def _space_map(spaces: Spaces | None, style: Style) -> Iterator[str]:
    from emulator.report.text.spaces import PAGING_IS_OFF, space_lines  # only with --map

    yield from [PAGING_IS_OFF] if spaces is None else space_lines(spaces, style)
    yield ""


def _kernel_lines(record: RunRecord, style: Style) -> Iterator[str]:
    """Yield which kernel it is and how its layers ran, as far as that is known."""
    if record.profile is not None:
        yield from labelled("Profile", record.profile, style)
    if record.layers is not None:
        yield from labelled(
            "Layers", ", ".join(f"{name} {mode}" for name, mode in record.layers.items()), style
        )
    if record.lockstep is not None:
        yield from labelled("Lockstep", str(record.lockstep), style)


GRAPHICS: Final = (
    "the screen shows graphics (--screenshot FILE.png writes a picture of it); its text in memory:"
)
"""A line before the text of a screen that does not show it."""


def screen_box(lines: Sequence[str], style: Style) -> Iterator[str]:
    """Yield the VGA text screen in a frame, without the blank lines at its end."""
    shown = list(lines)
    while shown and not shown[-1]:
        shown.pop()
    if not shown:
        yield "the screen is blank"
        return
    width = max(len(" screen ") + 1, *map(len, shown))
    across, corners, down = ("─", "┌┐└┘", "│") if style.unicode else ("-", "++++", "|")
    yield f"{corners[0]}{(across + ' screen ').ljust(width, across)}{corners[1]}"
    for line in shown:
        yield f"{down}{line:{width}}{down}"
    yield f"{corners[2]}{across * width}{corners[3]}"


def _frames_text(frames: FrameUsage) -> str:
    return (
        f"{frames.used} of {frames.total} in use ({human_size(frames.used * FRAME_SIZE)}), {frames.free} free; "
        f"largest free run {frames.largest_free_run} ({human_size(frames.largest_free_run * FRAME_SIZE)}), "
        f"fragmentation {percent(frames.fragmentation)}"
    )


def _heap_text(heap: HeapUsage) -> str:
    taken = [block for block in heap.blocks if block.used]
    text = (
        f"{counted(len(taken), 'block')} in use ({heap.used} bytes), {heap.free} bytes free; "
        f"largest free block {heap.largest_free}, fragmentation {percent(heap.fragmentation)}"
    )
    if heap.refused:
        text += f"; kfree refused {counted(heap.refused, 'call')}"
    return text


def _defect_lines(defects: Sequence[Defect]) -> Iterator[str]:
    if not defects:
        return
    from kernel_model.text import defect_text  # only damage needs it

    for defect in defects[:_DEFECTS_SHOWN]:
        yield f"damaged: {defect_text(defect)}"
    if len(defects) > _DEFECTS_SHOWN:
        yield f"and {len(defects) - _DEFECTS_SHOWN} more defects"


def _ending_text(ending: Ending) -> str:  # noqa: PLR0911 - one for each ending
    match ending.how:
        case How.EXIT if ending.exit_value == 0:
            return "the kernel exited with value 0 (success)"
        case How.EXIT:
            return f"the kernel exited with value {ending.exit_value} (exit code {ending.exit_code} in QEMU)"
        case How.INTERRUPTED if not ending.signal:
            return "interrupted by Ctrl-C"
        case How.HALTED | How.RESET | How.OFF:
            return last_act_text(ending)
        case How.TEXT | How.IDLE | How.LEFT | How.BAD_ACCESS:
            return ending_text(ending)
        case How.BUDGET:
            return budget_text(ending)
        case How.INTERRUPTED:
            return f"interrupted by {ending.signal}"
        case _:
            return ending.problem or ending.how.value


def _duration_text(record: RunRecord) -> str:
    count = record.ending.instructions
    return f"{record.seconds:.3f} s" if not count else f"{record.seconds:.3f} s for {count} instructions"
