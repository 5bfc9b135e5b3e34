"""The client of an adapter: its messages, and which of them ask a kernel that runs to stop."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

from emulator.debug.dap.messages import BadFrame, BadMessage, encoded, read_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from emulator.debug.dap.messages import Input

_PATIENCE_S: Final = 0.02
"""After which a run is asked once more to end: it may have been between two parts."""
_STOPS: Final = ("pause", "terminate", "disconnect")


class Output(Protocol):
    """Where bytes go to."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""

    def flush(self) -> object:
        """Send them."""


class Gone(Exception):
    """The client does not read any more."""


class Client:
    """Receives and sends messages. What has been received waits until it is asked for.

    Args:
        reader: Where its messages come from; another thread reads them.
        writer: Where messages to it go to.
    """

    def __init__(self, reader: Input, writer: Output) -> None:
        self._reader = reader
        self._writer = writer
        self._sequence = 0
        self._received: deque[Mapping[str, Any] | BadMessage | BadFrame | None] = deque()
        self._changed = Condition()
        self._cancel: Callable[[], None] | None = None
        self._listens_to_all = False
        Thread(target=self._read, name="kmemu dap: messages", daemon=True).start()

    def receive(self) -> Mapping[str, Any] | BadMessage | BadFrame | None:
        """Return the next message, or what came instead; None: there is no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._received)
            return self._received[0] if self._received[0] is None else self._received.popleft()

    @property
    def waits(self) -> bool:
        """Whether there is a message."""
        return bool(self._received)

    @property
    def wants_stop(self) -> bool:
        """Whether it wants a kernel that runs to stop, or is gone."""
        return any(_stops(each) for each in self._received)

    @contextmanager
    def heard(self, cancel: Callable[[], None], *, all_messages: bool) -> Iterator[None]:
        """Call *cancel* until the end of the block, perhaps several times, when a message comes that ends a run.

        Args:
            cancel: Called in another thread.
            all_messages: Any message ends it.
        """
        with self._changed:
            self._cancel, self._listens_to_all = cancel, all_messages
            self._changed.notify_all()
        watcher = Thread(target=self._watch, name="kmemu dap: pause", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            with self._changed:
                self._cancel = None
                self._changed.notify_all()
            watcher.join()

    def send(self, kind: str, **content: object) -> None:
        """Send a message.

        Raises:
            Gone: Nobody reads it.
        """
        self._sequence += 1
        try:
            self._writer.write(encoded({"seq": self._sequence, "type": kind, **content}))
            self._writer.flush()
        except (OSError, ValueError) as error:
            raise Gone from error

    def _watch(self) -> None:
        with self._changed:
            while (cancel := self._cancel) is not None:
                if self.wants_stop or (self._listens_to_all and self._received):
                    cancel()
                    self._changed.wait(_PATIENCE_S)
                else:
                    self._changed.wait()

    def _read(self) -> None:
        while True:
            received: Mapping[str, Any] | BadMessage | BadFrame | None
            try:
                received = read_message(self._reader)
            except (BadMessage, BadFrame) as error:
                received = error
            except (OSError, ValueError):  # ValueError: it has been closed
                received = None
            with self._changed:
                self._received.append(received)
                self._changed.notify_all()
            if received is None or isinstance(received, BadFrame):
                return


def _stops(message: Mapping[str, Any] | BadMessage | BadFrame | None) -> bool:
    if message is None or isinstance(message, BadFrame):
        return True
    return not isinstance(message, BadMessage) and message.get("command") in _STOPS
