"""What a task control block says: a task, its state, and what it waits for.

Source: spec 2.4.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

MAX_TASKS: Final = 32
PRIORITIES: Final = range(1, 32)

TMO_POL: Final = 0
TMO_FEVR: Final = -1


class TaskState(IntEnum):
    """``tcb.state``."""

    NON_EXISTENT = 0
    DORMANT = 1
    READY = 2
    WAIT = 4


class WaitKind(IntEnum):
    """``tcb.wait_kind``."""

    NONE = 0
    SLEEP = 1
    MPL = 2
    MPF = 3


class Wait(NamedTuple):
    """What a task waits for.

    Attributes:
        kind: The kind of object.
        number: Its id.
        size: Bytes of the block; 0 in pools of fixed-size blocks.
        out: Kernel address of the word that receives the block's address.
        timeout: ms, or `TMO_FEVR`.
    """

    kind: WaitKind
    number: int
    size: int
    out: int
    timeout: int


class Task(NamedTuple):
    """A task: some members of its ``struct tcb``.

    Attributes:
        number: Its id.
        wait_size: Bytes of the block that it waits for; 0 in pools of blocks of one size.
        wercd: What the call that it waits in will answer, as an int32.
        deadline: System time (ms) at which it gives up waiting; None: never.
    """

    number: int
    state: int
    priority: int
    wait_kind: int
    wait_id: int
    wait_size: int
    wercd: int
    deadline: int | None


class TaskStack(NamedTuple):
    """Where a task's kernel stack lies, kernel addresses.

    Attributes:
        esp: What ESP was when another task was switched to; 0: never.
        start: Lowest address; 0: it has none, as the idle task, or is none.
        size: Bytes.
    """

    esp: int
    start: int
    size: int

    def holds(self, address: int) -> bool:
        """Return whether a stack pointer points into it, or to its end, where it is empty."""
        return self.start < address <= self.start + self.size
