"""Where in its run a machine stands."""

from __future__ import annotations

from typing import NamedTuple


class Moment(NamedTuple):
    """Where in its run a machine stands: in front of an instruction, or at the end. Moments are ordered as they come.

    Attributes:
        instructions: Executed since the machine's start.
        faults: Exceptions that were raised after the last of them: an instruction that faults has not been executed, and the handler's first
            one comes at the same count.
        entered: The instruction is a recorded function's first one, and the call is recorded already.
        at_end: The run has ended here.
    """

    instructions: int
    faults: int = 0
    entered: bool = False
    at_end: bool = False
