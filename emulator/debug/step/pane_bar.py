"""A bar with the names of all panes, for terminals that have room for two panes only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text
from textual.message import Message
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

_GAP = 2


class PaneBar(Widget):
    """Names to click at.

    Args:
        panes: Their names.
        keys: What to press for each.
    """

    class Picked(Message):
        """A name was clicked."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, panes: Sequence[str], keys: str) -> None:
        super().__init__(id="panes")
        self._panes = panes
        self._keys = keys
        self._marked = ""

    def mark(self, pane: str) -> None:
        """Mark the pane that has the keys."""
        self._marked = pane
        self.refresh()

    def _labels(self) -> list[tuple[str, str]]:
        """Return each pane with what stands for it: its name, or where there is no room for all, of the others the key."""
        room = self.size.width
        is_short = sum(map(len, self._panes)) + _GAP * (len(self._panes) - 1) > room
        return [
            (pane, key if is_short and pane != self._marked else pane)
            for pane, key in zip(self._panes, self._keys, strict=True)
        ]

    def render(self) -> Text:
        """Draw the names."""
        marked = Style(reverse=True)
        pieces = [(label, marked if pane == self._marked else Style()) for pane, label in self._labels()]
        return Text((" " * _GAP), no_wrap=True, overflow="crop", end="").join(
            Text(*piece) for piece in pieces
        )

    def on_click(self, event: events.Click) -> None:
        """Find the name that was clicked."""
        offset = event.get_content_offset(self)
        start = 0
        for pane, label in self._labels():
            if offset is not None and start <= offset.x < start + len(label):
                self.post_message(self.Picked(pane))
            start += len(label) + _GAP
