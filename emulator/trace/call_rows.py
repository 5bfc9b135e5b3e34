"""Rows of a batch as `Call` values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.trace.events import Call
from emulator.trace.file.arrays import numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from emulator.profile.model import TracedFunction


def calls_of(batch: pa.RecordBatch, functions: Sequence[TracedFunction]) -> Iterator[Call]:
    """Return the calls in some rows.

    Args:
        batch: The rows.
        functions: By function code.
    """

    def column(name: str) -> list[int]:
        numbers: list[int] = numbers_of(batch.column(name)).tolist()
        return numbers

    codes = numbers_of(batch.column("function").indices).tolist()
    words = [column(name) for name in batch.schema.names if name.startswith("arg")]
    rows = zip(*words, strict=True) if words else iter([()] * batch.num_rows)
    lengths = [len(function.parameters) for function in functions]
    names = [function.name for function in functions]
    left = column("left")
    all_returned = 0 not in left

    def after(name: str) -> list[int] | list[int | None]:
        """Return a column of which nothing is known for a call that did not return."""
        numbers = column(name)
        if all_returned:
            return numbers
        return [number if event else None for number, event in zip(numbers, left, strict=True)]

    return map(
        Call,
        column("call"),
        column("parent"),
        column("depth"),
        [names[code] for code in codes],
        [words[: lengths[code]] for words, code in zip(rows, codes, strict=True)],
        column("entered"),
        after("left"),
        column("time_ns"),
        after("left_time_ns"),
        after("result"),
        after("out"),
        column("esp"),
        column("stack"),
    )
