"""Mode `model`: the guest's function is replaced by the Python model working on guest RAM.

The function's first instruction becomes `ret`. When the guest calls it, the core asks the model, writes its result to
EAX and lets the guest return by itself: two to three times faster than writing EIP from a hook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import ModelStopped
from emulator.hle.binding import call_text, stack_words
from emulator.machine.core_types import ProbeAction, ProbeKind
from kernel_model.litecore.spinlock import LockHeld
from kernel_model.memory import OutOfMemoryRange

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.machine import Machine
    from kernel_model.abi import Function

RET = 0xC3
MODEL_ERRORS = (LockHeld, OutOfMemoryRange, IndexError)
"""What a model raises on guest memory that its C twin could not handle either (IndexError: guest RAM's own)."""


def replace_function(machine: Machine, function: Function, address: int) -> None:
    """Let the model's *function* answer all calls of the guest function at *address* (linear)."""
    number = machine.add_callback(_answer(machine, function))
    machine.cpu.add_probe(address, number, ProbeKind.ENTRY, ProbeAction.REPLACE)
    machine.memory.store_u8(machine.image.physical(address), RET)


def _answer(machine: Machine, function: Function) -> Callable[[int, int, int], int]:
    words = function.argument_count + 1
    call = function.call
    keeps_eax = function.result == "void"

    def answer(_kind: int, esp: int, eax: int) -> int:
        caller, *arguments = stack_words(machine, esp, words)
        try:
            result = call(*arguments)
        except MODEL_ERRORS as error:
            location = machine.image.location(caller)
            raise ModelStopped(call_text(function, tuple(arguments)), str(error), location) from error
        return eax if keeps_eax else result

    return answer
