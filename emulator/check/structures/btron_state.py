"""BTRON/386's pages, bytes and pools.

Theory. Everything happens with interrupts off. So while they are on all rules hold, wherever the kernel is and
whatever tasks wait in a call. While they are off all rules hold if no recorded call goes on: what changes pages, bytes or
pools is recorded, except for what serves tasks that wait for a pool, and these are in a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.findings import Finding, Kind
from emulator.check.structures.page_owners import PageCheck
from emulator.x86 import Eflags
from kernel_model.btron.tasks import TaskState, WaitKind
from kernel_model.text import violation_text, word_text

if TYPE_CHECKING:
    from emulator.check.rerun import Rerun
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect, Location
    from kernel_model.btron.abi import Btron
    from kernel_model.btron.tasks import Task


class BtronState:
    """See `emulator.check.structures.state.StateChecks`.

    Args:
        machine: Any time. Its calls have to be recorded.
        btron: The models on its memory; only read from.
    """

    def __init__(self, machine: Machine, btron: Btron) -> None:
        self._machine = machine
        self._btron = btron
        self._audits = btron.audits(len(machine.memory))

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
        return [defect for audit in self._audits for defect in audit.defects()]

    def message(self, defect: Defect) -> str:
        """See `StateChecks.message`."""
        text = violation_text(defect)
        if not defect.invariant.names_word:
            text = f"{word_text(defect.location)} 0x{defect.value:08x}: {text}"
        return f"{defect.area} metadata corrupted: {text}"

    def linear(self, address: int) -> int:
        """See `StateChecks.linear`."""
        return self._btron.linear(address)

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
