"""Rows of a batch as `Call` values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.trace.events import Call

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from emulator.loader.profile import TracedFunction


def calls_of(batch: pa.RecordBatch, functions: Sequence[TracedFunction]) -> Iterator[Call]:
    """Return the calls in some rows.

    Args:
        batch: The rows.
        functions: By function code.
    """

    def column(name: str) -> list[int]:
        return batch.column(name).to_numpy(zero_copy_only=False).tolist()

    codes = batch.column("function").indices.to_numpy().tolist()
    words = [column(name) for name in batch.schema.names if name.startswith("arg")]
    rows = zip(*words, strict=True) if words else iter([()] * batch.num_rows)
    lengths = [len(function.parameters) for function in functions]
    names = [function.name for function in functions]
    left = column("left")
    after = [left, column("left_time_ns"), column("result"), column("out")]
    if 0 in left:  # nothing is known of the return of a call that did not
        after = [
            [value if event else None for value, event in zip(each, left, strict=True)] for each in after
        ]
    left, left_times, results, outs = after
    return map(
        Call,
        column("call"),
        column("parent"),
        column("depth"),
        [names[code] for code in codes],
        [words[: lengths[code]] for words, code in zip(rows, codes, strict=True)],
        column("entered"),
        left,
        column("time_ns"),
        left_times,
        results,
        outs,
        column("esp"),
        column("stack"),
    )
