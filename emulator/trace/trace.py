"""A trace: all recorded calls of a run, and what they say about the kernel's memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from emulator.guest.symbolizer import Frame
from emulator.hle.kernels import error_names
from emulator.machine.core.stacks import FRAMES_MAX
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.flat_areas import FlatHistories, flat_histories
from emulator.trace.blocks.history import AreaHistory, area_history
from emulator.trace.blocks.places import Places
from emulator.trace.queries.totals import Peak, StackTotals, Usage, peak_of, totals_by_stack, usage_of
from emulator.trace.table import CallTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    import pyarrow as pa

    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.blocks.history import FlatFacts
    from emulator.trace.file.header import TraceEnding, TraceHeader
    from emulator.trace.file.reader import TraceContents
    from emulator.trace.table import I64, U32, Call


class Trace:
    """A trace; use `read`.

    Attributes:
        header: What was known when recording began.
        ending: What was known when it ended; None: it was cut off.
        calls: All calls.
        event_count: Number of the last event.
    """

    def __init__(self, contents: TraceContents, stacks: I64) -> None:
        self.header: TraceHeader = contents.header
        self.ending: TraceEnding | None = contents.ending
        self.calls = CallTable(contents.chunks(), contents.header.profile)
        self.event_count = self.calls.last_event if self.ending is None else self.ending.events
        self._contents = contents
        self._stacks = stacks  # batch and row of the definition of each
        self._flat: FlatHistories | None = None
        self._histories: dict[str, AreaHistory] = {}  # of the areas that are not flat
        self._places: dict[str, Places] = {}
        self._usages: dict[str, Usage] = {}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a trace; its calls stay in the file until they are asked for.

        Raises:
            BadFile: It cannot be read, or it is no trace, or it is damaged.
        """
        # They have pyarrow, which calls in memory do not need.
        from emulator.trace.file.checks import check_calls
        from emulator.trace.file.reader import read_contents, reported

        name = os.fspath(path)
        contents = read_contents(name)
        with reported(name):
            return cls(contents, check_calls(contents.batches, contents.header.profile, contents.ending))

    @property
    def complete(self) -> bool:
        """Whether the recording came to its end."""
        return self.ending is not None

    @property
    def profile(self) -> Profile:
        """What the functions mean."""
        return self.header.profile

    @property
    def error_names(self) -> Mapping[int, str]:
        """Names of the errors that calls return, by unsigned result; empty where they are not known."""
        return error_names(self.profile.name)

    @property
    def functions(self) -> tuple[TracedFunction, ...]:
        """The functions that were recorded, by their code in the columns."""
        return self.profile.functions

    @property
    def never_called(self) -> tuple[str, ...]:
        """The recorded functions of which there is no call."""
        functions = zip(self.functions, self.calls.counts.tolist(), strict=True)
        return tuple(each.name for each, calls in functions if not calls and each.copies is None)

    @property
    def areas(self) -> tuple[str, ...]:
        """The areas of which blocks are known."""
        return self.profile.block_areas

    @property
    def stack_count(self) -> int:
        """Highest number of a call stack."""
        return len(self._stacks)

    def __len__(self) -> int:
        return len(self.calls)

    def __getitem__(self, number: int) -> Call:
        """Return the call with a number.

        Raises:
            IndexError: There is none.
        """
        return self.calls.call(number)

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls)

    def frames(self, stack: int) -> tuple[Frame, ...]:
        """Return a call stack, the caller of the recorded function first; () for the unknown stack 0.

        Raises:
            IndexError: There is no such stack.
        """
        if not 0 <= stack <= self.stack_count:
            raise IndexError(f"no call stack {stack}; there are {self.stack_count}")
        if stack == 0:
            return ()
        batch, row = self._stacks[stack - 1].tolist()
        frames = self._contents.batches[batch].column("frames")[row].as_py()
        return tuple(Frame(**frame) for frame in frames)

    @property
    def cut_stacks(self) -> int:
        """How many call stacks have as many frames as are kept: what called the outermost one is not known."""
        return self._contents.stacks_of_length(FRAMES_MAX)

    def to_arrow(self) -> pa.Table:
        """Return the file's table, without a copy."""
        import pyarrow as pa

        return pa.Table.from_batches(self._contents.batches, self._contents.schema)

    def to_pandas(self) -> pd.DataFrame:
        """Return the file's table for pandas, which has to be installed."""
        return self.to_arrow().to_pandas()

    def blocks(self, area: str) -> Blocks:
        """Return every block that ever lived in an area, by birth.

        Raises:
            KeyError: There is no such area.
        """
        if self._flat is None or (area in self._flat.facts and area not in self._flat.blocks):
            self._flat = flat_histories(self.calls)
        return self._flat.blocks[area] if area in self._flat.blocks else self._history(area).blocks

    def places(self, area: str) -> Places:
        """Return the addresses at which blocks of an area were ever made."""
        if area not in self._places:
            flat = self.flat(area)
            self._places[area] = Places.of(self.blocks(area)) if flat is None else flat.places
        return self._places[area]

    def live(self, event: int | None, area: str) -> Blocks:
        """Return the blocks that are live after an event; None: at the end."""
        flat = self.flat(area) if event is None else None
        if flat is not None:
            return flat.live
        return self.blocks(area).live_after(NEVER - 1 if event is None else event)

    def usage(self, area: str) -> Usage:
        """Return how much of an area is in use over time."""
        if area not in self._usages:
            self._usages[area] = usage_of(self.blocks(area))
        return self._usages[area]

    def peak(self, area: str) -> Peak:
        """Return when most bytes of an area were in use."""
        flat = self.flat(area)
        return peak_of(self.usage(area)) if flat is None else flat.peak

    def by_stack(self, area: str) -> list[StackTotals]:
        """Return what each call stack has done in an area, those with most bytes at its peak first."""
        return totals_by_stack(self.blocks(area), self.peak(area), self.stack_count)

    def failed(self, area: str) -> U32:
        """Return the numbers of calls that should have made a block and did not."""
        return (self.flat(area) or self._history(area)).failed

    def stray_frees(self, area: str) -> U32:
        """Return the numbers of calls that gave back what was not live."""
        return (self.flat(area) or self._history(area)).stray

    def flat(self, area: str) -> FlatFacts | None:
        """Return what is known of an area that is flat, mostly without the life of each block; None: it is not."""
        if self._flat is None:
            self._flat = flat_histories(self.calls, each_block=False)
        return self._flat.facts.get(area)

    def _history(self, area: str) -> AreaHistory:
        if area not in self.areas:
            raise KeyError(f"no area {area!r}; there are: {', '.join(self.areas)}")
        if area not in self._histories:
            self._histories[area] = area_history(self.calls, area)
        return self._histories[area]
