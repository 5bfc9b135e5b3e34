"""The name of a code address, as a value: its text is made where it is shown."""

from __future__ import annotations

from typing import Final, NamedTuple

from emulator.wording import MORE_CALLERS, code_address


class Frame(NamedTuple):
    """One level of a backtrace, or a code address alone.

    Attributes:
        address: The return address; of the innermost level of a machine that stands still, the instruction's address.
        function: The symbol that it belongs to; "" where none is known.
        offset: Bytes from the symbol to *address*.
        file: The source file as the debug information names it; "" where it is not known.
        line: In *file*, from 1; 0 where it is not known.
        inlined: The function's code stands in that of the next level, whose *address* is the same; it has no *offset*.
    """

    address: int
    function: str = ""
    offset: int = 0
    file: str = ""
    line: int = 0
    inlined: bool = False

    @property
    def name(self) -> str:
        """The function, or where it is not known the address."""
        return self.function or f"0x{self.address:08x}"

    def __str__(self) -> str:
        """Return ``kmain+0x42 demo.c:31``; less where something is not known."""
        text = code_address(self.address, self.function, self.offset, inlined=self.inlined)
        if not self.file:
            return text
        name = self.file.rpartition("/")[2]
        return f"{text} {name}:{self.line}" if self.line else f"{text} {name}"


NOTHING_KNOWN: Final = Frame(0, MORE_CALLERS)
"""The last level of a backtrace that ends early: there may be more callers, and nothing is known of them."""
