"""Names of code addresses: the function, the offset in it, and the source line.

There are two kinds of address. The address *of an instruction* lies in the function and the line that it belongs to. A *return
address* is where a call goes on: the call ends right before it, and what begins there may be another line or, after a call
that never returns, another function. So a return address is named by the byte before it. Only this module knows that.

An interrupted instruction on a call stack counts as a call one byte long: its "return address" is its own address + 1.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.symbols import function_at
from emulator.wording import code_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.image import KernelImage


class Frame(NamedTuple):
    """One level of a backtrace.

    Attributes:
        address: The return address; of the innermost level of a machine that stands still, the instruction's address.
        function: The symbol that it belongs to; "" where none is known.
        offset: Bytes from the symbol to *address*.
        file: The source file as the debug information names it; "" where it is not known.
        line: In *file*, from 1; 0 where it is not known.
    """

    address: int
    function: str = ""
    offset: int = 0
    file: str = ""
    line: int = 0

    @property
    def name(self) -> str:
        """The function, or where it is not known the address."""
        return self.function or f"0x{self.address:08x}"

    def __str__(self) -> str:
        """Return ``kmain+0x42 demo.c:31``; less where something is not known."""
        place = code_address(self.address, self.function, self.offset)
        if not self.file:
            return place
        name = PurePosixPath(self.file).name
        return f"{place} {name}:{self.line}" if self.line else f"{place} {name}"


class Symbolizer:
    """Turns addresses of a kernel's code into frames, and remembers them.

    A damaged symbol table names nothing.

    Args:
        image: The kernel.
    """

    def __init__(self, image: KernelImage) -> None:
        self._image = image
        self._callers: dict[int, Frame] = {}

    def instruction(self, address: int) -> Frame:
        """Return the frame of an instruction at *address*, which has not been executed yet or is being executed."""
        return self._frame(address, address)

    def caller(self, return_address: int) -> Frame:
        """Return the frame of the call that goes on at *return_address*."""
        frame = self._callers.get(return_address)
        if frame is None:
            frame = self._callers[return_address] = self._frame(return_address, return_address - 1)
        return frame

    def callers(self, return_addresses: Iterable[int]) -> tuple[Frame, ...]:
        """Return the frames of nested calls, in the same order."""
        return tuple(map(self.caller, return_addresses))

    def backtrace(self, address: int, return_addresses: Iterable[int]) -> tuple[Frame, ...]:
        """Return the frames of an instruction at *address* and of the calls around it, innermost first."""
        return self.instruction(address), *self.callers(return_addresses)

    def _frame(self, address: int, inside: int) -> Frame:
        """Name *address* by the byte at *inside*."""
        function, line = function_at(self._image, inside), self._image.source_line(inside)
        name, offset = ("", 0) if function is None else (function[0], function[1] + address - inside)
        file, number = ("", 0) if line is None else line
        return Frame(address, name, offset, file, number)
