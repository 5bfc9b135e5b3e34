"""How the models' methods become functions of the guest's: an ``ER`` for what a `BtronError` says, signed words.

Source: `kernel_model.btron.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.abi import Function
from kernel_model.btron.errors import E_WAITING, RESULT_NAMES, BtronError, Error

if TYPE_CHECKING:
    from collections.abc import Callable

_WORD_MASK: Final = 0xFFFF_FFFF


def answers_er(name: str, layer: str, signature: str, arguments: int, call: Callable[..., int]) -> Function:
    """Return a function whose results have names."""
    return Function(name, layer, signature, arguments, "int", call, RESULT_NAMES)


def er(action: Callable[..., None]) -> Callable[..., int]:
    """Return *action* as a function that answers an ``ER``."""

    def call(*words: int) -> int:
        try:
            action(*words)
        except BtronError as error:
            return error.code & _WORD_MASK
        return Error.E_OK.value

    return call


def er_or_waiting(action: Callable[..., bool]) -> Callable[..., int]:
    """Return *action* as a function that answers an ``ER``; where it answers False, the current task waits."""

    def call(*words: int) -> int:
        try:
            return Error.E_OK.value if action(*words) else E_WAITING
        except BtronError as error:
            return error.code & _WORD_MASK

    return call


def signed(word: int) -> int:
    """Return a word as the int32 that C sees."""
    return word - (word >> 31 << 32)
