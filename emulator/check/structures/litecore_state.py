"""LiteCore's heap, memmap and locks.

Theory. Everything happens with the lock of its structure held, so while no lock is held all rules of heap and
memmap hold, wherever the kernel is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.check.findings import Finding, Kind
from emulator.check.structures.frame_use import FrameCheck
from kernel_model.defect import Defect
from kernel_model.litecore.memmap_reader import memmap_defects
from kernel_model.litecore.spinlock import FREE, HELD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.rerun import Rerun
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace
    from kernel_model.audit import Location
    from kernel_model.litecore.abi import LiteCore

_LOCKS: Final = ("heap_lock", "memmap_lock")
_OFFSETS: Final = {"size": 0, "used": 4, "next": 8}


class LiteCoreState:
    """See `emulator.check.structures.state.StateChecks`.

    Args:
        machine: Any time.
        litecore: The models on its memory; only read from.
    """

    def __init__(self, machine: Machine, litecore: LiteCore) -> None:
        self._machine = machine
        self._litecore = litecore
        self._memory = machine.memory
        self._memmap = machine.address_of("memmap")
        self._locks = {name: machine.address_of(name) for name in _LOCKS}

    @property
    def kinds(self) -> frozenset[Kind]:
        """See `StateChecks.kinds`."""
        return frozenset((Kind.CORRUPTION, Kind.BITMAP, Kind.RESERVED))

    @property
    def quiet(self) -> bool:
        """See `StateChecks.quiet`."""
        return all(self._memory.load_u32(address) != HELD for address in self._locks.values())

    def look(self) -> list[Defect]:
        """See `StateChecks.look`."""
        if not self.quiet:
            return []
        heap = self._litecore.heap
        found = [] if heap.is_sound() else heap.validate()
        found += memmap_defects(self._memory, len(self._memory), self._litecore.memmap, self._memmap)
        return found + list(self._lock_defects())

    def _lock_defects(self) -> Iterator[Defect]:
        for name, address in self._locks.items():
            value = self._memory.load_u32(address)
            if value not in (FREE, HELD):
                yield Defect(address, name, value, "neither 0 nor 1")

    def area_of(self, defect: Defect) -> str:
        """See `StateChecks.area_of`."""
        return "frames" if defect.field.startswith(("memmap", "bitmap")) else "heap"

    def message(self, defect: Defect) -> str:
        """See `StateChecks.message`."""
        word = f"{defect.field} 0x{defect.value:08x}"
        if defect.field in _OFFSETS:
            header = defect.address - _OFFSETS[defect.field]
            return f"heap metadata corrupted: header at 0x{header:08x}: {word}"
        return f"{'frame' if self.area_of(defect) == 'frames' else 'heap'} metadata corrupted: {word}"

    def linear(self, address: int) -> int:
        """See `StateChecks.linear`."""
        return address

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
