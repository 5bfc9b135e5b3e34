"""Say which kinds of findings a check did not cover, and why: the run has shown nothing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.findings import OF_ACCESSES, OF_VALUES, Kind
from emulator.profile.functions import Role
from emulator.x86 import Cr0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.check_report import CheckReport
    from emulator.machine.machine import Machine
    from emulator.profile.functions import TracedFunction
    from emulator.trace.trace import Trace

_OF_FREES: Final = (Kind.DOUBLE_FREE, Kind.INVALID_FREE)
_OF_STACKS: Final = (Kind.RETURN_WRITE, Kind.BELOW_STACK)
_OF_BLOCKS: Final = (*(each for each in OF_ACCESSES if each not in _OF_STACKS), *OF_VALUES)
_OF_UNSEEN: Final = {True: (*_OF_FREES, *_OF_BLOCKS), False: (Kind.OVERLAP, Kind.LEAK)}
_OF_EITHER: Final = (*_OF_UNSEEN[True], *_OF_UNSEEN[False])
_OF_ALLOCATIONS: Final = (Kind.OVERLAP, Kind.BAD_RESULT, Kind.LEAK)
_LENGTHS: Final = frozenset({"size", "pages", "order"})
_NO_STRUCTURE: Final = "no such structure is known, or was whole"
_WHY: Final = {
    Kind.WRONG_SIZE: "no free of the profile has a size",
    Kind.WRONG_POOL: "no free of the profile has a pool",
    Kind.LEAK: "the run has not come to its end",
    Kind.LOCK_HELD: "the kernel did not end the run by itself, or was run once only",
    Kind.LOCK_TWICE: "the kernel was run once only",
    Kind.STALE_TRANSLATION: "the reference MMU does not keep them",
    Kind.NULL_ACCESS: "page zero was not guarded in this run",
    **dict.fromkeys((Kind.CORRUPTION, Kind.MAPPING, Kind.BITMAP), _NO_STRUCTURE),
    **dict.fromkeys((Kind.REFCOUNT, Kind.RESERVED, Kind.DEADLOCK), _NO_STRUCTURE),
}
"""Why a check leaves a kind out before it has seen the run."""


def unchecked_kinds(report: CheckReport, trace: Trace, machine: Machine) -> dict[Kind, str]:
    """Return why each kind that was not checked was not, in the order of the kinds.

    Args:
        report: Of the check; *checked* holds what profile, ending and structures allow.
        trace: Of its run.
        machine: As the run left it.
    """
    reasons = {
        kind: _WHY.get(kind, "it could not be checked in this run") for kind in set(Kind) - report.checked
    }
    if Kind.STALE_TRANSLATION in reasons and machine.mmu != "reference":
        reasons[Kind.STALE_TRANSLATION] = (
            "CR3 is loaded so often that it is not known of a page whether it was accessed before its entry was changed"
        )
    sought = reasons.keys() & {*OF_ACCESSES, *OF_VALUES}
    reasons |= {kind: _why_no_accesses(kind, report, machine) for kind in sought}
    if not report.uninitialised:
        why = "values that were never written were not followed in this run"
        reasons |= dict.fromkeys(reasons.keys() & set(OF_VALUES), why)
    unseen = dict(_unseen(report, trace, machine))
    return {kind: reasons.get(kind) or unseen[kind] for kind in Kind if kind in reasons or kind in unseen}


def _why_no_accesses(kind: Kind, report: CheckReport, machine: Machine) -> str:
    if not report.sanitized:
        return "accesses were not checked in this run"
    if machine.mmu == "reference":
        return "with --memory reference nobody tells each access"
    if kind is Kind.USE_AFTER_SCOPE and machine.image.kasan is None:
        return "the kernel was not compiled with KASAN"
    if kind is Kind.RETURN_WRITE and Kind.OUT_OF_BOUNDS in report.checked:
        return "it takes fast memory, and to know the frames of each function that writes to a stack"
    return "there were more bad accesses than are kept"


def _unseen(report: CheckReport, trace: Trace, machine: Machine) -> Iterator[tuple[Kind, str]]:
    """Yield the kinds of which the run has shown nothing. Later ones count more."""
    called = [trace.functions[code] for code in np.flatnonzero(trace.calls.counts)]
    frees = [each for each in called if each.role in (Role.FREE, Role.REALLOC)]
    yield from _unseen_of_frees(trace, frees)
    for each in called:
        if each.copies is not None:
            kinds = _kinds_of_copies(each.copies)
            yield from (
                (kind, f"{each.original} is inlined: which blocks it handles there is not known")
                for kind in kinds
            )
    if not any(each.role.makes_block for each in called):
        yield from ((kind, "no call that allocates was seen") for kind in (*_OF_ALLOCATIONS, *_OF_BLOCKS))
    elif not any(trace.places(area).longest.any() for area in trace.areas):
        yield from ((kind, "the size of no block is known") for kind in (Kind.OVERLAP, *_OF_BLOCKS))
    if not any(each.role.makes_block or each.role.names_block for each in called):
        yield Kind.WILD_ACCESS, "no call that allocates or frees was seen"
    elif any(lack.ram_end for lack in report.ending.lacks):
        yield Kind.WILD_ACCESS, "the kernel takes RAM to be larger than it is"
    if report.lockstep is None:
        yield Kind.DIVERGENCE, "no layer ran in lockstep"
    elif not report.lockstep.compared and not any(each.kind is Kind.DIVERGENCE for each in report.findings):
        yield Kind.DIVERGENCE, "no call in lockstep was compared"
    if not machine.registers().cr0 & Cr0.PG and not machine.cpu.used_directories()[0]:
        yield Kind.STALE_TRANSLATION, "paging was never on"


def _kinds_of_copies(role: Role) -> tuple[Kind, ...]:
    """Return the kinds that are not looked for once copies of a function of some role were executed."""
    if role is Role.SEED:  # it takes no block and gives none back
        return ()
    return _OF_EITHER if role is Role.REALLOC else _OF_UNSEEN[role.makes_block]


def _unseen_of_frees(trace: Trace, frees: list[TracedFunction]) -> Iterator[tuple[Kind, str]]:
    if not frees:
        yield from (
            (kind, "no call that frees was seen")
            for kind in (*_OF_FREES, Kind.WRONG_SIZE, Kind.WRONG_POOL, Kind.USE_AFTER_FREE)
        )
        return
    sized = [each for each in frees if each.role is Role.FREE and not trace.profile.pages(each.area)]
    if not any(_LENGTHS & set(each.parameters) for each in sized):
        yield Kind.WRONG_SIZE, "no free with a size was seen"
    if not any("pool" in each.parameters for each in frees):
        yield Kind.WRONG_POOL, "no free with a pool was seen"
