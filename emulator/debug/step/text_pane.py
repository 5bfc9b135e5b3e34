"""A pane that shows one part of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from emulator.debug.step.lines_view import LinesView
from emulator.debug.step.pane_text import PANES, Tone

if TYPE_CHECKING:
    from emulator.debug.step.pane_text import PaneLine
    from emulator.debug.step.view import View
    from emulator.report.text.style import Style

_STYLES = {Tone.PLAIN: "", Tone.HERE: "bold", Tone.TITLE: "cyan", Tone.FAINT: "dim", Tone.BAD: "bold red"}


class TextPane(LinesView):
    """One of `PANES`.

    Args:
        pane: Its key.
        follows_end: The newest line, at the end, is what counts.
    """

    def __init__(self, pane: str, *, follows_end: bool = False) -> None:
        title, self._lines_of = PANES[pane]
        super().__init__(title, pane)
        self._follows_end = follows_end
        self._lines: list[PaneLine] = []
        self._here = 0

    def show(self, view: View, style: Style) -> None:
        """Show a view, and the line that matters most."""
        self._lines = list(self._lines_of(view, style))
        here = next((number for number, line in enumerate(self._lines) if line.tone is Tone.HERE), 0)
        self._here = len(self._lines) - 1 if self._follows_end else here
        widest = max((cell_len(self._text(line).plain) for line in self._lines), default=0)
        self.lines_changed(max(widest, 1))
        self.move_cursor(self._here, centre=True)

    @property
    def address(self) -> int | None:
        """The address that the line under the cursor is about."""
        return self._lines[self.cursor].address if self.cursor < len(self._lines) else None

    def line_count(self) -> int:
        """See `LinesView.line_count`."""
        return len(self._lines)

    def line_text(self, index: int) -> Text:
        """See `LinesView.line_text`."""
        return self._text(self._lines[index])

    def is_here(self, index: int) -> bool:
        """See `LinesView.is_here`."""
        return self._lines[index].tone is Tone.HERE

    @staticmethod
    def _text(line: PaneLine) -> Text:
        if "\x1b" in line.text:  # a picture's colours
            return Text.from_ansi(line.text, no_wrap=True)
        return Text(no_wrap=True).append(line.text, _STYLES[line.tone])
