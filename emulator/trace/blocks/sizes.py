"""How much memory a call is about, as its arguments say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.profile.model import Result
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.profile.model import TracedFunction
    from emulator.trace.columns import U32, U64

_PAGE = np.uint64(PAGE_SIZE)
_LARGEST = 0xFFFF_FFFF
_ORDER_MAX = 20  # 4 GiB


def asked_size(function: TracedFunction, word: Callable[[str], U32]) -> U32 | None:
    """Return the bytes that calls of a function name, at most 0xffffffff; None if it names none.

    Args:
        function: What was called.
        word: Returns the words of the calls for the name of a parameter.
    """
    names = function.parameters
    if "size" in names:
        size = word("size")
        return _limited(size.astype(np.uint64) * word("count")) if "count" in names else size
    if "pages" in names:
        return _limited(word("pages").astype(np.uint64) * _PAGE)
    if "order" in names:
        return _limited(_PAGE << np.minimum(word("order"), _ORDER_MAX).astype(np.uint64))
    return None


def is_one_page(function: TracedFunction) -> bool:
    """Tell whether calls that name no size are about one page."""
    return "frame" in function.parameters or function.result is Result.FRAME


def _limited(sizes: U64) -> U32:
    return np.minimum(sizes, _LARGEST).astype(np.uint32)
