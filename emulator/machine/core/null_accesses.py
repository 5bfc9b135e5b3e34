"""Accesses of page zero, as an observer: by instructions of the kernel, through null pointers as a rule."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from emulator.machine.core.core_types import Access, Registers
from emulator.machine.core.handle import ffi, lib
from emulator.machine.core.observed import NullAccess, PageZero
from emulator.machine.core.observer import Observer, callers_of

if TYPE_CHECKING:
    from emulator.machine.core.handle import Core
    from emulator.machine.core.stacks import Stacks

_REGISTERS: Final = struct.Struct(f"<{len(Registers._fields)}I")


class NullAccesses(Observer):
    """Keeps accesses of page zero; made by `Observers.guard_page_zero`. They belong to the state of the machine: snapshots keep them."""

    def __init__(self, core: Core, stacks: Stacks) -> None:
        super().__init__(core, 0)
        self._stacks = stacks
        self._is_open = True

    def seen(self) -> PageZero:
        """Return what was accessed so far."""
        summary = ffi.new("kc_page_zero *")
        accesses = lib.kc_null_accesses(self._core.raw, summary)
        return PageZero(
            tuple(self._access(accesses[i]) for i in range(summary.kept)),
            summary.missed,
            summary.has_tables,
            summary.old_modes_event if summary.old_modes else None,
            self._access(summary.fault) if summary.fault.count else None,
        )

    def close(self) -> None:
        """Look no more; what was kept stays."""
        if self._is_open:
            self._core.check_rests("NullAccesses.close()")
            self._is_open = False
            lib.kc_null_close(self._core.raw)

    def _access(self, access: Any) -> NullAccess:
        return NullAccess(
            access.linear,
            Access(access.access),
            access.event,
            callers_of(access.stack, self._stacks),
            Registers._make(_REGISTERS.unpack(bytes(ffi.buffer(ffi.addressof(access, "registers"))))),
            access.count,
        )
