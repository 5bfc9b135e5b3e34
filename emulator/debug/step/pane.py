"""A pane of text lines with a cursor. Only the lines in sight are ever made, so there may be millions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.text import Text
    from textual import events
    from textual.binding import BindingType


class Pane(ScrollView, can_focus=True):
    """The base of all panes.

    Args:
        title: Text in the border.
        pane: Key of the pane.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor", "lines--here"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_pages(-1)", "Page up", show=False),
        Binding("pagedown", "move_pages(1)", "Page down", show=False),
        Binding("home", "move_to(0)", "First", show=False),
        Binding("end", "move_to(-1)", "Last", show=False),
        Binding("left", "app.step(-1)", "Previous call", show=False),
        Binding("right", "app.step(1)", "Next call", show=False),
        Binding("less_than_sign", "scroll_left", "Scroll left", show=False),
        Binding("greater_than_sign", "scroll_right", "Scroll right", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Chosen(Message):
        """Enter was pressed, or a line was clicked."""

        def __init__(self, view: Pane, index: int) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> Pane:
            """The pane."""
            return self.view

    def __init__(self, title: str, pane: str) -> None:
        super().__init__(id=pane)
        self.border_title = title
        self.cursor = 0

    # -- what subclasses say -------------------------------------------------------------------

    def line_count(self) -> int:
        """Return the number of lines."""
        raise NotImplementedError

    def line_text(self, index: int) -> Text:
        """Return a line; *index* counts from 0."""
        raise NotImplementedError

    def is_here(self, _index: int) -> bool:
        """Return whether a line is the one where the machine stands."""
        return False

    # -- drawing --------------------------------------------------------------------------------------

    def lines_changed(self, width: int | None = None) -> None:
        """Draw all anew; the lines are *width* columns wide at most, or else as wide as the pane."""
        count = self.line_count()
        self.cursor = min(self.cursor, max(count - 1, 0))
        self.virtual_size = Size(width or self.scrollable_content_region.width, count)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one row of the window."""
        left, top = self.scroll_offset
        width, index = self.size.width, top + y
        base = self.rich_style
        if index >= self.line_count():
            return Strip.blank(width, base)
        text = self.line_text(index)
        text.end = ""
        segments = list(Segment.apply_style(text.render(self.app.console), base))
        whole = Strip(segments)
        strip = whole.crop(left, left + width).extend_cell_length(width, base)
        if whole.cell_length > left + width:  # it goes on; < and > scroll
            mark = Segment(">" if self.app.has_class("-ascii") else "…", base)
            strip = Strip([*strip.crop(0, width - 1), mark])
        return strip.apply_style(self._row_style(index))

    def _row_style(self, index: int) -> RichStyle:
        if index == self.cursor and self.has_focus:
            return self.get_component_rich_style("lines--cursor", partial=True) + RichStyle(reverse=True)
        if self.is_here(index):
            return self.get_component_rich_style("lines--here", partial=True)
        return RichStyle()

    # -- the cursor -----------------------------------------------------------------------------------

    def move_cursor(self, index: int, *, centre: bool = False) -> None:
        """Put the cursor on a line, and the line in sight."""
        self.cursor = min(max(index, 0), max(self.line_count() - 1, 0))
        width = self.scrollable_content_region.width
        row = Region(int(self.scroll_offset.x), self.cursor, width, 1)
        self.scroll_to_region(row, animate=False, center=centre, force=True, x_axis=False)
        self.refresh()

    def action_move(self, lines: int) -> None:
        """Move the cursor."""
        self.move_cursor(self.cursor + lines)

    def action_move_pages(self, pages: int) -> None:
        """Move the cursor by as many lines as are in sight."""
        self.move_cursor(self.cursor + pages * max(self.size.height - 1, 1))

    def action_move_to(self, index: int) -> None:
        """Move the cursor to a line; -1 is the last one."""
        self.move_cursor(index if index >= 0 else self.line_count() - 1)

    def action_choose(self) -> None:
        """Post `Chosen` for the line under the cursor."""
        if self.line_count():
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Choose the line that was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y + self.scroll_offset.y < self.line_count():
            self.move_cursor(int(offset.y + self.scroll_offset.y))
            self.action_choose()

    def on_focus(self) -> None:
        """Show the cursor."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide the cursor."""
        self.refresh()
