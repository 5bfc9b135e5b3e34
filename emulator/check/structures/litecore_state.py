"""LiteCore's heap, memmap and locks.

Theory. See `kernel_model.litecore.audits`: all invariants hold while no lock is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.findings import Finding, Kind
from emulator.check.structures.frame_use import AREA, FrameCheck
from emulator.hle.kernels import addresses
from kernel_model.audit import LocationKind
from kernel_model.litecore.audits import LockAudit
from kernel_model.text import word_text

if TYPE_CHECKING:
    from emulator.check.rerun import Rerun
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect, Location
    from kernel_model.litecore.abi import LiteCore


class LiteCoreState:
    """See `emulator.check.structures.state.StateChecks`.

    Args:
        machine: Any time.
        litecore: The models on its memory; only read from.
    """

    def __init__(self, machine: Machine, litecore: LiteCore) -> None:
        self._machine = machine
        self._litecore = litecore
        self._audits = litecore.audits(len(machine.memory))
        self._locks = LockAudit(machine.memory, addresses(machine))

    @property
    def kinds(self) -> frozenset[Kind]:
        """See `StateChecks.kinds`."""
        return frozenset((Kind.CORRUPTION, Kind.BITMAP, Kind.RESERVED))

    @property
    def quiet(self) -> bool:
        """See `StateChecks.quiet`."""
        return not self._locks.any_held()

    def look(self) -> list[Defect]:
        """See `StateChecks.look`."""
        if not self.quiet:
            return []
        return [defect for audit in self._audits for defect in audit.defects()]

    def message(self, defect: Defect) -> str:
        """See `StateChecks.message`."""
        location = defect.location
        word = f"{word_text(location)} 0x{defect.value:08x}"
        if location.kind is LocationKind.BLOCK:
            return f"heap metadata corrupted: header at 0x{location.index:08x}: {word}"
        return f"{'frame' if defect.area == AREA else 'heap'} metadata corrupted: {word}"

    def linear(self, address: int) -> int:
        """See `StateChecks.linear`."""
        return self._litecore.linear(address)

    def locate(self, address: int) -> Location | None:
        """See `StateChecks.locate`."""
        return self._litecore.locate(address)

    def waiting(self) -> list[str]:
        """See `StateChecks.waiting`: LiteCore has no tasks."""
        return []

    def at_end(self, trace: Trace, rerun: Rerun | None = None) -> list[Finding]:
        """See `StateChecks.at_end`."""
        frames = FrameCheck(self._machine, self._litecore, trace)
        return frames.handed_out(rerun) + (frames.mismatches(rerun) if self.quiet else [])
