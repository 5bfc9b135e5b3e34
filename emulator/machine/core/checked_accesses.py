"""Accesses of memory that no allocator has handed out, as an observer."""

from __future__ import annotations

import gc
import struct
from typing import TYPE_CHECKING, Any, Final

from emulator.errors import HostError
from emulator.machine.core.block_functions import block_function_rows
from emulator.machine.core.core_types import Access, Registers
from emulator.machine.core.handle import ffi, lib
from emulator.machine.core.observed import AllocatedBlock, BadAccess, BadAccesses, Poison, Use
from emulator.machine.core.observer import Observer, callers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.machine.core.handle import Core
    from emulator.machine.core.observed import BlockFunction, CompiledChecks, KernelMemory
    from emulator.machine.core.stacks import Stacks

_REGISTERS: Final = struct.Struct(f"<{len(Registers._fields)}I")


class CheckedAccesses(Observer):
    """Keeps bad accesses; made by `Observers.check_accesses`. They belong to the state of the machine: snapshots keep them."""

    def __init__(  # noqa: PLR0913 - what is checked, and for whom
        self,
        core: Core,
        stacks: Stacks,
        functions: Sequence[BlockFunction],
        memory: KernelMemory,
        compiled: CompiledChecks,
        ends_run: Callable[[BadAccesses], bool] | None,
        *,
        uninitialised: bool,
    ) -> None:
        super().__init__(core, 0)
        self._stacks = stacks
        self._kept: BadAccesses | None = None
        if core.reference:  # its fills are Unicorn's own
            raise ValueError("accesses are not checked with the reference MMU")
        rows, failures = block_function_rows(functions)
        arrays = (
            rows,
            failures,
            *map(_extents, memory),
            _extents(compiled.code),
            ffi.new("kc_report[]", compiled.reports),
        )
        checks = ffi.new(
            "kc_checking *",
            (
                *arrays,
                len(functions),
                len(failures) // 2,
                *map(len, arrays[2:]),
                uninitialised,
                ends_run is not None,
            ),
        )
        _DROPPED.collect(core)
        if core.opened(lib.kc_sanitize_open(core.raw, checks)):
            raise ValueError("no calls are recorded, or accesses are checked already")
        _DROPPED.note(core)
        for address, value in compiled.shadow.items():
            lib.kc_kasan_set(core.raw, address, value)
        if ends_run is not None:
            core.ends_at_access = lambda: ends_run(self.seen())

    def seen(self) -> BadAccesses:
        """Return what was found so far."""
        if self._kept is not None:
            return self._kept
        count, missed = ffi.new("uint32_t *"), ffi.new("bool *")
        accesses = lib.kc_bad_accesses(self._core.raw, count, missed)
        kept = tuple(self._access(accesses[i]) for i in range(count[0]))
        return BadAccesses(kept, missed[0], lib.kc_finds_returns(self._core.raw))

    def shadow(self, physical: int, size: int) -> bytes:
        """Return which bytes of RAM [physical, physical + size) may be accessed, each as a `Poison`; while it is open."""
        return bytes(ffi.buffer(lib.kc_shadow_bytes(self._core.raw) + physical, size))

    def live_blocks(self) -> list[AllocatedBlock]:
        """Return the blocks that live, in order of area and address; while it is open.

        Raises:
            HostError: No memory is left.
        """
        return self._blocks(lib.kc_live_blocks)

    def dead_blocks(self) -> list[AllocatedBlock]:
        """Return the blocks that died lately, the oldest death first; while it is open.

        Raises:
            HostError: No memory is left.
        """
        return self._blocks(lib.kc_dead_blocks)

    def close(self) -> None:
        """Look no more; what was found stays."""
        if self._kept is None:
            self._core.check_rests("CheckedAccesses.close()")
            self._kept = self.seen()
            self._core.ends_at_access = None
            lib.kc_sanitize_close(self._core.raw)

    def _blocks(self, ask: Any) -> list[AllocatedBlock]:
        count = ffi.new("uint32_t *")
        blocks = ask(self._core.raw, count)
        if blocks == ffi.NULL:
            raise HostError("no memory to show the blocks")
        return [_block(blocks[i]) for i in range(count[0])]

    def _access(self, access: Any) -> BadAccess:
        return BadAccess(
            access.linear,
            access.physical,
            access.size,
            Access(access.access),
            Poison(access.poison),
            access.offset,
            access.event,
            callers_of(access.stack, self._stacks),
            Registers._make(_REGISTERS.unpack(bytes(ffi.buffer(ffi.addressof(access, "registers"))))),
            Use(access.use),
            access.read_at,
            access.count,
            access.time_ns,
            access.last_ns,
            _block(access.block) if access.has_block else None,
            access.distance,
            access.frame,
            access.variables,
            access.owner,
            access.around,
            bytes(access.memory),
            tuple(map(Poison, access.shadow)),
        )


def _extents(ranges: Sequence[tuple[int, int]]) -> Any:
    return ffi.new("kc_extent[]", [{"start": start, "end": end} for start, end in sorted(ranges)])


def _block(block: Any) -> AllocatedBlock:
    return AllocatedBlock(
        block.start,
        block.size,
        block.area,
        block.born,
        block.birth,
        block.died or None,
        block.death or None,
    )


class _DroppedMachines:
    """Machines that nobody has any more: one of them may be where another one's checks would be fast.

    A process has room for one such window, and machines lie in cycles of references. A collection in vain, as somebody has that machine, is
    made up for by ever more openings without one: in a process with many objects it takes long.
    """

    def __init__(self) -> None:
        self._openings_left = 0
        self._pause = 1

    def collect(self, core: Core) -> None:
        """Before a machine's accesses are going to be checked."""
        if not _would_be_faster(core):
            return
        if self._openings_left:
            self._openings_left -= 1
        else:
            gc.collect()

    def note(self, core: Core) -> None:
        """They are."""
        if not _would_be_faster(core):
            self._openings_left, self._pause = 0, 1
        elif not self._openings_left:
            self._openings_left = self._pause
            self._pause = min(2 * self._pause, 64)


def _would_be_faster(core: Core) -> bool:
    window = ffi.new("kc_window *")
    lib.kc_window_now(core.raw, window)
    return bool(window.is_there) and not window.is_near


_DROPPED: Final = _DroppedMachines()
