"""Where a call of a guest's function ends: at which `ret` instructions, and which jumps lead there.

Theory. A function may leave by a jump to another one (a tail call): then the `ret` over there ends the call. So every path
from the function's first instruction is followed, see `emulator.machine.code.flow`.

Shortcomings. The exits after an indirect tail jump are not found. In assembly, a call that never returns is followed by
whatever comes next, which may add exits of other functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import UnsupportedFunction
from emulator.machine.code.flow import Flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.loader.elf.symbols import Symbol
    from emulator.loader.image import KernelImage
    from emulator.machine.code.flow import Jump


class Exits(NamedTuple):
    """How calls of a function go on and end; addresses as linked.

    Attributes:
        returns: Addresses of all `ret` instructions at which a call may end, ascending; none if it never returns.
        jumps: All direct jumps.
    """

    returns: list[int]
    jumps: list[Jump]


def find_exits(
    image: KernelImage, function: Symbol, code: Callable[[int, int], bytes] | None = None
) -> Exits:
    """Return how calls of a function go on and end, in itself and in the functions that it jumps to.

    Args:
        image: The kernel, for its symbols.
        function: One of them.
        code: Returns the bytes at a linked address: as many as it is asked for, or fewer where there are no more.
            Without it they come from the image, whatever a machine's memory holds.

    Raises:
        UnsupportedFunction: There is no code at its address.
        BadImage: The symbol table is damaged.
    """
    read = code or image.code
    if not read(function.address, 1):
        raise _no_code(function)
    flow = Flow(image, read, function.address)
    return Exits(sorted(flow.returns), flow.jumps)


def find_own_exits(image: KernelImage, function: Symbol) -> list[int]:
    """Addresses of all `ret` instructions of a function that ends nowhere else, as linked, ascending.

    Raises:
        UnsupportedFunction: It has no size, no code in the image, no `ret`, leaves by a jump, or runs past its end.
        BadImage: The symbol table is damaged.
    """
    if not image.code(function.address, function.size):
        raise _no_code(function)
    flow = Flow(image, image.code, function.address)
    own = range(function.address, function.address + function.size)
    for address, target, _ in flow.jumps:
        if address in own and target not in own:
            problem = f"it leaves by a jump to 0x{target:08x} at 0x{address:08x}"
            raise UnsupportedFunction(function.name, problem)
    if not flow.returns:
        raise UnsupportedFunction(function.name, "it has no ret instruction")
    for address in sorted(flow.returns.difference(own)):
        raise UnsupportedFunction(function.name, f"it goes on past its end, to the ret at 0x{address:08x}")
    return sorted(flow.returns)


def _no_code(function: Symbol) -> UnsupportedFunction:
    return UnsupportedFunction(function.name, f"its symbol at 0x{function.address:08x} covers no code")
