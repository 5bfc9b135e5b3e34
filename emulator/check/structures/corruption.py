"""Reports a corrupted structure with the write that broke it: the instruction, its source line and its callers.

The kernel runs once more, exactly as before, to find the events between which an invariant broke. Then the memory is
compared on both sides, and the changed word is watched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.check.faulting_writes import faulting_write_of
from emulator.check.hex_dumps import hex_dump
from emulator.check.structures.kernel_checks import kernel_checks
from emulator.replay.bisect import Bisection, Damage
from emulator.replay.changes import Change
from emulator.replay.word import Word
from emulator.x86 import WORD_SIZE
from kernel_model.text import defect_text, location_or_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.check.findings import BlockHistory, FaultingWrite, Finding
    from emulator.check.structures.kernel_checks import KernelChecks
    from emulator.check.structures.run_audits import FailedAudit
    from emulator.replay.engine import Rerun
    from emulator.trace.table import Flags
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect

_MORE_DEFECTS: Final = 4
_WORDS_MAX: Final = 4096

_NEAR: Final = 64
"""Bytes after a block that whoever writes too much to it is likely to hit."""

_HEADER: Final = 16
"""Bytes before a block that may belong to its header."""


def corruption_finding(rerun: Rerun, failed: FailedAudit, trace: Trace | None) -> Finding:
    """Find the write that broke a kernel's structures, and return the finding.

    Args:
        rerun: How to run the kernel once more.
        failed: What is broken, and when that was found.
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

    def unclear(_event: int) -> bool:
        of_mapping = failed.defects[0].invariant.of_mapping
        return not (checks.mappings_at_rest if of_mapping else checks.at_rest)

    bisection = Bisection(replay, broken, unclear)
    damage = bisection.find(failed.last_valid, failed.event)
    if damage is None:
        return _unexplained(checks, failed, trace)
    return _Search(bisection, checks, damage).finding(trace)


def _unexplained(checks: KernelChecks, failed: FailedAudit, trace: Trace | None) -> Finding:
    defect, *more = failed.defects
    call_site = None if trace is None else CallSites(trace).at(failed.event)
    details = (*_more(defect, more), "it did not break when the kernel was run once more")
    return checks.finding(defect, call_site=call_site, details=details)


def _more(defect: Defect, others: Sequence[Defect]) -> list[str]:
    """Return the text of a defect, and of some more."""
    lines = [defect_text(each) for each in (defect, *others[:_MORE_DEFECTS])]
    left = len(others) - _MORE_DEFECTS
    return [*lines, f"and {left} more broken rules"] if left > 0 else lines


class _Search:
    """The search for the faulting write, between an event at which all invariants hold and one at which one is broken."""

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
        written = 0 if faulting_write is None else faulting_write.event
        call_site = block = None
        if trace is not None:
            call_site = CallSites(trace).at(max(self._damage.last_whole, written))
            word = linear if faulting_write is None else faulting_write.address
            freed_first = defect.invariant.of_free_list
            block = block_near(trace, area, word, self._damage.last_whole, freed_first=freed_first)
        return checks.finding(
            defect,
            call_site=call_site,
            block=block,
            faulting_write=faulting_write,
            hex_dump=dump,
            details=tuple(details),
        )

    def _faulting_write(self, defect: Defect, details: list[str]) -> FaultingWrite | None:
        """Return the write that broke the invariant: to the word of the defect, or to another word of the structures.

        Args:
            defect: The first one.
            details: Receives what that other word is.
        """
        after = self._word(defect.address)
        self._replay.back()
        before = self._word(defect.address)
        own = None if before == after else Change(defect.address, before, after)
        change = self._responsible_change(defect, own) or own
        if change is None:
            return None
        address = change.address
        if address != defect.address:
            location = self._checks.models.locate(address)
            details.append(f"what was changed is {location_or_address(address, location)}")
        of_table = address == defect.address and defect.invariant.of_mapping
        write = self._bisection.faulting_write(self._damage._replace(word=Word(address)), by_anyone=of_table)
        found = faulting_write_of(self._machine, write, self._checks.models.linear(address))
        if found is None or of_table:
            return found
        old, new = (int.from_bytes(each, "little") for each in (change.before, change.after))
        return found._replace(before=old, after=new)

    def _word(self, address: int) -> bytes:
        return self._memory.read(address, min(WORD_SIZE, len(self._memory) - address))

    def _responsible_change(self, defect: Defect, own: Change | None) -> Change | None:
        """Return the first word of the structures whose change broke the invariant.

        Much may have been changed rightly meanwhile, the word of the defect, too. A change is responsible if the invariant
        holds without it, and no other one is broken instead. That of an entry of a page table is the most likely one: what it is
        compared with is often set up on the way.
        """
        if own is not None and defect.invariant.of_mapping:
            return own
        if self._machine.mmu == "reference":  # has no record of which pages are written
            return None
        written = self._machine.observers.note_written()
        self._replay.go_to_position(self._damage.broken)
        pages = written.take().pages
        changed = [
            each
            for page, old in sorted(pages.items())
            for each in _changed_words(page, old, self._memory.read(page, len(old)))
        ]
        return next((each for each in changed[:_WORDS_MAX] if self._breaks(defect, each)), None)

    def _breaks(self, defect: Defect, change: Change) -> bool:
        location = self._checks.models.locate(change.address)
        if location is None or location.is_body:
            return False
        self._memory.write(change.address, change.before)
        left = self._checks.audit()
        self._memory.write(change.address, change.after)
        return defect not in left and all(each in self._defects for each in left)


def _changed_words(address: int, old: bytes, new: bytes) -> Iterator[Change]:
    """Yield the words of a page that are not what they were."""
    if old == new:
        return
    for start in range(0, len(old), WORD_SIZE):
        before, after = old[start : start + WORD_SIZE], new[start : start + WORD_SIZE]
        if before != after:
            yield Change(address + start, before, after)


def block_near(
    trace: Trace, area: str, address: int, event: int, *, freed_first: bool
) -> BlockHistory | None:
    """Return the block that a stray write to an address was probably meant for.

    Args:
        trace: The run.
        area: Whose blocks.
        address: That was written.
        event: The last event before that.
        freed_first: Search for a block that was freed first, and then for one that was written beyond.
    """
    if area not in trace.areas:
        return None
    blocks = trace.blocks(area)
    start = blocks.address.astype(np.int64)
    end = start + blocks.size
    born, live = blocks.born <= event, (blocks.born <= event) & (blocks.died > event)
    covers = (start <= address) & (address < end)
    latest: list[tuple[Flags, object]] = [
        (live & (end <= address) & (address < end + _NEAR), end),
        (born & ~live & covers & (blocks.died_call != 0), blocks.died),
    ]
    header = (live & (start - _HEADER <= address) & (address < start), start)
    for chosen, order in [(live & covers, start), *(reversed(latest) if freed_first else latest), header]:
        rows = np.flatnonzero(chosen)
        if len(rows):
            return CallSites(trace).history(blocks, int(rows[np.argmax(np.asarray(order)[rows])]), event)
    return None
