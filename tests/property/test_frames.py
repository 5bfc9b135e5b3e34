"""Frames under random calls: the model against a set of numbers."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kernel_model.frames import FRAME_BYTES
from kernel_model.litecore.memmap import InvalidFree, Memmap
from kernel_model.memory import ByteMemory

STRUCT, LOCK, IMAGE_END, BITMAP = 0x20, 0x40, 0x101, 0x104
GUARD = b"\xee" * 64


class FrameMachine(RuleBasedStateMachine):
    """The oracle is the naive one: a set of the free frames, searched one by one."""

    @initialize(start=st.integers(0, 40), frames=st.integers(1, 90), ragged=st.booleans())
    def boot(self, start: int, frames: int, *, ragged: bool) -> None:
        self.memory = ByteMemory(0, 0x400)
        self.memory.write(BITMAP - 64, GUARD * 4)
        self.memory.store_u32(LOCK, 0)
        self.memmap = Memmap(self.memory, STRUCT, LOCK, IMAGE_END)
        self.window = range(start + ragged, start + ragged + frames)
        self.free = set(self.window)
        first, end = self.window.start * FRAME_BYTES, self.window.stop * FRAME_BYTES
        self.memmap.init(first - 1 if ragged else first, end + 4095 * ragged)
        self.untouched = self.memory.read(STRUCT, 20), self.bitmap()

    def bitmap(self) -> bytes:
        return self.memory.read(BITMAP, -(-len(self.window) // 8))

    def lowest_run(self, count: int) -> int | None:
        return next((f for f in self.window if all(f + i in self.free for i in range(count))), None)

    @rule()
    def alloc_frame(self) -> None:
        expected = min(self.free, default=None)
        assert self.memmap.alloc_frame() == expected
        self.free -= {expected}

    @rule(count=st.integers(0, 100))
    def alloc_frames(self, count: int) -> None:
        expected = self.lowest_run(count) if count else None
        assert self.memmap.has_run(count) == (expected is not None)
        assert self.memmap.alloc_frames(count) == expected
        if expected is not None:
            self.free -= set(range(expected, expected + count))

    @rule(first=st.integers(0, 140), count=st.integers(0, 20))
    def free_frames(self, first: int, count: int) -> None:
        frames = set(range(first, first + count))
        valid = bool(frames) and frames <= set(self.window) and not frames & self.free
        before = self.memory.read(0, 0x400)
        try:
            self.memmap.free_frames(first, count)
        except InvalidFree:
            assert not valid
            assert self.memory.read(0, 0x400) == before
        else:
            assert valid
            self.free |= frames

    @rule(start=st.integers(0, 140 * FRAME_BYTES), size=st.integers(-FRAME_BYTES, 20 * FRAME_BYTES))
    def reserve(self, start: int, size: int) -> None:
        end = max(0, start + size)
        for _ in range(2):  # twice is once
            self.memmap.reserve(start, end)
        if end > start:
            self.free -= set(range(start // FRAME_BYTES, (end - 1) // FRAME_BYTES + 1))

    @rule()
    def free_everything(self) -> None:
        """Give back every frame in use: the bytes are those of the beginning."""
        for frame in self.window:
            if frame not in self.free:
                self.memmap.free_frames(frame, 1)
        self.free = set(self.window)
        assert (self.memory.read(STRUCT, 20), self.bitmap()) == self.untouched

    @invariant()
    def frames_are_conserved(self) -> None:
        usage = self.memmap.usage()
        longest = run = 0
        for frame in self.window:
            run = run + 1 if frame in self.free else 0
            longest = max(longest, run)
        used = len(self.window) - len(self.free)
        figures = usage.total, usage.free, usage.used, usage.largest_free_run
        assert figures == (len(self.window), len(self.free), used, longest)
        assert self.memmap.free_count() == len(self.free)

    @invariant()
    def runs_cover_the_window(self) -> None:
        frames = [(f, run.used) for run in self.memmap.usage().runs() for f in range(run.start, run.end)]
        assert frames == [(f, f not in self.free) for f in self.window]

    @invariant()
    def unused_bits_lock_and_surroundings_are_as_they_were(self) -> None:
        size = len(self.bitmap())
        if len(self.window) % 8:
            assert self.bitmap()[-1] >> len(self.window) % 8 == 0xFF >> len(self.window) % 8
        assert self.memory.load_u32(LOCK) == 0
        assert self.memory.read(BITMAP - 64, 64) == GUARD
        assert self.memory.read(BITMAP + size, 64) == GUARD


TestFrames = FrameMachine.TestCase
TestFrames.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
