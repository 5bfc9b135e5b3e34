"""A question in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class Prompt(ModalScreen[str | None]):
    """Asks for a line of text; its result is None after Escape.

    Args:
        question: In one line.
        proposal: What stands there at first.
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
