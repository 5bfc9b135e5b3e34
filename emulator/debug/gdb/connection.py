"""The bytes of one client, over a socket or a pair of pipes, and the watch over them while the machine runs."""

from __future__ import annotations

import errno
import os
import select
import threading
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Final

from emulator.debug.gdb.packets import Decoder, Mark, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE: Final = 1 << 16
_PATIENCE_S: Final = 0.01
"""Between two looks for Ctrl-C while the machine runs. It decides nothing but how soon one is seen."""


class ClientGone(Exception):
    """The client has closed the connection, or it broke."""


class Connection:
    """Sends packets to a client and receives its.

    Args:
        reader: File descriptor.
        writer: File descriptor; may be the same.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()
        self._poll = select.poll()
        self._poll.register(reader, select.POLLIN)
        self._last = b""
        self._watch = _Watch(self)
        self._needs_acks = True

    def receive(self) -> bytes:
        """Return the payload of the client's next packet; wait for it.

        What is no packet is asked for again, or, where packets are not acknowledged, answered by an error.

        Raises:
            ClientGone: None will come.
        """
        while True:
            item = self._decoder.next()
            if isinstance(item, bytes):
                if self._needs_acks:
                    self._decoder.drop_repeats(
                        item
                    )  # gdb waits two seconds, and a kernel may take longer to load
                    self._write(b"+")
                return item
            if item is None:
                self._read()
            elif item is Mark.NACK and self._needs_acks:
                self._write(self._last)
            elif item is Mark.BAD:
                self._write(b"-" if self._needs_acks else encoded(b"E%02x" % errno.EBADMSG))

    def send(self, payload: bytes) -> None:
        """Send a packet.

        Raises:
            ClientGone: Nobody receives it.
        """
        self._last = encoded(payload)
        self._write(self._last)

    def stop_acks(self) -> None:
        """Acknowledge no packet from now on, and expect none to be."""
        self._needs_acks = False

    @contextmanager
    def watched(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Watch for Ctrl-C while the body runs a machine.

        Args:
            cancel: Ends the run, before long; is called from another thread, and maybe more than once.

        Raises:
            ClientGone: After the body: the client went meanwhile, and *cancel* was called.
        """
        self._watch.begin(cancel)
        try:
            yield
        finally:
            self._watch.end()
        if self._watch.is_client_gone:
            raise ClientGone

    def close(self) -> None:
        """End the watch. The descriptors are the caller's."""
        self._watch.close()

    def look(self) -> bool:
        """Take what has come, without waiting, and return whether Ctrl-C was among it.

        Raises:
            ClientGone: The client has closed the connection.
        """
        if self._poll.poll(0):
            self._read()
        return self._decoder.take_interrupt()

    def _read(self) -> None:
        try:
            data = os.read(self._reader, _PIECE)
        except OSError as error:
            raise ClientGone from error
        if not data:
            raise ClientGone
        self._decoder.feed(data)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._writer, data) :]
        except OSError as error:
            raise ClientGone from error


class _Watch:
    """Looks at a connection from another thread while a machine runs.

    Args:
        connection: Nobody else may read it meanwhile.

    Attributes:
        is_client_gone: It was seen to be gone.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cancel: Callable[[], None] = _do_nothing
        self._is_running = threading.Event()
        self._is_closed = False
        self._lock = threading.Lock()  # held while it looks, and while that begins and ends
        self._is_asked = False
        self.is_client_gone = False
        self._thread: threading.Thread | None = None

    def begin(self, cancel: Callable[[], None]) -> None:
        """Look from now on, and call *cancel* until `end` if Ctrl-C comes or the client goes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look_on, name="kmemu gdb: Ctrl-C", daemon=True)
            self._thread.start()
        with self._lock:
            self._cancel, self._is_asked = cancel, False
            self._is_running.set()

    def end(self) -> None:
        """Look no more. *cancel* is not called after this."""
        with self._lock:
            self._is_running.clear()

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._is_closed = True
            self._is_running.set()
        if self._thread is not None:
            self._thread.join()

    def _look_on(self) -> None:
        while not self._is_closed:
            self._is_running.wait()
            with self._lock:
                if self._is_running.is_set() and not self._is_closed:
                    self._look()
            sleep(_PATIENCE_S)

    def _look(self) -> None:
        try:
            self._is_asked |= self._connection.look()
        except ClientGone:
            self.is_client_gone = self._is_asked = True
        if self._is_asked:
            self._cancel()  # again: one that comes between two runs of the machine may be lost


def _do_nothing() -> None:
    """Cancel nothing."""
