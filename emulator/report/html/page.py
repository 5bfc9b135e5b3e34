"""Make the report page: a trace comes in, one HTML file leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from emulator.report.html.assets import read_assets
from emulator.report.html.columns import pack
from emulator.report.html.document import page_document, shown_areas
from emulator.report.html.frames import frame_tables
from emulator.report.html.series import page_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.trace.trace import Trace

# Inside a script element only these could end it or begin another (HTML, 13.2.5.4 "script data"); JSON knows the escapes.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


def report_page(
    trace: Trace, area: str | None = None, progress: Callable[[str], None] | None = None
) -> bytes:
    """Make the report page of a trace.

    Args:
        trace: The trace.
        area: The area that is shown first, of `trace.areas`; None for the first that was used.
        progress: Called with the name of each stage before it begins.

    Returns:
        The page: HTML in UTF-8, with all it needs.
    """
    notify = progress or (lambda _: None)
    notify("following the blocks")
    tables = frame_tables(trace)
    areas = shown_areas(trace)
    document = page_document(trace, areas, tables)
    document["first"] = areas.index(area) if area in areas else 0
    notify("packing the columns")
    document["columns"], columns = pack(page_columns(trace, areas, tables))
    notify("writing the page")
    template, common = read_assets()
    parts = {name: text.encode() for name, text in common.items()}
    parts |= {"DOCUMENT": script_json(document).encode(), "COLUMNS": columns}
    return _fill(template.encode(), parts)


def script_json(document: object) -> str:
    """Return JSON that may stand in a script element: ASCII, without ``<``, ``>`` and ``&``."""
    return json.dumps(document, separators=(",", ":")).translate(_ESCAPES)


def _fill(template: bytes, parts: dict[str, bytes]) -> bytes:
    """Put the parts into the template. One pass: what a part holds is not read again."""
    pieces = template.split(b"@")
    pieces[1::2] = [parts[name.decode()] for name in pieces[1::2]]
    return b"".join(pieces)
