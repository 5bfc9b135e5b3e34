"""The addresses of the kernel's own variables."""

from __future__ import annotations

from dataclasses import fields

from kernel_model.btron.kernel_globals import Globals
from kernel_model.btron.symbols import LAYER_SYMBOLS


def test_the_globals_are_the_symbols_that_the_models_need() -> None:
    assert {field.name for field in fields(Globals)} == set(LAYER_SYMBOLS["pools"])
