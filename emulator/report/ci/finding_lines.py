"""A finding as lines of plain text, for formats that take a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.report.text.style import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.check.findings import Culprit, Finding, Place
    from emulator.trace.events import Frame

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
    if finding.culprit is not None:
        stacks.append(Stack(_culprit_title(finding.culprit), finding.culprit.event, finding.culprit.stack))
    if finding.place is not None:
        stacks.append(_stack("seen at" if finding.culprit else "at", finding.place))
    if finding.block is not None:
        stacks.append(_stack("allocated at", finding.block.allocated))
        if finding.block.freed is not None:
            stacks.append(_stack("freed at", finding.block.freed))
    return stacks


def _stack(verb: str, place: Place) -> Stack:
    call = f", call #{place.call} of {place.function}" if place.call else ""  # else seen between calls
    return Stack(f"{verb} event {place.event}{call}", place.event, place.stack)


def _culprit_title(culprit: Culprit) -> str:
    change = f"0x{culprit.before:08x} -> 0x{culprit.after:08x} at 0x{culprit.address:08x}"
    return f"broken by 0x{culprit.eip:08x} {culprit.text} after event {culprit.event}: {change}"


def finding_lines(finding: Finding) -> list[str]:
    """Return all that is known of a finding, its message first; each line can be shown anywhere."""
    return [printable(line) for line in _lines(finding)]


def _lines(finding: Finding) -> Iterator[str]:
    yield message_of(finding)
    yield from finding.details
    for title, _, frames in stacks_of(finding):
        yield title
        yield from (f"{_INDENT}{frame}" for frame in frames)
    yield from finding.picture
    yield f"id {finding.id}"


def message_of(finding: Finding) -> str:
    """Return the message with the area."""
    return f"{finding.area}: {finding.message}" if finding.area else finding.message


def blocks_of_lines(findings: Iterable[Finding]) -> str:
    """Return findings one below the other, with an empty line between them."""
    return "\n\n".join("\n".join(finding_lines(finding)) for finding in findings)
