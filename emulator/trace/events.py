"""One recorded call and one frame of its call stack, as values."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple


class Frame(NamedTuple):
    """One level of a call stack.

    Attributes:
        address: The return address.
        function: The symbol it lies in; "" where none is known.
        offset: Bytes from the symbol to *address*.
        file: The source file as the debug information names it; "" where it is not known.
        line: In *file*, from 1; 0 where it is not known.
    """

    address: int
    function: str = ""
    offset: int = 0
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.function}+0x{self.offset:x}" if self.function else f"0x{self.address:08x}"
        if not self.file:
            return place
        name = PurePosixPath(self.file).name
        return f"{place} {name}:{self.line}" if self.line else f"{place} {name}"


class Call(NamedTuple):
    """One call of a recorded function.

    Attributes:
        number: In order of entry, from 1.
        parent: Number of the recorded call in which it was made; 0: in none.
        depth: Recorded calls around it.
        function: Its name.
        arguments: As many words as the function has parameters.
        entered: Number of the event of its entry.
        left: Of its exit; None: it did not return.
        time_ns: Virtual time of the entry.
        left_time_ns: Of the exit.
        result: EAX at the exit.
        out: The word at the address in the parameter "out", at the exit; 0 without that parameter.
        esp: At the entry: the address of the return address.
        stack: Number of the call stack; 0: unknown.
    """

    number: int
    parent: int
    depth: int
    function: str
    arguments: tuple[int, ...]
    entered: int
    left: int | None
    time_ns: int
    left_time_ns: int | None
    result: int | None
    out: int | None
    esp: int
    stack: int
