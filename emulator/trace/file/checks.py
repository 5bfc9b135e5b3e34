"""Check the calls of a trace for values that no recording makes, so that nothing after this has to doubt them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.trace.file.arrays import flags, text_array, values, without_nulls

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from emulator.profile.model import Profile
    from emulator.trace.file.header import TraceEnding
    from emulator.trace.table import I64, U32, Flags

_EVENTS_TO_COME = 1 << 22
"""How far events may be ahead of the calls in the file: those of calls that a cut recording had not written yet."""


def check_calls(batches: Sequence[pa.RecordBatch], profile: Profile, ending: TraceEnding | None) -> I64:
    """Check all that an analysis relies on.

    Returns:
        Batch and row in it of the definition of each call stack, from number 1 on.

    Raises:
        ValueError: Something cannot be; one line that names the first such call.
    """
    names = text_array([function.name for function in profile.functions])
    first, last_entry, last_event, highest_stack = 1, 0, 0, 0
    defined: list[tuple[int, I64, U32]] = []
    for index, batch in enumerate(batches):
        if not batch.column("function").dictionary.equals(names):
            raise ValueError("the names of functions are not those of the profile")
        last_entry, latest = _check_batch(batch, first, last_entry, len(names))
        first += batch.num_rows
        last_event = max(last_event, latest)
        stacks = values(batch, "stack", np.uint32)
        highest_stack = max(highest_stack, int(stacks.max()))
        rows = _defining_rows(batch)
        defined.append((index, rows, stacks[rows]))
    _check_events(first - 1, last_event, ending)
    return _stack_definitions(defined, highest_stack)


def _check_events(calls: int, last: int, ending: TraceEnding | None) -> None:
    if ending is not None and (ending.calls != calls or ending.events < last):
        raise ValueError(
            f"{calls} calls up to event {last}, but the ending says {ending.calls} and {ending.events}"
        )
    last = last if ending is None else ending.events
    if last > 2 * calls + _EVENTS_TO_COME:
        raise ValueError(f"event {last} in {calls} calls")


def _check_batch(batch: pa.RecordBatch, first: int, last_entry: int, functions: int) -> tuple[int, int]:
    """Check one batch; *first* is its first call, *last_entry* the event before it.

    Returns:
        Event of its last entry, and its last event.
    """
    for name in batch.schema.names[:-1]:  # all but the frames, of which most are null
        without_nulls(batch, name)
    numbers = np.arange(first, first + batch.num_rows, dtype=np.uint32)
    _refuse(values(batch, "call", np.uint32) != numbers, first, "is not numbered so")
    _refuse(values(batch, "parent", np.uint32) >= numbers, first, "is said to be made in a later one")
    codes = values(batch, "function", np.int8)
    _refuse((codes < 0) | (codes >= functions), first, "is of a function that the profile does not have")
    entered, left = values(batch, "entered", np.uint32), values(batch, "left", np.uint32)
    if entered[0] <= last_entry:
        raise ValueError(f"call {first} was not entered after the one before it")
    _refuse(entered[1:] <= entered[:-1], first + 1, "was not entered after the one before it")
    returned = flags(batch, "returned")
    _refuse((returned | (left != 0)) & (left < entered), first, "returned before it was entered")
    return int(entered[-1]), max(int(entered[-1]), int(left.max()))


def _refuse(wrong: Flags, first: int, problem: str) -> None:
    if wrong.any():
        raise ValueError(f"call {first + int(wrong.argmax())} {problem}")


def _defining_rows(batch: pa.RecordBatch) -> I64:
    """Return the rows whose column of frames is not null, and check the column."""
    frames = batch.column("frames")
    frames.validate(full=True)
    items = frames.values
    if items.null_count or any(items.field(index).null_count for index in range(items.type.num_fields)):
        raise ValueError("a frame with nulls")
    validity = frames.buffers()[0]
    if validity is None:
        return np.arange(batch.num_rows)
    if not frames.null_count < batch.num_rows:
        return np.empty(0, np.int64)
    packed = np.frombuffer(validity, np.uint8, -(-batch.num_rows // 8))
    return np.flatnonzero(np.unpackbits(packed, count=batch.num_rows, bitorder="little"))


def _stack_definitions(defined: Sequence[tuple[int, I64, U32]], highest: int) -> I64:
    """Return batch and row of each stack; every number up to the highest that is used has to have one."""
    total = sum(len(rows) for _, rows, _ in defined)
    if highest > total:
        raise ValueError(f"call stack {highest} is used, and {total} are defined")
    found = np.zeros((total + 1, 2), np.int64)
    counts = np.zeros(total + 1, np.int64)
    for index, rows, stacks in defined:
        found[stacks, 0] = index
        found[stacks, 1] = rows
        np.add.at(counts, stacks, 1)
    if (counts[1:] != 1).any():
        raise ValueError("a call stack is not defined once")
    return found[1:]
