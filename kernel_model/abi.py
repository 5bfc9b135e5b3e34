"""What the models of all kernels have in common where C code calls them.

Theory. A model speaks Python: it raises, and answers None. The guest knows 32-bit words only. A kernel's ``abi`` module
turns each call of the guest into one of the models: arguments and results are unsigned 32-bit words, and
symbols of the kernel ELF become the models' addresses. Whoever binds models to a guest (or calls them in a test)
needs to know nothing else about a kernel.

Source: docs/architecture.md, "The way of the data".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ResultKind = Literal["void", "u32", "int", "bool", "pointer"]
"""How EAX is to be read. ``bool``: only AL is defined, the upper 24 bits are whatever the C code left there."""


class MissingSymbols(ValueError):
    """The kernel lacks symbols that the models need.

    Attributes:
        names: The missing names, in the order in which the kernel's ``LAYER_SYMBOLS`` lists them.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"symbols not found: {', '.join(names)}")
        self.names = names


class LockHeld(Exception):
    """A model needs a lock that the guest holds: on one CPU a deadlock.

    Attributes:
        address: Address of the lock word.
    """

    def __init__(self, address: int) -> None:
        super().__init__(f"the spin lock at 0x{address:08x} is already held")
        self.address = address


class Function(NamedTuple):
    """A function of the guest that the model can stand in for.

    Attributes:
        name: Its symbol.
        layer: The layer that it belongs to, a key of the kernel's ``LAYER_SYMBOLS``.
        signature: Its declaration in C.
        argument_count: Number of 32-bit words on the stack.
        result: How to read EAX.
        call: Takes the argument words, returns EAX (0 for void), all unsigned 32-bit.
        names: What some results are called, such as ``E_PAR``.
        replaces: Whether the model may stand in for it. It does not for a function that makes calls of others which
            somebody may want to see.
    """

    name: str
    layer: str
    signature: str
    argument_count: int
    result: ResultKind
    call: Callable[..., int]
    names: Mapping[int, str] = MappingProxyType({})
    replaces: bool = True

    def show(self, result: int) -> str:
        """Return a result for people: ``E_PAR``, ``0x0010c008``, and for a bool, which is a byte, ``0x01``."""
        width = 4 if self.result == "bool" else 10
        return self.names.get(result, f"{result:#0{width}x}")
