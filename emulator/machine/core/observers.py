"""What observes the guest while it runs: probes, watchpoints, step logs, stale translations, null accesses, checked accesses, notes of written pages.

Each is a handle with a `close()`, which is called at the end of a `with` block, too. Any number of a kind may be open at
once, and none knows of the others. Handles are opened and closed between runs only; what they have recorded may be asked for at
any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.errors import HostError
from emulator.machine.core.checked_accesses import CheckedAccesses
from emulator.machine.core.handle import ffi, lib, pages_of
from emulator.machine.core.null_accesses import NullAccesses
from emulator.machine.core.observed import (
    NO_COMPILED_CHECKS,
    KernelMemory,
    LastWrite,
    ProbeAction,
    ProbeKind,
    Step,
    StepKind,
    WatchState,
    Written,
)
from emulator.machine.core.observer import Observer, last_write_of
from emulator.machine.core.stale_translations import StaleTranslations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.machine.core.handle import Core
    from emulator.machine.core.observed import BadAccesses, BlockFunction, CompiledChecks
    from emulator.machine.core.stacks import Stacks

    ProbeCallback = Callable[[int, int, int], int]


class Probe(Observer):
    """A callback at an instruction; made by `Observers.probe`."""

    def __init__(self, core: Core, number: int, callback: int) -> None:
        super().__init__(core, number)
        self._callback = callback

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Call back from now on, or not; this may be done in a callback."""
        lib.kc_probes_switch(self._core.raw, self._callback, on)

    def close(self) -> None:
        """Take it away."""
        self._core.check_rests("Probe.close()")
        lib.kc_probe_remove(self._core.raw, self._number)


class Watchpoint(Observer):
    """Keeps writes to some bytes; made by `Observers.watch`. Writes to their page cost time meanwhile."""

    def __init__(self, core: Core, number: int, stacks: Stacks) -> None:
        super().__init__(core, number)
        self._stacks = stacks

    def last_write(self) -> LastWrite | None:
        """Return the last write."""
        writes = self._writes()
        return last_write_of(writes.last, self._stacks)

    def changes(self) -> tuple[LastWrite, LastWrite] | None:
        """Return the first and the last write that left the bytes other than they were."""
        writes = self._writes()
        changes = (
            last_write_of(writes.first_change, self._stacks),
            last_write_of(writes.last_change, self._stacks),
        )
        return None if changes[0] is None or changes[1] is None else (changes[0], changes[1])

    def close(self) -> None:
        """Forget the writes, and keep no more."""
        self._core.check_rests("Watchpoint.close()")
        lib.kc_watchpoint_close(self._core.raw, self._number)

    def _writes(self) -> Any:
        writes = ffi.new("kc_writes *")
        if not lib.kc_watchpoint_writes(self._core.raw, self._number, writes):
            raise ValueError("the watchpoint is closed")
        return writes


class StepLog(Observer):
    """Keeps each instruction and access of runs; made by `Observers.log_steps`. Runs are slow meanwhile."""

    def steps(self) -> list[Step]:
        """Return what was kept so far; nothing once it is closed."""
        count = ffi.new("uint32_t *")
        steps = lib.kc_step_log(self._core.raw, self._number, count)
        return [
            Step(StepKind(each.kind), each.address, each.size, each.value)
            for each in (steps[i] for i in range(count[0]))
        ]

    def close(self) -> None:
        """Forget the steps, and keep no more."""
        self._core.check_rests("StepLog.close()")
        lib.kc_step_log_close(self._core.raw, self._number)


class WrittenPages(Observer):
    """Notes the pages that the guest writes; made by `Observers.note_written`.

    It belongs to the state of the machine: snapshots keep it.
    """

    @property
    def state(self) -> WatchState:
        """Whether it goes on. One that belongs to a call pauses while an exception in it is handled."""
        return WatchState(lib.kc_watch_state(self._core.raw, self._number))

    @property
    def is_open(self) -> bool:
        """Whether it is not closed; one that belongs to a call ends with that."""
        return self.state is not WatchState.CLOSED

    def take(self) -> Written:
        """Close it and return what it has recorded.

        Raises:
            HostError: There was no memory for all pages.
            ValueError: It is not open.
        """
        if not self.is_open:
            raise ValueError(f"watch {self._number} is not open")
        touched, marked, marked_count = (
            ffi.new("kc_touched **"),
            ffi.new("kc_touched **"),
            ffi.new("uint32_t *"),
        )
        count = lib.kc_watch_end(self._core.raw, self._number, touched, marked, marked_count)
        if count < 0:
            raise HostError("no memory to keep the pages that the guest writes")
        return Written(pages_of(touched, count), pages_of(marked, marked_count[0]))

    def close(self) -> None:
        """Note no more."""
        if self.is_open:
            touched, marked_count = ffi.new("kc_touched **"), ffi.new("uint32_t *")
            lib.kc_watch_end(self._core.raw, self._number, touched, touched, marked_count)


class Observers:
    """Opens observers of one machine.

    Args:
        core: Of the machine.
        stacks: Its call stacks.
    """

    def __init__(self, core: Core, stacks: Stacks) -> None:
        self._core = core
        self._stacks = stacks
        self._callbacks: list[ProbeCallback] = []
        core.probe = self._reached

    def probe(
        self,
        address: int,
        callback: ProbeCallback,
        *,
        kind: ProbeKind = ProbeKind.ENTRY,
        answers: bool = False,
    ) -> Probe:
        """Call back in front of an instruction, before it is executed.

        Code that has run before does not reach the probe until `Machine.flush_code` is called. Probes of one instruction are
        reached in the order in which they were opened.

        Args:
            address: The instruction, linear.
            callback: (kind, ESP, EAX) -> EAX.
            kind: Where it sits: at a function's entry, or where one returns.
            answers: What the callback returns is the new EAX; else it does not count.
        """
        self._core.check_rests("probe()")
        self._callbacks.append(callback)
        number = len(self._callbacks) - 1
        action = ProbeAction.REPLACE if answers else ProbeAction.NOTIFY
        return Probe(self._core, self._add(address, number, kind, action), number)

    def record_at(self, address: int, function: int, kind: ProbeKind) -> None:
        """Let calls be recorded at an instruction.

        Args:
            address: The instruction, linear.
            function: Position among the recorded functions; of an entry.
            kind: Which part of a call it is.
        """
        self._core.check_rests("record_at()")
        self._add(address, function, kind, ProbeAction.RECORD)

    def watch(self, physical: int, size: int) -> Watchpoint:
        """Keep writes to *size* bytes from *physical* upwards; what they were before and after is kept of the first four.

        Raises:
            HostError: The size is 0, or no memory is left.
        """
        self._core.check_rests("watch()")
        number = self._core.opened(lib.kc_watchpoint_open(self._core.raw, physical, size))
        return Watchpoint(self._core, number, self._stacks)

    def log_steps(self, limit: int) -> StepLog:
        """Keep each instruction and access from now on, the first *limit* of them."""
        self._core.check_rests("log_steps()")
        return StepLog(self._core, self._core.opened(lib.kc_step_log_open(self._core.raw, limit)))

    def seek_stale(self, *, each_load: bool = False) -> StaleTranslations:
        """Keep accesses by translations that the TLB holds, and page tables no longer say. The run is as it is without.

        Args:
            each_load: Follow each load of CR3, however long that takes; else a use may be missed, which `StaleTranslations.is_whole` says.

        Raises:
            HostError: No memory is left.
            ValueError: The machine has the reference MMU.
        """
        self._core.check_rests("seek_stale()")
        if self._core.reference:  # its fills are Unicorn's own
            raise ValueError("stale translations are not found with the reference MMU")
        self._core.opened(lib.kc_stale_open(self._core.raw, each_load))
        return StaleTranslations(self._core, self._stacks, each_load=each_load)

    def guard_page_zero(self) -> NullAccesses:
        """Keep accesses of linear addresses 0 to 0xfff by the kernel's instructions. Other pages are as fast as without."""
        self._core.check_rests("guard_page_zero()")
        lib.kc_null_open(self._core.raw)
        return NullAccesses(self._core, self._stacks)

    def check_accesses(  # noqa: PLR0913 - what is checked
        self,
        functions: Sequence[BlockFunction],
        objects: Sequence[tuple[int, int]] = (),
        allocator: Sequence[tuple[int, int]] = (),
        read_only: Sequence[tuple[int, int]] = (),
        compiled: CompiledChecks = NO_COMPILED_CHECKS,
        ends_run: Callable[[BadAccesses], bool] | None = None,
        *,
        uninitialised: bool = False,
    ) -> CheckedAccesses:
        """Keep accesses of memory that no allocator has handed out. The run is as it is without.

        Args:
            functions: What the recorded functions do to blocks, in the order in which they are recorded.
            objects: See `KernelMemory`.
            allocator: The same.
            read_only: The same.
            compiled: Checks that are part of the kernel's code, whose shadow has to be there.
            ends_run: Asked at each access of a new kind, before it is made, whether the run of the machine ends there. None: no run does.
            uninitialised: Keep uses of values that were read from blocks, and never written, too.

        Raises:
            HostError: No memory is left.
            ValueError: The machine has the reference MMU, no calls are recorded, or accesses are checked already.
        """
        self._core.check_rests("check_accesses()")
        memory = KernelMemory(objects, allocator, read_only)
        return CheckedAccesses(
            self._core,
            self._stacks,
            functions,
            memory,
            compiled,
            ends_run,
            uninitialised=uninitialised,
        )

    def note_written(self, stack: range | None = None) -> WrittenPages:
        """Start to note the pages that the guest writes; up to 64 such notes may be open at a time. For callbacks, too.

        Args:
            stack: Where ESP (linear) is while a call of the guest goes on that the note belongs to; the last is where its
                return address lies. It is closed when ESP is seen elsewhere, and when registers are set. No interrupt
                comes before. What happens between an exception and the `iret` that comes back from it is not noted.

        Raises:
            HostError: There are too many.
        """
        low, high = (stack[0], stack[-1]) if stack else (0, 0)
        number: int = lib.kc_watch_begin(self._core.raw, low, high)
        if not number:
            raise HostError("too many notes of written pages are open")
        return WrittenPages(self._core, number)

    def count_write(self, address: int, size: int) -> None:
        """Count a write from Python to [address, address + size), physical, as the guest's; call it before writing."""
        lib.kc_watch_note(self._core.raw, address, size)

    def leave_calls(self, esp: int) -> None:
        """Close the notes of written pages of calls that do not go on with this ESP."""
        lib.kc_watch_leave(self._core.raw, esp)

    def drop_calls(self) -> None:
        """Close the notes of written pages of all calls: something from outside intervenes."""
        lib.kc_watch_drop_calls(self._core.raw)

    def _add(self, address: int, number: int, kind: ProbeKind, action: ProbeAction) -> int:
        return self._core.opened(lib.kc_probe_add(self._core.raw, address, number, kind, action))

    def _reached(self, number: int, kind: int, esp: int, eax: int) -> int:
        return self._callbacks[number](kind, esp, eax)
