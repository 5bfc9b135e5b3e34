"""The lines of keys in JSON texts."""

from __future__ import annotations

import pytest

from emulator.verdict.json_text import line_of

TEXT = """
{
  "a": {"b": [1, {"c": 2}],
        "d": "}{,:\\"",
        "a": {
          "b": 3}},
  "e": 4,
  "e" :
    {"b": 5}
}
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ((), None),
        (("x",), None),
        (("a",), 3),
        (("a", "d"), 4),
        (("a", "a", "b"), 6),
        (("a", "b", "c"), 3),  # no object: the last key on the way
        (("a", "d", "c"), 4),
        (("e",), 8),
        (("e", "b"), 9),
        (("e", "b", "x", "y"), 9),
    ],
)
def test_the_last_key_on_the_way_is_found(keys: tuple[str, ...], line: int | None) -> None:
    assert line_of(TEXT, keys) == line
