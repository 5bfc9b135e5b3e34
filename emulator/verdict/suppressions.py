"""Leaves out of a report the findings that are suppressed; reads a file of suppressions. The format is described in docs/check.md."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from emulator.check.findings import Kind
from emulator.errors import BadFile
from emulator.loader.files import read_text
from emulator.profile.suppressions import parse_suppression

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding
    from emulator.guest.symbolizer import Frame
    from emulator.profile.suppressions import Suppression

_LARGEST_FILE: Final = 1 << 20  # bytes
_COMMENT: Final = "#"


def read_suppressions(path: str | os.PathLike[str]) -> tuple[Suppression, ...]:
    """Read a file of suppressions, one a line; empty lines, and those that begin with ``#``, mean nothing.

    Raises:
        BadFile: The file cannot be read, or a line is no suppression.
    """
    name = str(path)
    found = []
    for number, line in enumerate(read_text(name, _LARGEST_FILE).splitlines(), 1):
        if line.strip() and not line.lstrip().startswith(_COMMENT):
            try:
                found.append(checked_suppression(parse_suppression(line)))
            except ValueError as error:
                raise BadFile(name, str(error), line=number) from error
    return tuple(found)


def checked_suppression(suppression: Suppression) -> Suppression:
    """Return a suppression.

    Raises:
        ValueError: There is no such kind of findings.
    """
    if not any(fnmatchcase(kind.value, suppression.kind) for kind in Kind):
        kinds = ", ".join(kind.value for kind in Kind)
        raise ValueError(f"there is no kind {suppression.kind!r}; there are: {kinds}")
    return suppression


def suppress(report: CheckReport, suppressions: Sequence[Suppression]) -> CheckReport:
    """Return a report without the findings that are suppressed; it says how many each suppression has left out.

    A finding counts for the first one that matches, see `suppression_of`.
    """
    used = Counter(dict.fromkeys(map(str, suppressions), 0))
    kept = []
    for finding in report.findings:
        found = suppression_of(finding, suppressions)
        if found is None:
            kept.append(finding)
        else:
            used[str(found)] += 1
    return report._replace(findings=tuple(kept), suppressed=dict(used))


def suppression_of(finding: Finding, suppressions: Sequence[Suppression]) -> Suppression | None:
    """Return the first suppression that matches a finding; None: none does.

    It matches the finding's backtrace (of what showed only at the end, that of the allocation of its block), or that of the write that
    caused it.
    """
    frames = list(_frames(finding))
    return next((each for each in suppressions if each.matches(finding.kind.value, frames)), None)


def _frames(finding: Finding) -> Iterator[Frame]:
    call_site = finding.call_site or (finding.block.allocated if finding.block else None)
    yield from call_site.backtrace if call_site else ()
    yield from finding.faulting_write.backtrace if finding.faulting_write else ()
