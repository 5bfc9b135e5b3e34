"""BTRON/386's pages, bytes and pools.

Theory. Everything happens with interrupts off. So while they are on all rules hold, wherever the kernel is and
whatever tasks wait in a call. While they are off all rules hold if no recorded call goes on: what changes pages, bytes or
pools is recorded, except for what serves tasks that wait for a pool, and these are in a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.check.findings import Finding, Kind
from emulator.check.structures.page_owners import PageCheck
from emulator.x86 import Eflags
from kernel_model.btron.kernel_space import virtual
from kernel_model.btron.kmem_reader import KmemReader
from kernel_model.btron.page_reader import page_defects
from kernel_model.btron.pool_reader import PoolReader
from kernel_model.btron.tasks import TaskState, WaitKind

if TYPE_CHECKING:
    from emulator.check.rerun import Rerun
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace
    from kernel_model.audit import Location
    from kernel_model.btron.abi import Btron
    from kernel_model.btron.tasks import Task
    from kernel_model.defect import Defect

_AREAS: Final = ("kmem", "mpl", "mpf")


class BtronState:
    """See `emulator.check.structures.state.StateChecks`.

    Args:
        machine: Any time. Its calls have to be recorded.
        btron: The models on its memory; only read from.
    """

    def __init__(self, machine: Machine, btron: Btron) -> None:
        self._machine = machine
        self._btron = btron

    @property
    def kinds(self) -> frozenset[Kind]:
        """See `StateChecks.kinds`."""
        return frozenset((Kind.CORRUPTION, Kind.REFCOUNT, Kind.RESERVED, Kind.DEADLOCK))

    @property
    def quiet(self) -> bool:
        """See `StateChecks.quiet`."""
        cpu = self._machine.cpu
        return bool(cpu.registers().eflags & Eflags.IF) or not cpu.open_calls()

    def look(self) -> list[Defect]:
        """See `StateChecks.look`."""
        if not self.quiet:
            return []
        memory, btron = self._machine.memory, self._btron
        notes: list[str] = []
        found = list(page_defects(memory, len(memory), btron.pmem))
        KmemReader(memory, len(memory), btron.kmem, notes, found).state()
        for _ in PoolReader(memory, len(memory), btron, notes, found).pools():
            """Each pool is checked on the way."""
        return found

    def area_of(self, defect: Defect) -> str:
        """See `StateChecks.area_of`."""
        text = defect.field or defect.problem
        return next((area for area in _AREAS if text.startswith(area)), "pmem")

    def message(self, defect: Defect) -> str:
        """See `StateChecks.message`."""
        text = f"{defect.field} 0x{defect.value:08x}: {defect.problem}" if defect.field else defect.problem
        return f"{self.area_of(defect)} metadata corrupted: {text}"

    def linear(self, address: int) -> int:
        """See `StateChecks.linear`."""
        return virtual(address)

    def locate(self, address: int) -> Location | None:
        """See `StateChecks.locate`."""
        return self._btron.locate(address)

    def waiting(self) -> list[str]:
        """See `StateChecks.waiting`."""
        tasks = self._btron.tasks.tasks()
        return [
            f"task {each.number} waits {_wait_text(each)}" for each in tasks if each.state == TaskState.WAIT
        ]

    def at_end(self, trace: Trace, rerun: Rerun | None = None) -> list[Finding]:
        """See `StateChecks.at_end`."""
        pages = PageCheck(self._machine, self._btron.pmem, trace)
        return pages.handed_out() + (pages.mismatches(rerun) if self.quiet else [])


def _wait_text(task: Task) -> str:
    until = "" if task.deadline is None else f" until tick {task.deadline}"
    match task.wait_kind:
        case WaitKind.SLEEP:
            return f"to be woken{until}"
        case WaitKind.MPL:
            return f"for {task.wait_size} bytes of memory pool {task.wait_id}{until}"
        case WaitKind.MPF:
            return f"for a block of fixed-size memory pool {task.wait_id}{until}"
        case _:
            return f"for what kmemu does not know (wait_kind {task.wait_kind}){until}"
