"""What is the same as NumPy's own, without what that imports for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.trace.queries.distinct import are_among, sorted_set

NUMBERS = st.lists(st.integers(0, 40) | st.integers(0, (1 << 32) - 1))


@pytest.mark.parametrize("kind", [np.int64, np.uint32])
@given(numbers=NUMBERS, others=NUMBERS)
def test_which_numbers_are_among_others(kind: type, numbers: list[int], others: list[int]) -> None:
    found = are_among(np.array(numbers, kind), others)
    assert found.tolist() == [number in others for number in numbers]


@given(numbers=NUMBERS)
def test_a_sorted_set(numbers: list[int]) -> None:
    assert sorted_set(np.array(numbers, np.int64)).tolist() == sorted(set(numbers))
