"""Traces made up for tests: call by call, or large random ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from emulator.guest.symbolizer import Frame
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, Profile
from emulator.trace.file.header import TracedSegment, TraceEnding, TraceHeader
from emulator.trace.file.writer import TraceWriter
from emulator.trace.table import Chunk, argument_count, column_types
from emulator.trace.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emulator.trace.file.writer import Definitions
    from emulator.trace.table import Column

FAILURE = 0xFFFF_FFFF
ESP = 0x0010_7FF0
CALL_NS = 100
"""Virtual time between events."""

PROFILE = Profile(
    "test",
    (
        TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("kmemalign", "heap", Role.ALLOC, ("align", "size"), Result.POINTER, 0),
        TracedFunction("kcalloc", "heap", Role.ALLOC, ("count", "size"), Result.POINTER, 0),
        TracedFunction("kfree", "heap", Role.FREE, ("ptr",), Result.NONE),
        TracedFunction("krealloc", "heap", Role.REALLOC, ("ptr", "size"), Result.POINTER, 0),
        TracedFunction("heap_init", "heap", Role.RESET, (), Result.NONE),
        TracedFunction("alloc_frame", "frames", Role.ALLOC, (), Result.FRAME, FAILURE),
        TracedFunction("alloc_frames", "frames", Role.ALLOC, ("pages",), Result.FRAME, FAILURE),
        TracedFunction("free_frame", "frames", Role.FREE, ("frame",), Result.ERROR),
        TracedFunction("free_frames", "frames", Role.FREE, ("frame", "pages"), Result.ERROR),
        TracedFunction("share_frames", "frames", Role.SHARE, ("frame", "pages"), Result.ERROR),
        TracedFunction("get_blk", "pools", Role.ALLOC, ("out", "pool", "size"), Result.ERROR),
        TracedFunction("rel_blk", "pools", Role.FREE, ("pool", "ptr"), Result.ERROR),
        TracedFunction("share_blk", "pools", Role.SHARE, ("ptr",), Result.NONE),
        TracedFunction("del_pool", "pools", Role.RESET, ("pool",), Result.ERROR),
        TracedFunction("tick", "heap", Role.OTHER, ("now",), Result.VALUE),
    ),
    {"frames": PAGES},
)
"""A kernel with a heap, frames and memory pools."""

WHO = (Frame(0x101042, "kmain", 0x42, "firmware/scenarios/demo.c", 31), Frame(0x100020, "start", 0x20))


def header(profile: Profile = PROFILE) -> TraceHeader:
    return TraceHeader(
        "0.1.0",
        "demo.elf",
        "ab" * 32,
        (TracedSegment(0x100000, 0x100000, 0x3000),),
        (0x100000, 0x500000),
        ("trace", "demo.elf"),
        {"heap": "native"},
        profile,
    )


@dataclass
class Row:
    """A call as it goes into a file."""

    function: int
    entered: int
    parent: int = 0
    depth: int = 0
    arguments: tuple[int, ...] = ()
    left: int = 0
    result: int = 0
    out: int = 0
    stack: int = 0


@dataclass
class TraceBuilder:
    """Describes calls in the order of their events.

    `call` enters and leaves; between `enter` and `leave` calls are nested. Numbers are those of calls.
    """

    profile: Profile = PROFILE
    rows: list[Row] = field(default_factory=list)
    stacks: dict[tuple[Frame, ...], int] = field(default_factory=dict)
    events: int = 0
    _open: list[int] = field(default_factory=list)

    def enter(self, function: str, *arguments: int, stack: Sequence[Frame] = WHO) -> int:
        """Enter a function; return the call's number."""
        names = [each.name for each in self.profile.functions]
        self.events += 1
        number = self.stacks.setdefault(tuple(stack), len(self.stacks) + 1) if stack else 0
        parent = self._open[-1] if self._open else 0
        code = names.index(function)
        self.rows.append(Row(code, self.events, parent, len(self._open), arguments, stack=number))
        self._open.append(len(self.rows))
        return len(self.rows)

    def leave(self, result: int = 0, *, out: int = 0) -> int:
        """Leave the innermost open call; return the event's number."""
        self.events += 1
        row = self.rows[self._open.pop() - 1]
        row.left, row.result, row.out = self.events, result, out
        return self.events

    def call(
        self, function: str, *arguments: int, result: int = 0, out: int = 0, stack: Sequence[Frame] = WHO
    ) -> Self:
        """Enter and leave a function."""
        self.enter(function, *arguments, stack=stack)
        self.leave(result, out=out)
        return self

    def stay(self) -> Self:
        """Never leave the innermost open call, but go on outside of it."""
        self._open.pop()
        return self

    def chunks(self, size: int = 1 << 16) -> list[tuple[Chunk, Definitions]]:
        """Return all calls in chunks of so many, each with the stacks that are new in it."""
        defined: set[int] = {0}
        stacks = {number: frames for frames, number in self.stacks.items()}
        chunks: list[tuple[Chunk, Definitions]] = []
        for start in range(0, len(self.rows), size):
            rows = self.rows[start : start + size]
            definitions = []
            for index, row in enumerate(rows):
                if row.stack not in defined:
                    definitions.append((index, stacks[row.stack]))
                    defined.add(row.stack)
            chunks.append((Chunk(start + 1, len(rows), _columns(rows, self.profile)), definitions))
        return chunks

    def ending(self) -> TraceEnding:
        return TraceEnding("exit", 0, self.events, len(self.rows))

    def write(self, path: Path, *, chunk: int = 1 << 16, complete: bool = True) -> Path:
        """Write the trace; *complete*: with its ending."""
        writer = TraceWriter(path, header(self.profile))
        for each in self.chunks(chunk):
            writer.write(*each)
        if complete:
            writer.close(self.ending())
        else:
            writer.abandon()
        return path

    def trace(self, path: Path, *, chunk: int = 1 << 16) -> Trace:
        """Write the trace to a file and read it."""
        return Trace.read(self.write(path, chunk=chunk))


def _columns(rows: Sequence[Row], profile: Profile) -> dict[str, Column]:
    words = {
        "parent": [row.parent for row in rows],
        "entered": [row.entered for row in rows],
        "left": [row.left for row in rows],
        "result": [row.result for row in rows],
        "out": [row.out for row in rows],
        "esp": [ESP - 16 * row.depth for row in rows],
        "stack": [row.stack for row in rows],
    }
    for index in range(argument_count(profile)):
        words[f"arg{index}"] = [row.arguments[index] if index < len(row.arguments) else 0 for row in rows]
    buffers: dict[str, Column] = {name: np.array(values, np.uint32) for name, values in words.items()}
    return buffers | {
        "depth": np.array([row.depth for row in rows], np.uint8),
        "function": np.array([row.function for row in rows], np.int8),
        "time_ns": buffers["entered"].astype(np.uint64) * CALL_NS,
        "left_time_ns": buffers["left"].astype(np.uint64) * CALL_NS,
        "returned": buffers["left"] != 0,
    }


def random_trace(path: Path, calls: int, seed: int, *, stacks: int = 500) -> Path:
    """Write a large trace: kmalloc and kfree of random blocks, alloc_frame and free_frame of random frames.

    Three in ten calls are about frames; some of these are nested in the call about the heap before them.
    """
    rng = np.random.default_rng(seed)
    codes = {function.name: code for code, function in enumerate(PROFILE.functions)}
    framed = rng.random(calls) < 0.3
    heap, frames = np.flatnonzero(~framed), np.flatnonzero(framed)
    columns = {name: np.zeros(calls, kind) for name, kind in column_types(PROFILE).items()}
    for rows, names, unit in ((heap, ("kmalloc", "kfree"), 64), (frames, ("alloc_frame", "free_frame"), 1)):
        position = 16 + rng.integers(0, min(calls // 20 + 16, 900_000), len(rows), dtype=np.uint32)
        taking = _every_other(position)
        columns["function"][rows] = np.where(taking, *(codes[name] for name in names))
        columns["arg0"][rows] = np.where(taking, rng.integers(1, 64, len(rows)), position * np.uint32(unit))
        columns["result"][rows] = np.where(taking, position * np.uint32(unit), 0)
    inner = np.flatnonzero(framed[1:] & ~framed[:-1] & (rng.random(calls - 1) < 0.3)) + 1
    columns["parent"][inner] = inner  # the call before, counted from 1
    columns["depth"][inner] = 1
    columns["entered"] = 2 * np.arange(calls, dtype=np.uint32) + 1
    columns["left"] = columns["entered"] + np.uint32(1)
    columns["left"][inner - 1] += 2
    columns["entered"][inner] -= 1
    columns["left"][inner] -= 1
    columns["time_ns"] = columns["entered"].astype(np.uint64) * CALL_NS
    columns["left_time_ns"] = columns["left"].astype(np.uint64) * CALL_NS
    columns["returned"][:] = 1
    used, first, stack = np.unique(rng.zipf(1.3, calls) % stacks, return_index=True, return_inverse=True)
    columns["stack"] = (np.argsort(np.argsort(first)) + 1).astype(np.uint32)[stack]  # by first use
    definitions = {int(row): _random_stack(rng, index) for index, row in enumerate(np.sort(first))}
    assert len(definitions) == len(used)
    writer = TraceWriter(path, header())
    for start in range(0, calls, 1 << 16):
        stop = min(start + (1 << 16), calls)
        here = [(row - start, each) for row, each in definitions.items() if start <= row < stop]
        part = {name: values[start:stop] for name, values in columns.items()}
        writer.write(Chunk(start + 1, stop - start, part), here)
    writer.close(TraceEnding("exit", 0, 2 * calls, calls))
    return path


def _every_other(positions: np.ndarray) -> np.ndarray:
    """Return for each item whether it is at its position the first, third, fifth … one."""
    order = np.argsort(positions, kind="stable")
    index = np.arange(len(positions))
    first = np.r_[True, positions[order][1:] != positions[order][:-1]]
    result = np.empty(len(positions), np.bool_)
    result[order] = (index - np.maximum.accumulate(np.where(first, index, 0))) % 2 == 0
    return result


def _random_stack(rng: np.random.Generator, index: int) -> tuple[Frame, ...]:
    depth = int(rng.integers(1, 12))
    return tuple(
        Frame(
            0x100000 + 16 * index + level,
            f"function_{(index * 7 + level) % 300}",
            level,
            "kernel/main.c",
            level + 1,
        )
        for level in range(depth)
    )
