"""A view on paper: all panes one below the other, or one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.debug.step.pane_text import PANES, Tone, headline
from emulator.debug.step.view import ended_text
from emulator.profile.model import Result
from emulator.report.text.style import BOLD, DIM, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.debug.step.view import View
    from emulator.profile.model import TracedFunction
    from emulator.report.text.style import Style

VERSION = 1
_CODES = {Tone.PLAIN: "", Tone.HERE: BOLD, Tone.TITLE: "36", Tone.FAINT: DIM, Tone.BAD: "31"}


def view_lines(view: View, style: Style) -> Iterator[str]:
    """Return all panes of a view, line by line."""
    yield style.paint(headline(view), BOLD)
    for title, lines_of in PANES.values():
        yield ""
        yield rule(title, style)
        for line in lines_of(view, style):
            yield style.paint(line.text, _CODES[line.tone]).rstrip()


def view_document(view: View, functions: Sequence[TracedFunction]) -> dict[str, Any]:
    """Return a view for JSON.

    Args:
        view: The view.
        functions: Those that are recorded; the call of one without a result has none.
    """
    call = None if view.call is None else view.call._asdict()
    without = {function.name for function in functions if function.result is Result.NONE}
    if call is not None and call["function"] in without:
        del call["result"]
    return {
        "version": VERSION,
        "event": view.event,
        "events": view.event_count,
        "ending": ended_text(view.ending),
        "call": call,
        "changes": [
            {
                "name": field.name,
                "address": field.address,
                "before": field.before.hex(),
                "after": field.after.hex(),
            }
            for field in view.fields
        ],
        "more_changes": view.has_more_fields,
        "registers": view.registers._asdict(),
        "stack": [{**level.frame._asdict(), "low": level.low, "high": level.high} for level in view.stack],
        "code": [
            {"address": line.address, "code": line.code.hex(), "text": line.text, "next": line.is_next}
            for line in view.code
        ],
        "defects": list(view.memory_map.defects),
        "console": view.console,
    }
