"""Stale translations, as an observer: what the TLB holds, and page tables no longer say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from emulator.machine.core.handle import ffi, lib
from emulator.machine.core.observed import Rights, StaleUse
from emulator.machine.core.observer import Observer, callers_of, last_write_of

if TYPE_CHECKING:
    from emulator.machine.core.handle import Core
    from emulator.machine.core.stacks import Stacks

_ACCESSES: Final[dict[int, Literal["read", "write", "fetch"]]] = {
    lib.KC_READ: "read",
    lib.KC_WRITE: "write",
    lib.KC_FETCH: "fetch",
}


class StaleTranslations(Observer):
    """Keeps accesses by translations that page tables no longer say; made by `Observers.seek_stale`."""

    def __init__(self, core: Core, stacks: Stacks, *, each_load: bool) -> None:
        self._each_load = each_load
        self._kept: tuple[StaleUse, ...] | None = None
        self._is_whole = True
        self._stacks = stacks
        super().__init__(core, int(lib.kc_stale_uses(core.raw, ffi.new("kc_stale_use **"))))

    def uses(self) -> tuple[StaleUse, ...]:
        """Return those since it was opened, of each change of an entry the first; of a machine's the first 256."""
        if self._kept is not None:
            return self._kept
        uses = ffi.new("kc_stale_use **")
        count = min(lib.kc_stale_uses(self._core.raw, uses), lib.KC_STALE_USES)
        return tuple(self._use(uses[0][i]) for i in range(self._number, count))

    @property
    def is_whole(self) -> bool:
        """Whether all uses were found.

        Where the guest loads CR3 so often that each load is not followed, it may be unknown whether a page was accessed before its entry was changed.
        """
        return self._is_whole if self._kept is not None else bool(lib.kc_stale_is_whole(self._core.raw))

    def close(self) -> None:
        """Look no more; what was kept stays."""
        if self._kept is None:
            self._core.check_rests("StaleTranslations.close()")
            self._is_whole = self.is_whole
            self._kept = self.uses()
            lib.kc_stale_close(self._core.raw, self._each_load)

    def _use(self, use: Any) -> StaleUse:
        return StaleUse(
            use.linear,
            _ACCESSES[use.access],
            use.eip,
            use.pc,
            use.event,
            callers_of(use.stack, self._stacks),
            use.held,
            Rights(use.held_rights),
            use.now,
            Rights(use.now_rights),
            use.entry_at,
            last_write_of(use.change, self._stacks),
        )
