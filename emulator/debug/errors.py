"""What can go wrong while a machine is moved over its run."""

from __future__ import annotations

from emulator.errors import EmulatorError


class NotRepeated(EmulatorError):
    """A run did not repeat itself.

    Attributes:
        event: The event that was to happen again.
        last: The last event that did.
    """

    def __init__(self, event: int, last: int) -> None:
        super().__init__(f"the run did not repeat itself: it ended after event {last}, before event {event}")
        self.event = event
        self.last = last


class Cancelled(Exception):
    """Somebody did not want to wait any longer."""

    def __init__(self) -> None:
        super().__init__("it was stopped by hand")
