"""Checks BTRON/386's pages, bytes and pools.

Theory. Everything happens with interrupts off. So while they are on all invariants hold, wherever the kernel is and
whatever tasks wait in a call. While they are off all invariants hold if no recorded call goes on: what changes pages, bytes
or pools is recorded, except for what serves tasks that wait for a pool, and these are in a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from emulator.check.findings import Finding, Kind
from emulator.check.structures.kernel_checks import KernelChecks
from emulator.check.structures.page_owners import PageCheck
from emulator.x86 import Eflags
from kernel_model.btron.kernel_space import physical
from kernel_model.btron.space_audit import SpaceAudit
from kernel_model.btron.tcb import TaskState, WaitKind

if TYPE_CHECKING:
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect
    from kernel_model.btron.abi import Btron
    from kernel_model.btron.tcb import Task


class BtronChecks(KernelChecks):
    """See `KernelChecks`."""

    layers_that_take = frozenset(("kmem", "pools", "regions"))

    @property
    def kinds(self) -> frozenset[Kind]:
        """See `KernelChecks.kinds`."""
        return super().kinds | {
            *(Kind.RESERVED, Kind.DEADLOCK),
            *([Kind.REFCOUNT] if self.knows_owners else []),
        }

    @property
    def has_mappings(self) -> bool:
        """See `KernelChecks.has_mappings`."""
        return "space_table" in self._machine.image.symbols

    @property
    def mappings_at_rest(self) -> bool:
        """See `KernelChecks.mappings_at_rest`. Not every function that changes page tables is recorded."""
        return bool(self._machine.registers().eflags & Eflags.IF)

    def mapping_defects(self) -> list[Defect]:
        """See `KernelChecks.mapping_defects`."""
        memory = self._machine.memory
        space_table = physical(self._machine.address_of("space_table"))
        return SpaceAudit(memory, len(memory), space_table, self._btron.pmem).defects()

    @property
    def at_rest(self) -> bool:
        """See `KernelChecks.at_rest`."""
        return bool(self._machine.registers().eflags & Eflags.IF) or super().at_rest

    def waiting(self) -> list[str]:
        """See `KernelChecks.waiting`."""
        tasks = self._btron.tasks.tasks()
        return [
            f"task {each.number} waits {_wait_text(each)}" for each in tasks if each.state == TaskState.WAIT
        ]

    def at_end(self, trace: Trace, rerun: Rerun | None = None) -> list[Finding]:
        """See `KernelChecks.at_end`."""
        pages = PageCheck(self._machine, self._btron.pmem, trace)
        return pages.handed_out() + (pages.mismatches(rerun) if self.at_rest and self.knows_owners else [])

    @property
    def _btron(self) -> Btron:
        return cast("Btron", self.models)


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
