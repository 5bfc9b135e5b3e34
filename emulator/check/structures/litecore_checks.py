"""Checks LiteCore's heap, memmap and locks.

Theory. See `kernel_model.litecore.audits`: all invariants hold while no lock is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from emulator.check.findings import Finding, Kind
from emulator.check.structures.frame_use import AREA, FrameCheck
from emulator.check.structures.kernel_checks import KernelChecks
from kernel_model.audit import LocationKind
from kernel_model.litecore.paging_audit import paging_defects
from kernel_model.text import word_text

if TYPE_CHECKING:
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect
    from kernel_model.litecore.abi import LiteCore


class LiteCoreChecks(KernelChecks):
    """See `KernelChecks`."""

    layers_that_take = frozenset(("paging", "vspace"))

    @property
    def kinds(self) -> frozenset[Kind]:
        """See `KernelChecks.kinds`."""
        return super().kinds | {Kind.RESERVED, *([Kind.BITMAP] if self.knows_owners else [])}

    @property
    def has_mappings(self) -> bool:
        """See `KernelChecks.has_mappings`."""
        return {"page_directory", "paging_lock"} <= self._machine.image.symbols.keys()

    def mapping_defects(self) -> list[Defect]:
        """See `KernelChecks.mapping_defects`."""
        memory, memmap = self._machine.memory, cast("LiteCore", self.models).memmap
        return paging_defects(memory, len(memory), self._machine.address_of("page_directory"), memmap)

    @property
    def at_rest(self) -> bool:
        """See `KernelChecks.at_rest`."""
        return not cast("LiteCore", self.models).any_lock_held()

    def message(self, defect: Defect) -> str:
        """See `KernelChecks.message`."""
        location = defect.location
        word = f"{word_text(location)} 0x{defect.value:08x}"
        if location.kind is LocationKind.BLOCK:
            return f"heap metadata corrupted: header at 0x{location.item:08x}: {word}"
        return f"{'frame' if defect.area == AREA else 'heap'} metadata corrupted: {word}"

    def at_end(self, trace: Trace, rerun: Rerun | None = None) -> list[Finding]:
        """See `KernelChecks.at_end`."""
        frames = FrameCheck(self._machine, cast("LiteCore", self.models), trace)
        return frames.handed_out(rerun) + (
            frames.mismatches(rerun) if self.at_rest and self.knows_owners else []
        )
