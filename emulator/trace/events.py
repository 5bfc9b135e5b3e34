"""One recorded call, as a value."""

from __future__ import annotations

from typing import NamedTuple


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
