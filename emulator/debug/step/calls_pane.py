"""The list of all calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from emulator.debug.step.lines_view import LinesView
from emulator.report.text.calls import CallLayout, error_names

if TYPE_CHECKING:
    from emulator.debug.timeline import Timeline
    from emulator.report.text.style import Style


class CallsPane(LinesView):
    """All calls of a timeline, one line each, made when they come into sight."""

    def __init__(self) -> None:
        super().__init__("Calls", "calls")
        self._timeline: Timeline | None = None
        self._layout: CallLayout | None = None
        self._here = -1
        self._mark = ">"

    def show(self, timeline: Timeline, style: Style) -> None:
        """Show the calls of a timeline whose run is recorded."""
        self._timeline = timeline
        self._mark = "▶" if style.unicode else ">"
        self._layout = CallLayout(
            {function.name: function for function in timeline.profile.functions},
            timeline.frames,
            len(timeline.calls),
            style,
            error_names(timeline.profile.name),
        )
        self.border_title = f"Calls: {len(timeline.calls)}"
        self.lines_changed()

    def mark(self, number: int | None) -> None:
        """Mark the call where the machine stands, and put the cursor on it."""
        self._here = -1 if number is None else number - 1
        self.move_cursor(max(self._here, 0), centre=True)

    @property
    def address(self) -> int | None:
        """The block of the call under the cursor."""
        if self._timeline is None or self.cursor >= len(self._timeline.calls):
            return None
        return self._timeline.block_of(self._timeline.calls.call(self.cursor + 1))

    def line_count(self) -> int:
        """See `LinesView.line_count`."""
        return 0 if self._timeline is None else len(self._timeline.calls)

    def line_text(self, index: int) -> Text:
        """See `LinesView.line_text`."""
        if self._timeline is None or self._layout is None:
            return Text()
        mark = self._mark if index == self._here else " "
        return Text(mark, no_wrap=True) + Text.from_ansi(
            self._layout.line(self._timeline.calls.call(index + 1))
        )

    def is_here(self, index: int) -> bool:
        """See `LinesView.is_here`."""
        return index == self._here
