"""What a server lets its clients debug."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from emulator.debug.gdb.output import NewOutput
    from emulator.debug.kernel_debugger import Debugger
    from emulator.guest.tasks import TaskReader

COMMANDS: Final = Path(__file__).with_name("kmemu.gdb")
"""The file with commands for gdb."""


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
