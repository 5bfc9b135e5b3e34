"""Symbolize addresses of code: the function, the offset in it, and the source line.

There are two kinds of address. The address *of an instruction* lies in the function and the line that it belongs to. A *return
address* is where a call goes on; `KernelImage.call_site` says how it is named.

An interrupted instruction on a call stack counts as a call one byte long: its "return address" is its own address + 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.loader.frame import NOTHING_KNOWN, Frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.image import KernelImage

__all__ = ["NOTHING_KNOWN", "Frame", "Symbolizer"]  # frames leave the room here


class Symbolizer:
    """Turns addresses of a kernel's code into frames, and remembers them.

    A damaged symbol table names nothing.

    Args:
        image: The kernel.
    """

    def __init__(self, image: KernelImage) -> None:
        self._image = image
        self._callers: dict[int, Frame] = {0: NOTHING_KNOWN}

    def instruction(self, address: int) -> Frame:
        """Return the frame of an instruction at *address*, which has not been executed yet or is being executed."""
        return self._image.location(address)

    def caller(self, return_address: int) -> Frame:
        """Return the frame of the call that goes on at *return_address*; of 0, which ends a stack early, `NOTHING_KNOWN`."""
        frame = self._callers.get(return_address)
        if frame is None:
            frame = self._callers[return_address] = self._image.call_site(return_address)
        return frame

    def callers(self, return_addresses: Iterable[int]) -> tuple[Frame, ...]:
        """Return the frames of nested calls, in the same order."""
        return tuple(map(self.caller, return_addresses))

    def backtrace(self, address: int, return_addresses: Iterable[int]) -> tuple[Frame, ...]:
        """Return the frames of an instruction at *address* and of the calls around it, innermost first."""
        return self.instruction(address), *self.callers(return_addresses)
