"""What functions do to blocks, in the form that the core takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.machine.core.observed import BLOCK_VALUES
from emulator.native import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.observed import BlockFunction

_ffi, _lib = _core.ffi, _core.lib
_OF_VALUES: Final = {"pages": "page_count"}  # a function has pages, too


def block_function_rows(functions: Sequence[BlockFunction]) -> tuple[Any, Any]:
    """Return functions as an array of `kc_block_function`, and the words of all their failures, which the rows refer to."""
    rows = _ffi.new("kc_block_function[]", len(functions))
    failures: list[int] = []
    for row, function in zip(rows, functions, strict=True):
        row.role, row.result, row.area = function.role, function.result, function.area
        row.pages, row.stores_block, row.is_one_page = (
            function.pages,
            function.stores_block,
            function.is_one_page,
        )
        row.first_failure, row.failure_count = len(failures) // 2, len(function.failures)
        failures += [bound for each in function.failures for bound in each]
        for name in BLOCK_VALUES:
            setattr(row, _OF_VALUES.get(name, name), function.values.get(name, _lib.KC_NO_VALUE))
    return rows, _ffi.new("uint32_t[]", failures)
