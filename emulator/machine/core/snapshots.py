"""States of the machine to come back to. They nest: with an outer one, those inside it are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from emulator.errors import HostError
from emulator.machine.core.handle import ffi, lib, pages_of
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.handle import Core


class Stateful(Protocol):
    """A part of the machine whose state snapshots keep."""

    def save(self) -> object:
        """Return the state. It is immutable and can be restored any number of times."""

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""


class CoreSnapshots:
    """The snapshots of memory and registers that the core keeps.

    Args:
        core: Of the machine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._numbers: list[int] = []  # the outermost first
        self._ahead: list[int] = []  # the nearest first
        self._depth_of_base = ffi.new("int *")
        self._taken = 0
        self._touched = ffi.new("kc_touched **")

    def check_rests(self, what: str) -> None:
        """Refuse *what* while the machine runs; see `Core.check_machine_rests`."""
        self._core.check_machine_rests(what)

    def next_touched(self, physical: int) -> int:
        """See `Machine.next_touched`."""
        return int(lib.kc_next_touched(self._core.raw, physical))

    def take(self) -> int:
        """Keep the state of memory and registers. Return the snapshot's number; numbers are not used again.

        Raises:
            HostError: Too many nested snapshots, or no memory left.
        """
        if lib.kc_snapshot(self._core.raw) < 0:
            raise HostError("cannot take another snapshot inside this one")
        self._taken += 1
        self._numbers.append(self._taken)
        return self._taken

    def reset(self, snapshot: int) -> None:
        """Return to a snapshot; those taken inside it are gone.

        Raises:
            HostError: It is gone itself.
        """
        depth = self._depth(snapshot)
        if lib.kc_reset(self._core.raw, depth):
            raise HostError(f"the host cannot return to snapshot {snapshot}")
        del self._numbers[depth + 1 :]

    def reset_keeping(self, snapshot: int) -> bool:
        """The same, but those taken inside it stay ahead, if all parts of the machine can go forwards, too; see `go_ahead`. Return whether they do.

        Raises:
            HostError: It is gone itself.
        """
        depth = self._depth(snapshot)
        base = self._base() if self._ahead else len(self._numbers) - 1
        stay = [*self._numbers[depth + 1 : base + 1], *self._ahead]
        if lib.kc_reset_keeping(self._core.raw, depth):
            raise HostError(f"the host cannot return to snapshot {snapshot}")
        self._ahead = stay[: lib.kc_ahead(self._core.raw, self._depth_of_base)]
        del self._numbers[depth + 1 :]
        return self._ahead == stay

    def go_ahead(self, snapshot: int) -> bool:
        """Go to a snapshot that has stayed ahead; return whether it is there.

        Raises:
            HostError: The host cannot do it.
        """
        base = self._base()
        if snapshot not in self._ahead:
            return False
        count = self._ahead.index(snapshot) + 1
        if lib.kc_advance(self._core.raw, count):
            raise HostError(f"the host cannot go to snapshot {snapshot}")
        self._numbers[base + 1 :] = self._ahead[:count]
        del self._ahead[:count]
        return True

    def lead_ahead(self) -> None:
        """Let those ahead follow the newest one, which was taken on the way to them."""
        lib.kc_lead_ahead(self._core.raw)

    def drop(self, snapshot: int) -> bool:
        """Forget one alone; return whether that could be."""
        self._base()  # drops from the list what the core has forgotten
        everything = [*self._numbers, *self._ahead]
        if snapshot not in everything or lib.kc_snapshot_drop(self._core.raw, everything.index(snapshot)):
            return False
        (self._ahead if snapshot in self._ahead else self._numbers).remove(snapshot)
        return True

    @property
    def size(self) -> int:
        """How much memory the pages take that all of them keep, in bytes."""
        return int(lib.kc_snapshot_bytes(self._core.raw))

    def forget_ahead(self) -> None:
        """Forget those that have stayed ahead: what comes is another run."""
        self._ahead.clear()
        lib.kc_forget_ahead(self._core.raw)

    def _base(self) -> int:
        """Return the position of the snapshot that those ahead follow, which the core may have forgotten by now."""
        del self._ahead[lib.kc_ahead(self._core.raw, self._depth_of_base) :]
        return int(self._depth_of_base[0])

    def discard(self, snapshot: int) -> None:
        """Forget a snapshot and those inside it.

        Raises:
            HostError: It is gone already.
        """
        depth = self._depth(snapshot)
        if lib.kc_discard(self._core.raw, depth):
            raise HostError(f"the host cannot forget snapshot {snapshot}")
        del self._numbers[depth:]

    def page_written(self, snapshot: int, physical: int) -> bool:
        """Return whether the page at *physical* was written between a snapshot and the next one inside it.

        Raises:
            HostError: The snapshot is gone.
        """
        return bool(lib.kc_page_written(self._core.raw, self._depth(snapshot), physical // PAGE_SIZE))

    def pages_written(self, snapshot: int) -> dict[int, bytes]:
        """Return what was written between a snapshot and the next one inside it: address of a page -> its bytes at the snapshot.

        Raises:
            HostError: The snapshot is gone.
        """
        count = lib.kc_pages_written(self._core.raw, self._depth(snapshot), self._touched)
        if count < 0:
            raise HostError("no memory for a list of pages")
        return pages_of(self._touched, count)

    def _depth(self, snapshot: int) -> int:
        try:
            return self._numbers.index(snapshot)
        except ValueError:
            raise HostError(
                f"snapshot {snapshot} is gone: an outer one was reset or discarded, or it was itself"
            ) from None


class Snapshot:
    """A state of the machine to come back to; made by `Machine.snapshot`.

    As a context manager it comes back at the end of the block and is gone then.

    Args:
        core: Keeps memory and CPU.
        parts: The other parts of the machine, in the order in which they go back.
    """

    __slots__ = ("_core", "_number", "_restores")

    def __init__(self, core: CoreSnapshots, parts: Sequence[Stateful]) -> None:
        core.check_rests("snapshot()")
        self._core = core
        self._restores = [(part.restore, part.save()) for part in parts]
        self._number = core.take()

    def reset(self) -> None:
        """Put the machine back: memory, CPU, devices, collected output, how layers run. Snapshots taken since are gone.

        Raises:
            ValueError: The machine runs.
            HostError: The snapshot is gone itself.
        """
        self._core.check_rests("reset()")
        self._core.reset(self._number)
        self._restore_parts()

    def reset_keeping(self) -> bool:
        """The same, but snapshots taken since stay ahead where that can be: `go_ahead` goes to them, if the run is the one that led to them. Return whether they do.

        Raises:
            ValueError: The machine runs.
            HostError: The snapshot is gone itself.
        """
        self._core.check_rests("reset_keeping()")
        stay = self._core.reset_keeping(self._number)
        self._restore_parts()
        return stay

    def go_ahead(self) -> bool:
        """Go forwards to this snapshot, if it has stayed ahead; return whether it has.

        Raises:
            ValueError: The machine runs.
            HostError: The host cannot do it.
        """
        self._core.check_rests("go_ahead()")
        if not self._core.go_ahead(self._number):
            return False
        self._restore_parts()
        return True

    def _restore_parts(self) -> None:
        for restore, state in self._restores:
            restore(state)

    def lead_ahead(self) -> None:
        """Let the snapshots ahead follow this one, the newest: it was taken on the way to them, and not inside another one that was."""
        self._core.lead_ahead()

    def drop(self) -> bool:
        """Forget this snapshot alone, those before and after it stay; return whether that could be: not of the outermost, the newest and the farthest one."""
        return self._core.drop(self._number)

    @property
    def total_size(self) -> int:
        """How much memory the pages take that all snapshots of the machine keep, in bytes."""
        return self._core.size

    def forget_ahead(self) -> None:
        """Forget the snapshots that have stayed ahead: the machine is going to be changed."""
        self._core.forget_ahead()

    def page_written(self, physical: int) -> bool:
        """Whether the page at *physical* was written between this snapshot and the next one inside it, or may have been."""
        return self._core.page_written(self._number, physical)

    def pages_written(self) -> dict[int, bytes]:
        """What was written from here to the next snapshot inside this one, or may have been: address of a page -> its bytes here."""
        return self._core.pages_written(self._number)

    def discard(self) -> None:
        """Forget this snapshot and those taken inside it; the machine stays as it is.

        Raises:
            ValueError: The machine runs.
            HostError: The snapshot is gone already.
        """
        self._core.check_rests("discard()")
        self._core.discard(self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.reset()
        self.discard()
