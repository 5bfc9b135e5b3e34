"""What all observers of the guest share: they are open until they are closed, and name instructions and their callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from emulator.machine.core.observed import LastWrite

if TYPE_CHECKING:
    from emulator.machine.core.handle import Core
    from emulator.machine.core.stacks import Stacks


class Observer:
    """Something that is open until it is closed; closing it again does nothing."""

    def __init__(self, core: Core, number: int) -> None:
        self._core = core
        self._number = number

    def close(self) -> None:
        """End it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def callers_of(stack: int, stacks: Stacks) -> tuple[int, ...]:
    """Return the return addresses of a numbered stack that starts at an instruction, innermost first; 0: ()."""
    return stacks.stack(stack)[1][1:] if stack else ()  # the first is EIP + 1


def last_write_of(write: Any, stacks: Stacks) -> LastWrite | None:
    """Return a `kc_write`; None: there was none."""
    if not write.count:
        return None
    callers = callers_of(write.stack, stacks)
    return LastWrite(write.eip, write.pc, write.event, write.before, write.after, callers, write.count)
