"""A finding as lines of plain text, for formats that take a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.check.findings import CallSite, FaultingWrite, Finding
    from emulator.guest.symbolizer import Frame

_INDENT = "  "


class Stack(NamedTuple):
    """A call stack of a finding.

    Attributes:
        title: What happened there.
        event: Number of the event at which, or after which, it happened.
        frames: Innermost first.
    """

    title: str
    event: int
    frames: Sequence[Frame]


def stacks_of(finding: Finding) -> list[Stack]:
    """Return the call stacks of a finding, that of the finding itself first."""
    stacks = []
    if finding.faulting_write is not None:
        stacks.append(
            Stack(
                _write_title(finding.faulting_write),
                finding.faulting_write.event,
                finding.faulting_write.backtrace,
            )
        )
    if finding.call_site is not None:
        stacks.append(_stack("seen at" if finding.faulting_write else "at", finding.call_site))
    if finding.block is not None:
        stacks.append(_stack("allocated at", finding.block.allocated))
        if finding.block.freed is not None:
            stacks.append(_stack("freed at", finding.block.freed))
    return stacks


def _stack(verb: str, call_site: CallSite) -> Stack:
    call = (
        f", call #{call_site.call} of {call_site.function}" if call_site.call else ""
    )  # else seen between calls
    return Stack(f"{verb} event {call_site.event}{call}", call_site.event, call_site.backtrace)


def _write_title(write: FaultingWrite) -> str:
    change = f"0x{write.before:08x} -> 0x{write.after:08x} at 0x{write.address:08x}"
    return f"broken by 0x{write.eip:08x} {write.text} after event {write.event}: {change}"


def finding_lines(finding: Finding) -> list[str]:
    """Return all that is known of a finding, its message first; each line can be shown anywhere."""
    return [printable(line) for line in _lines(finding)]


def _lines(finding: Finding) -> Iterator[str]:
    yield message_of(finding)
    yield from finding.details
    for title, _, frames in stacks_of(finding):
        yield title
        yield from (f"{_INDENT}{frame}" for frame in frames)
    yield from finding.hex_dump
    yield f"id {finding.id}"


def message_of(finding: Finding) -> str:
    """Return the message with the area."""
    return f"{finding.area}: {finding.message}" if finding.area else finding.message


def blocks_of_lines(findings: Iterable[Finding]) -> str:
    """Return findings one below the other, with an empty line between them."""
    return "\n\n".join("\n".join(finding_lines(finding)) for finding in findings)
