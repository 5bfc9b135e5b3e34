"""Programs for tests of BTRON/386's tasks in ring 3: a few lines of assembly, put over the text of `firmware:vm_demo`."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tests.conformance.btron.subjects import KERNEL, PAGE

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from tests.conformance.btron.subjects import Guest

TEXT: Final = 0x0040_0000
PROGRAM: Final = TEXT + 0x20
"""Where the first program begins: after the instructions that a task ends with."""

HEAP: Final = 0x1000_0000
STACK_END: Final = 0x7FFF_F000
TA_USER: Final = 0x100
EXT_TSK, SLP_TSK, WUP_TSK, GET_TID, PUT_CON = 1, 2, 3, 4, 5
READ, WRITE, EXEC, USER, STACK = 1, 2, 4, 0x10000, 0x20000
USABLE: Final = READ | WRITE | USER
_COMMAND: Final = (
    *("gcc", "-m32", "-nostdlib", "-static", "-no-pie"),
    "-Wl,--build-id=none,--oformat=binary,-e0",
)


class Kernel(Protocol):
    """A kernel that has run to its end."""

    @property
    def machine(self) -> Machine:
        """What it runs on."""

    @property
    def console(self) -> str:
        """All that it has printed."""


class UserTasks:
    """A kernel whose task 1, of priority 10, runs alone, and which can start programs in ring 3.

    Args:
        guest: `firmware:vm_demo` with fresh pages.
        kernel: The same, for its console and its symbols.
    """

    def __init__(self, guest: Guest, kernel: Kernel) -> None:
        self.guest = guest
        self.kernel = kernel
        symbols = kernel.machine.image.symbols
        self.data: int = symbols["__user_data"].address
        assert guest.er("user_text_init") == 0
        guest.memory.write(guest.symbols["task_memory"], bytes(33 * 8))
        guest.add_task(1)
        guest.run(1)
        self._next = PROGRAM
        self._printed = len(kernel.console)

    @property
    def free(self) -> int:
        """How many pages are free."""
        return self.guest.call("pmem_free_pages")

    @property
    def console(self) -> str:
        """What has been printed since the kernel was prepared."""
        return self.kernel.console[self._printed :]

    def load(self, source: str) -> int:
        """Put a program into the text that all tasks share, after those before, and return its address."""
        start = self._next
        code = assembled(source, start)
        self._next = start + len(code)
        assert self._next <= TEXT + PAGE
        self.guest.memory.write((self.guest.get("text_pages") & ~KERNEL) + start - TEXT, code)
        return start

    def create(
        self, number: int, start: int, *, priority: int = 5, stack: int = 4 * PAGE, exinf: int = 0
    ) -> None:
        """Create a task for ring 3."""
        packet = self.guest.packet(exinf, TA_USER | 1, start, priority, stack)
        assert self.guest.er("cre_tsk", number, packet) == 0

    def run(self, number: int, source: str, *, stacd: int = 0, **options: int) -> None:
        """Create a more urgent task that runs a program, until it waits or ends."""
        self.create(number, self.load(source), **options)
        assert self.guest.er("sta_tsk", number, stacd) == 0

    def words(self, number: int, start: int, count: int = 1) -> tuple[int, ...]:
        """Return words of a task's user space."""
        out = self.guest.out(16)
        assert self.guest.er("vget_reg", number, start, 4 * count, out) == 0
        return self.guest.words(out, count)


@cache
def assembled(source: str, at: int) -> bytes:
    """Return the code of assembly that begins at an address."""
    with tempfile.TemporaryDirectory(prefix="kmemu-ring3-") as directory:
        text, code = Path(directory) / "program.s", Path(directory) / "program"
        text.write_text(f"{source}\n")
        command = [*_COMMAND, f"-Wl,-Ttext={at:#x}", "-o", str(code), str(text)]
        subprocess.run(command, check=True)
        return code.read_bytes()
