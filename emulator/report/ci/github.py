"""Write a check as annotations of a GitHub Actions run: one workflow command on a line.

Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions, "Setting an error message"; what is
to be escaped is in actions/toolkit, packages/core/src/command.ts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.ci.findings import main_backtrace, plain_lines
from emulator.report.ci.sources import first_in_repository, is_inside
from emulator.verdict.difference import Importance
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.frame import Frame
    from emulator.verdict.verdict import Verdict

_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = _DATA | {":": "%3A", ",": "%2C"}
_DATA_TABLE, _PROPERTY_TABLE = str.maketrans(_DATA), str.maketrans(_PROPERTY)


def github_lines(verdict: Verdict, root: str) -> Iterator[str]:
    """Yield annotations: an error for each reason to fail, then a notice for each finding that is accepted.

    GitHub shows the first ten errors of a step.

    Args:
        verdict: The check.
        root: Absolute path of the top of the repository.
    """
    for finding in (*verdict.failures, *filter(verdict.accepts, verdict.report.findings)):
        accepted = verdict.accepts(finding)
        title = f"kmemu: {finding.kind.title}{' (accepted)' if accepted else ''}"
        frame = first_in_repository(main_backtrace(finding), root)
        yield _annotation("notice" if accepted else "error", title, "\n".join(plain_lines(finding)), frame)
    for difference in verdict.differences:
        if difference.fails and difference.importance is not Importance.FINDING:  # which stands above
            call_site = difference.call_site
            frame = None if call_site is None else first_in_repository(call_site.backtrace, root)
            yield _annotation("error", "kmemu: regression", printable(difference.text), frame)


def _annotation(command: str, title: str, message: str, frame: Frame | None) -> str:
    properties = {"title": title}
    if frame is not None and is_inside(frame.file):
        properties = {
            "file": printable(frame.file),
            **({"line": str(frame.line)} if frame.line else {}),
            **properties,
        }
    words = ",".join(f"{key}={value.translate(_PROPERTY_TABLE)}" for key, value in properties.items())
    return f"::{command} {words}::{message.translate(_DATA_TABLE)}"
