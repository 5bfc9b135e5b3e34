from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.report.html.columns import PageColumn, pack

WORDS = st.lists(st.integers(0, 2**32 - 1), max_size=20)


def unpack(packed: tuple[list[dict[str, object]], bytes]) -> dict[str, list[int]]:
    """Read columns as the page's script does."""
    directory, encoded = packed
    data = zlib.decompress(base64.b64decode(encoded))
    columns, start = {}, 0
    for entry in directory:
        count, width = int(str(entry["count"])), int(str(entry["width"]))
        planes = data[start : start + count * width]
        start += count * width
        values = [int.from_bytes(planes[index::count], "little") for index in range(count)]
        if entry["grows"]:
            values = [sum(values[: index + 1]) % (1 << 8 * width) for index in range(count)]
        columns[str(entry["name"])] = values
    assert start == len(data)
    return columns


@given(WORDS, st.lists(st.integers(0, 2**53 - 1), max_size=20), st.booleans())
def test_numbers_come_back(words: list[int], wide: list[int], grows: bool) -> None:
    columns = [
        PageColumn("words", np.array(words, np.uint32), grows),
        PageColumn("wide", np.array(wide, np.uint64), grows),
    ]
    assert unpack(pack(columns)) == {"words": words, "wide": wide}


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int64])
def test_every_width_of_number_is_taken(kind: type[np.integer]) -> None:
    assert unpack(pack([PageColumn("n", np.array([0, 200], kind))])) == {"n": [0, 200]}


def test_growing_numbers_are_small() -> None:
    values = np.arange(0, 300_000, 3, dtype=np.uint32)
    _, grown = pack([PageColumn("n", values, grows=True)])
    _, plain = pack([PageColumn("n", values)])
    assert len(grown) < 2000 < len(plain)
