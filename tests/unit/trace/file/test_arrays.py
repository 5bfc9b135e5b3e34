"""Arrays made of their buffers are those that Arrow would make."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from emulator.trace.file.arrays import flags, number_array, text_array, values

if TYPE_CHECKING:
    import numpy.typing as npt


@pytest.mark.parametrize("texts", [[], [""], ["kmain", "", "größer", "a" * 1000]])
def test_texts(texts: list[str]) -> None:
    assert text_array(texts).equals(pa.array(texts, pa.utf8()))
    text_array(texts).validate(full=True)


@pytest.mark.parametrize("kind", [np.uint8, np.uint32, np.uint64, np.int8])
def test_numbers(kind: type[np.integer[Any]]) -> None:
    numbers: npt.NDArray[np.integer[Any]] = np.arange(100, dtype=kind)
    assert number_array(numbers).equals(pa.array(numbers))
    assert number_array(numbers[:0]).equals(pa.array(numbers[:0]))


@pytest.mark.parametrize("count", [0, 1, 8, 9, 1000])
def test_columns_are_read_as_they_were(count: int) -> None:
    numbers = np.arange(count, dtype=np.uint32)
    batch = pa.record_batch({"numbers": pa.array(numbers), "flags": pa.array(numbers % 3 == 0)})
    assert values(batch, "numbers", np.uint32).tolist() == numbers.tolist()
    assert flags(batch, "flags").tolist() == (numbers % 3 == 0).tolist()


def test_tracing_does_not_import_pandas() -> None:
    script = "import sys; from emulator.cli.main import main; main(['trace', 'firmware:leak']); assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
