"""Symbolize addresses of code: the function, the offset in it, and the source line.

There are two kinds of address. The address *of an instruction* lies in the function and the line that it belongs to. A *return
address* is where a call goes on; `KernelImage.call_site` says how it is named.

An interrupted instruction on a call stack counts as a call one byte long: its "return address" is its own address + 1.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from emulator.loader.frame import NOTHING_KNOWN, Frame
from emulator.loader.functions.names import plain_name

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
        self._callers: dict[int, tuple[Frame, ...]] = {0: (NOTHING_KNOWN,)}

    def instruction(self, address: int) -> Frame:
        """Return the frame of an instruction at *address*, which has not been executed yet or is being executed."""
        return self._image.location(address)

    def caller(self, return_address: int) -> tuple[Frame, ...]:
        """Return the frames of the call that goes on at *return_address*, innermost first.

        They are several where the call stands in inlined functions; of 0, which ends a stack early, `NOTHING_KNOWN`.
        """
        frames = self._callers.get(return_address)
        if frames is None:
            frames = self._with_inlined(self._image.call_site(return_address), return_address - 1)
            self._callers[return_address] = frames
        return frames

    def callers(self, return_addresses: Iterable[int]) -> tuple[Frame, ...]:
        """Return the frames of nested calls, in the same order."""
        return tuple(chain.from_iterable(map(self.caller, return_addresses)))

    def backtrace(self, address: int, return_addresses: Iterable[int] = ()) -> tuple[Frame, ...]:
        """Return the frames of an instruction at *address* and of the calls around it, innermost first."""
        frame = self.instruction(address)
        # A function has called nothing yet at its first instruction, though this may belong to an inlined one.
        is_entry = frame.function and not frame.offset
        innermost = (frame,) if is_entry else self._with_inlined(frame, address)
        return *innermost, *self.callers(return_addresses)

    def _with_inlined(self, frame: Frame, address: int) -> tuple[Frame, ...]:
        """Return a frame, and before it those of the inlined functions that the instruction at an address belongs to.

        The line of an instruction is one of the innermost function; where that was called is a line of the next one.
        """
        frames = []
        file, line = frame.file, frame.line
        for call in self._image.inlined_calls(address):
            frames.append(Frame(frame.address, plain_name(call.function), 0, file, line, inlined=True))
            file, line = call.file, call.line
        return *frames, frame._replace(file=file, line=line)
