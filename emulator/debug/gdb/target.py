"""What a server lets its clients debug."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.debug.gdb.output import NewOutput
    from emulator.debug.kernel_debugger import Debugger
    from emulator.guest.tasks import TaskReader


class Target(NamedTuple):
    """A kernel under a debugger.

    Attributes:
        debugger: One session at a time uses it.
        output: Of its machine.
        tasks: Reads the kernel's tasks; None: none are known.
    """

    debugger: Debugger
    output: NewOutput
    tasks: TaskReader | None = None
