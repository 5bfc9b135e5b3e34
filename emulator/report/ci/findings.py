"""Write a finding as plain text, for formats that take a text, and name its backtraces."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.check.findings import CallSite, FaultingWrite, Finding
    from emulator.guest.symbolizer import Frame

_INDENT = "  "


class TitledBacktrace(NamedTuple):
    """A backtrace of a finding.

    Attributes:
        title: What happened there.
        event: Number of the event at which, or after which, it happened.
        frames: Innermost first.
    """

    title: str
    event: int
    frames: Sequence[Frame]


def backtraces_of(finding: Finding) -> list[TitledBacktrace]:
    """Return the backtraces of a finding, that of the finding itself first."""
    found = []
    write = finding.faulting_write
    if write is not None:
        found.append(TitledBacktrace(_write_title(write), write.event, write.backtrace))
    if finding.call_site is not None:
        found.append(_of_call("at" if write is None else "seen at", finding.call_site))
    if finding.block is not None:
        found.append(_of_call("allocated at", finding.block.allocated))
        if finding.block.freed is not None:
            found.append(_of_call("freed at", finding.block.freed))
    return found


def main_backtrace(finding: Finding) -> tuple[Frame, ...]:
    """Return the backtrace that says where a finding comes from.

    That is the faulting write, or the call at which it was found; of what was found only at the end, the allocation of its block.
    """
    if finding.faulting_write is not None:
        return finding.faulting_write.backtrace
    if finding.call_site is not None:
        return finding.call_site.backtrace
    return () if finding.block is None else finding.block.allocated.backtrace


def _of_call(verb: str, call_site: CallSite) -> TitledBacktrace:
    call = (
        f", call #{call_site.call} of {call_site.function}" if call_site.call else ""
    )  # else found between calls
    return TitledBacktrace(f"{verb} event {call_site.event}{call}", call_site.event, call_site.backtrace)


def _write_title(write: FaultingWrite) -> str:
    change = f"0x{write.before:08x} -> 0x{write.after:08x} at 0x{write.address:08x}"
    return f"broken by 0x{write.eip:08x} {write.text} after event {write.event}: {change}"


def plain_lines(finding: Finding) -> list[str]:
    """Return all that is known of a finding, its message first; each line can be shown anywhere."""
    return [printable(line) for line in _lines(finding)]


def _lines(finding: Finding) -> Iterator[str]:
    yield message_of(finding)
    yield from finding.details
    for title, _, frames in backtraces_of(finding):
        yield title
        yield from (f"{_INDENT}{frame}" for frame in frames)
    yield from finding.hex_dump
    yield f"id {finding.id}"


def message_of(finding: Finding) -> str:
    """Return the message with the area."""
    return f"{finding.area}: {finding.message}" if finding.area else finding.message


def plain_text(findings: Iterable[Finding]) -> str:
    """Return findings one after the other, with an empty line between them."""
    return "\n\n".join("\n".join(plain_lines(finding)) for finding in findings)
