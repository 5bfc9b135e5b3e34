"""What opens over the panes: a text to read, a question in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from emulator.debug.step.stops import Stops


class MessageScreen(ModalScreen[None]):
    """Shows a text until a key closes it.

    Args:
        title: Text in the border.
        text: Its lines.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "dismiss(None)", "Close")
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        with VerticalScroll(id="message") as box:
            box.border_title = Text(self._title).markup
            box.border_subtitle = "Esc closes"
            yield Static(Text(self._text))


class Prompt(ModalScreen[str | None]):
    """Asks for a line of text; its result is None after Escape.

    Args:
        question: In one line.
        proposal: The answer that is there at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, question: str, proposal: str = "") -> None:
        super().__init__()
        self._question = question
        self._proposal = proposal

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        with Vertical(id="prompt"):
            yield Static(Text(self._question))
            yield Input(self._proposal, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand the answer over."""
        self.dismiss(event.value.strip())


class StopsScreen(ModalScreen[None]):
    """Lists what stops the run, to switch it on and off, and to delete it.

    Args:
        stops: What there is; at least one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,B", "dismiss(None)", "Close"),
        Binding("d,delete", "delete", "Delete"),
        Binding("space,enter", "switch", "On, off", priority=True),
        Binding("j", "cursor(1)", show=False),
        Binding("k", "cursor(-1)", show=False),
    ]

    def __init__(self, stops: Stops) -> None:
        super().__init__()
        self._stops = stops

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        yield OptionList(id="stops")

    def on_mount(self) -> None:
        """Fill the list."""
        box = self._list
        box.border_title = "Stops"
        box.border_subtitle = "space: on, off  d: delete  Esc closes"
        self._fill(0)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _fill(self, row: int) -> None:
        texts = self._stops.texts()
        self._list.clear_options()
        self._list.add_options(Option(Text(text, no_wrap=True, overflow="ellipsis")) for _, text in texts)
        if texts:
            self._list.highlighted = min(row, len(texts) - 1)
        else:
            self.dismiss(None)

    def action_delete(self) -> None:
        """Delete what the cursor is on."""
        row = self._list.highlighted or 0
        self._stops.texts()[row][0].remove()
        self._fill(row)

    def action_switch(self) -> None:
        """Let what the cursor is on stop the run no more, or again."""
        row = self._list.highlighted or 0
        point = self._stops.texts()[row][0]
        point.enabled = not point.enabled
        self._fill(row)

    def action_cursor(self, rows: int) -> None:
        """Move the cursor."""
        (self._list.action_cursor_down if rows > 0 else self._list.action_cursor_up)()
