"""Arrays made of their buffers are those that Arrow would make."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from emulator.trace.file.arrays import flag_array, number_array, text_array

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
def test_flags(count: int) -> None:
    flags = np.arange(count) % 3 == 0
    assert flag_array(flags).equals(pa.array(flags))


def test_tracing_does_not_import_pandas() -> None:
    script = "import sys; from emulator.cli.main import main; main(['trace', 'firmware:leak']); assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
