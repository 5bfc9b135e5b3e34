"""Turns uses of stale translations into findings: who used one, and who changed the page tables without a word to the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.check.call_sites import CallSites
from emulator.check.faulting_writes import faulting_write_of
from emulator.check.findings import CallSite, Finding, Kind, with_rest
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.core.observed import Rights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.machine.core.observed import StaleUse
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace

MOST_FINDINGS: Final = 16

_VERBS: Final = {"read": "read of", "write": "write to", "fetch": "execution of"}


def stale_uses(machine: Machine, uses: Iterable[StaleUse], trace: Trace) -> list[Finding]:
    """Return a finding for each way in which a stale translation was used.

    Args:
        machine: The machine that ran.
        uses: What its observer has kept.
        trace: Of the run.
    """
    different = {_way(use): use for use in reversed(list(uses))}
    first = sorted(different.values(), key=lambda use: use.event)
    found = [_finding(machine, use, trace) for use in first[:MOST_FINDINGS]]
    return with_rest(found, len(first))


def _way(use: StaleUse) -> tuple[object, ...]:
    """Return what tells uses apart: the instructions with their callers."""
    change = use.change
    return use.eip, use.callers, change and (change.eip, change.callers)


def _finding(machine: Machine, use: StaleUse, trace: Trace) -> Finding:
    frame, *callers = Symbolizer(machine.image).backtrace(use.eip, use.callers)
    inside = CallSites(trace).open_after(use.event)
    function = inside.function if inside is not None else frame.function
    return Finding(
        Kind.STALE_TRANSLATION,
        "",
        f"{_VERBS[use.access]} 0x{use.linear:08x} by a translation that is no longer in the page tables",
        CallSite(inside.call if inside is not None else 0, use.event, function, (frame, *callers)),
        faulting_write=faulting_write_of(machine, use.change, use.entry),
        details=(
            f"the CPU still holds: {_mapping(use.held, use.held_rights)}",
            f"the page tables say now: {_mapping(use.now, use.now_rights)}",
            f"entry at 0x{use.entry:08x}, changed without invlpg or a load of CR3{_by(use)}",
        ),
    )


def _mapping(physical: int, rights: Rights) -> str:
    """Return what a page is mapped to, for people."""
    if not rights:
        return "not mapped"
    access = "to read and write" if Rights.WRITABLE in rights else "to read only"
    who = "for all rings" if Rights.FOR_USERS in rights else "for the kernel"
    return f"frame 0x{physical:08x}, {access}, {who}"


def _by(use: StaleUse) -> str:
    return "" if use.change is not None else ", by no instruction of the kernel's"
