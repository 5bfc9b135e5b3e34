"""The panes: one shows the calls of a run, the others one part of a view each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from emulator.debug.step.pane import Pane
from emulator.debug.step.view_text import PANES, Tone, unknown_lines
from emulator.hle.kernels import error_names
from emulator.report.text.calls import CallLayout

if TYPE_CHECKING:
    from emulator.debug.step.view import View
    from emulator.debug.step.view_text import PaneLine
    from emulator.debug.timeline import Timeline
    from emulator.report.text.style import Style

_STYLES = {Tone.PLAIN: "", Tone.HERE: "bold", Tone.TITLE: "cyan", Tone.FAINT: "dim", Tone.BAD: "bold red"}


def styled(line: PaneLine) -> Text:
    """Return a line as it is shown."""
    if "\x1b" in line.text:  # the colours of a memory map
        return Text.from_ansi(line.text, no_wrap=True)
    return Text(no_wrap=True).append(line.text, _STYLES[line.tone])


class ViewPane(Pane):
    """Shows one part of a view.

    Args:
        pane: Key of the part, one of `PANES`.
        follows_end: Whether the last line is what counts.
    """

    def __init__(self, pane: str, *, follows_end: bool = False) -> None:
        title, self._lines_of = PANES[pane]
        super().__init__(title, pane)
        self._follows_end = follows_end
        self._lines: list[PaneLine] = []
        self._here = 0

    def show(self, view: View, style: Style, *, keeps: bool = False) -> None:
        """Show a view, with the line that matters most in sight; or, if it *keeps*, the cursor where it is."""
        self._lines = list(self._lines_of(view, style))
        here = next((number for number, line in enumerate(self._lines) if line.tone is Tone.HERE), 0)
        self._here = len(self._lines) - 1 if self._follows_end else here
        widest = max((cell_len(styled(line).plain) for line in self._lines), default=0)
        self.lines_changed(max(widest, 1))
        if not keeps:
            self.move_cursor(self._here, centre=True)

    @property
    def item(self) -> tuple[str, ...] | int | None:
        """What the line under the cursor lets one choose; None: nothing."""
        return self._lines[self.cursor].item if self.cursor < len(self._lines) else None

    @property
    def address(self) -> int | None:
        """The address that the line under the cursor is about; None for none."""
        return self._lines[self.cursor].address if self.cursor < len(self._lines) else None

    def line_count(self) -> int:
        """See `Pane.line_count`."""
        return len(self._lines)

    def line_text(self, index: int) -> Text:
        """See `Pane.line_text`."""
        return styled(self._lines[index])

    def is_here(self, index: int) -> bool:
        """See `Pane.is_here`."""
        return self._lines[index].tone is Tone.HERE


class CallsPane(Pane):
    """All calls of a timeline, one line each, each made when it comes into sight."""

    def __init__(self) -> None:
        super().__init__("Calls", "calls")
        self._timeline: Timeline | None = None
        self._layout: CallLayout | None = None
        self._unknown: list[PaneLine] = []
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
        self._unknown = list(unknown_lines(timeline.unknown, style)) if timeline.unknown else []
        self.border_title = f"Calls: {len(timeline.calls)}"
        self.lines_changed()

    def mark(self, number: int | None) -> None:
        """Mark the call where the machine stands, and put the cursor on it."""
        self._here = -1 if number is None else number - 1
        self.move_cursor(max(self._here, 0), centre=True)

    @property
    def address(self) -> int | None:
        """The address of the block that the call under the cursor is about; None for none."""
        if self._timeline is None or self.cursor >= len(self._timeline.calls):
            return None
        return self._timeline.block_of(self._timeline.calls.call(self.cursor + 1))

    def line_count(self) -> int:
        """See `Pane.line_count`."""
        return 0 if self._timeline is None else len(self._unknown) or len(self._timeline.calls)

    def line_text(self, index: int) -> Text:
        """See `Pane.line_text`."""
        if self._timeline is None or self._layout is None:
            return Text()
        if self._unknown:
            return styled(self._unknown[index])
        mark = self._mark if index == self._here else " "
        return Text(mark, no_wrap=True) + Text.from_ansi(
            self._layout.line(self._timeline.calls.call(index + 1))
        )

    def is_here(self, index: int) -> bool:
        """See `Pane.is_here`."""
        return index == self._here
