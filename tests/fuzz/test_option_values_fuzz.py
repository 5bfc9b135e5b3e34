"""Any text is a value, or the error that argparse explains."""

from __future__ import annotations

from argparse import ArgumentTypeError
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.cli.option_values import area_share, area_size, bounds, count, measure, size

if TYPE_CHECKING:
    from collections.abc import Callable

NEAR_MISSES = st.text("0123456789abxKMG._- +\x1b\n", max_size=12)


@pytest.mark.parametrize("convert", [area_share, area_size, bounds, count, measure, size])
@given(text=st.text(max_size=40) | NEAR_MISSES)
def test_any_text(convert: Callable[[str], object], text: str) -> None:
    with suppress(ArgumentTypeError):
        assert convert(text) is not None


@given(first=st.integers(0, 1 << 40), last=st.integers(0, 1 << 40))
def test_ranges_in_any_base(first: int, last: int) -> None:
    low, high = sorted((first, last))
    assert bounds(f"{low:#x}..{high}") == (low, high)
