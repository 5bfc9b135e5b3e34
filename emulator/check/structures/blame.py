"""Who broke a structure: the instruction, its source line and its callers, found by exact re-execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.call_sites import CallSites
from emulator.check.faulting_writes import faulting_write_of
from emulator.check.findings import Finding, Kind
from emulator.check.hex_dumps import hex_dump
from emulator.check.structures.kernel_checks import kernel_checks
from emulator.check.structures.stories import block_near
from emulator.replay.bisect import Bisection, Damage
from emulator.replay.last_write import Word
from emulator.x86 import WORD_SIZE
from kernel_model.text import defect_text, location_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.check.findings import BlockHistory, FaultingWrite
    from emulator.check.structures.kernel_checks import KernelChecks
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect

_MORE_DEFECTS: Final = 4
_WORDS_MAX: Final = 4096


class Seen(NamedTuple):
    """Broken structures that were met at a checkpoint.

    Attributes:
        sound: The last event at which they were looked at and nothing was wrong; 0: none.
        event: The last event before they were met.
        defects: What is broken, at least one.
    """

    sound: int
    event: int
    defects: Sequence[Defect]


def blame(rerun: Rerun, seen: Seen, trace: Trace | None) -> Finding:
    """Find out what broke a kernel's structures.

    Args:
        rerun: How to run it once more.
        seen: What is broken, and when that was met.
        trace: Of the run, for call sites and blocks; None: the finding has none.

    Raises:
        ValueError: The kernel's structures are not known.
    """
    replay = rerun.replay()
    machine = replay.machine
    checks = kernel_checks(machine, rerun.profile.name)
    if checks is None:
        raise ValueError(f"{machine.image.path}: no structures are known")

    def broken(_event: int) -> Word | None:
        defects = checks.audit()
        return Word(defects[0].address) if defects else None

    bisection = Bisection(replay, broken, lambda _event: not checks.at_rest)
    damage = bisection.find(seen.sound, seen.event)
    if damage is None:
        return _unexplained(checks, seen, trace)
    return _Blame(bisection, checks, damage).finding(trace)


def _unexplained(checks: KernelChecks, seen: Seen, trace: Trace | None) -> Finding:
    defect, *more = seen.defects
    call_site = None if trace is None else CallSites(trace).at(seen.event)
    details = (*_more(defect, more), "it did not break when the kernel was run once more")
    return Finding(Kind.CORRUPTION, defect.area, checks.message(defect), call_site, details=details)


def _more(defect: Defect, others: Sequence[Defect]) -> list[str]:
    """Return the broken rule, and some more of them."""
    lines = [defect_text(each) for each in (defect, *others[:_MORE_DEFECTS])]
    left = len(others) - _MORE_DEFECTS
    return [*lines, f"and {left} more broken rules"] if left > 0 else lines


class _Change(NamedTuple):
    """A word that is not as it was."""

    address: int
    before: int
    after: int


class _Blame:
    """Looking at the damage from both sides; the machine stands at the last sound event."""

    def __init__(self, bisection: Bisection, checks: KernelChecks, damage: Damage) -> None:
        self._bisection = bisection
        self._replay = bisection.replay
        self._machine = self._replay.machine
        self._memory = self._machine.memory
        self._checks = checks
        self._damage = damage
        self._replay.go_to_position(damage.broken)
        self._defects = checks.audit()

    def finding(self, trace: Trace | None) -> Finding:
        defect, *more = self._defects
        checks = self._checks
        area, linear = defect.area, checks.models.linear(defect.address)
        dump = hex_dump(self._memory, len(self._memory), defect.address, linear)
        details = _more(defect, more)
        faulting_write = self._faulting_write(defect, details)
        call_site = block = None
        if trace is not None:
            call_site = CallSites(trace).at(self._damage.sound)
            word = linear if faulting_write is None else faulting_write.address
            block = self._block(trace, area, word, freed_first=defect.invariant.of_free_list)
        return Finding(
            Kind.CORRUPTION,
            area,
            checks.message(defect),
            call_site,
            block,
            faulting_write,
            dump,
            tuple(details),
        )

    def _block(self, trace: Trace, area: str, address: int, *, freed_first: bool) -> BlockHistory | None:
        return block_near(trace, area, address, self._damage.sound, freed_first=freed_first)

    def _faulting_write(self, defect: Defect, details: list[str]) -> FaultingWrite | None:
        """Return what wrote the word that breaks the rule: the one that it is about, or another one of the structures.

        Args:
            defect: The broken rule.
            details: Receives what that other word is.
        """
        after = self._word(defect.address)
        self._replay.back()
        before = self._word(defect.address)
        own = None if before == after else _Change(defect.address, before, after)
        change = self._proven(defect) or own
        if change is None:
            return None
        address, before, after = change
        if address != defect.address:
            location = self._checks.models.locate(address)
            text = f"0x{address:08x}" if location is None else location_text(location)
            details.append(f"what was changed is {text}")
        write = self._bisection.faulting_write(self._damage._replace(word=Word(address)))
        if write is None:
            return None
        return faulting_write_of(self._machine, write, self._checks.models.linear(address), before, after)

    def _word(self, address: int) -> int:
        return int.from_bytes(
            self._memory.read(address, min(WORD_SIZE, len(self._memory) - address)), "little"
        )

    def _proven(self, defect: Defect) -> _Change | None:
        """Return the first word of the structures whose change broke the rule.

        Much may have been changed rightly meanwhile, the word that the rule is about, too. A change is at fault if without it the rule
        holds, and no other is broken in turn.
        """
        if self._machine.mmu == "reference":  # does not tell which pages are written
            return None
        written = self._machine.observers.note_written()
        self._replay.go_to_position(self._damage.broken)
        pages = written.take().pages
        changed = [
            each
            for page, old in sorted(pages.items())
            for each in _differences(page, old, self._memory.read(page, len(old)))
        ]
        return next((each for each in changed[:_WORDS_MAX] if self._breaks(defect, each)), None)

    def _breaks(self, defect: Defect, change: _Change) -> bool:
        location = self._checks.models.locate(change.address)
        if location is None or location.is_body:
            return False
        self._memory.store_u32(change.address, change.before)
        left = self._checks.audit()
        self._memory.store_u32(change.address, change.after)
        return defect not in left and all(each in self._defects for each in left)


def _differences(address: int, old: bytes, new: bytes) -> Iterator[_Change]:
    if old == new:
        return
    words = zip(memoryview(old).cast("I"), memoryview(new).cast("I"), strict=True)
    for index, (before, after) in enumerate(words):
        if before != after:
            yield _Change(address + WORD_SIZE * index, before, after)
