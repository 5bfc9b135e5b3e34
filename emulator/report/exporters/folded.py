"""Write traces as folded stacks: one line per call stack, ``outermost;...;innermost NUMBER``.

The format of Brendan Gregg's flame graphs (https://github.com/brendangregg/FlameGraph), which speedscope and inferno read, too.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from emulator.report.text.frames import UNKNOWN_CALLER
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from emulator.guest.symbolizer import Frame
    from emulator.trace.queries.totals import Measure
    from emulator.trace.trace import Trace


def write_folded(trace: Trace, stream: BinaryIO, areas: Sequence[str], measure: Measure) -> None:
    """Write the backtraces that take memory, each with the measure of what it takes.

    Args:
        trace: The trace.
        stream: Where to.
        areas: The areas to write; with more than one, the outermost frame is the area's name.
        measure: The number to write.

    Raises:
        OSError: It cannot be written.
    """
    for area in areas:
        weights: Counter[str] = Counter()
        for totals in trace.by_stack(area):
            names = [*([f"[{area}]"] if len(areas) > 1 else ()), *_names(trace.frames(totals.stack))]
            weights[";".join(names)] += measure.of(totals)
        for stack, weight in sorted(weights.items()):
            if weight:
                stream.write(f"{stack} {weight}\n".encode())


def _names(frames: Sequence[Frame]) -> Iterator[str]:
    if not frames:
        yield UNKNOWN_CALLER
    for frame in reversed(frames):
        yield printable(frame.name).replace(";", ":")
