"""Mode `model`: the guest's function is replaced by the Python model working on guest RAM.

The function's first instruction becomes `ret`. When the guest calls it, the core asks the model, writes its result to
EAX and lets the guest return by itself: two to three times faster than writing EIP from a hook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import ModelStopped
from emulator.hle.binding import call_text, caller_of, stack_words
from kernel_model.abi import LockHeld

if TYPE_CHECKING:
    from emulator.hle.binding import Bound
    from kernel_model.abi import Function

RET = 0xC3
MODEL_ERRORS = (LockHeld, IndexError)
"""What a model raises on guest memory that its C twin could not handle either."""


class ReplacedFunction:
    """A function of the guest that is answered by its model while it is switched on.

    Args:
        bound: The kernel's models and functions.
        function: Of the models. Another one of the same name may be put in its place.
    """

    def __init__(self, bound: Bound, function: Function) -> None:
        self.function = function
        self._bound = bound
        machine = bound.machine
        address = bound.symbol(function.name).address
        self._first_byte_at = machine.image.physical(address)
        self._first_byte = RET
        self._probe = machine.observers.probe(address, self._answer, answers=True)

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Let the model answer from now on (*on*), or stop that. The function's code stays as it is."""
        self._probe.switch(on)

    def patch(self) -> None:
        """Write a `ret` over the function's first byte."""
        memory = self._bound.machine.memory
        self._first_byte = memory.load_u8(self._first_byte_at)
        memory.store_u8(self._first_byte_at, RET)

    def repair(self) -> None:
        """Write the function's first byte back, unless the guest has written another one."""
        memory = self._bound.machine.memory
        if memory.load_u8(self._first_byte_at) == RET:
            memory.store_u8(self._first_byte_at, self._first_byte)

    def _answer(self, _kind: int, esp: int, eax: int) -> int:
        function = self.function
        _, *arguments = stack_words(self._bound.machine, esp, function.argument_count + 1)
        try:
            result = function.call(*arguments)
        except MODEL_ERRORS as error:
            call = call_text(function, tuple(arguments))
            location = caller_of(self._bound, esp, self._bound.machine.registers().ebp)
            raise ModelStopped(call, str(error), location) from error
        return eax if function.result == "void" else result
