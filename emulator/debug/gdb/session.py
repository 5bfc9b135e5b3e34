"""One client's session: its packets are answered until it leaves, ends the server, or is gone."""

from __future__ import annotations

import errno
from enum import Enum, auto
from typing import TYPE_CHECKING

from emulator.debug.gdb.answers import OK, Answers, Refused, answer
from emulator.debug.gdb.monitor import Monitor
from emulator.debug.gdb.moves import Moves
from emulator.debug.gdb.points import Points
from emulator.debug.gdb.queries import Queries
from emulator.debug.gdb.state import State
from emulator.debug.gdb.threads import Threads
from emulator.errors import EmulatorError

if TYPE_CHECKING:
    from emulator.debug.gdb.connection import Connection
    from emulator.debug.gdb.target import Target

_TEXT_MAX = 1 << 14
"""Bytes of text in one packet."""


class Left(Enum):
    """How a client has left."""

    DETACHED = auto()  # the machine waits for the next client
    KILLED = auto()  # the server is to end


class Session:
    """A client's session.

    Args:
        target: What the client debugs.
        connection: To the client; none of its packets were read.
    """

    def __init__(self, target: Target, connection: Connection) -> None:
        debugger = target.debugger
        self._connection = connection
        self._left: Left | None = None
        threads = Threads(debugger.machine, target.tasks)
        self._points = Points(debugger)
        moves = Moves(debugger, connection, self._points, threads, self.say)
        self._answers = Answers(
            (
                *threads.answers,
                *State(debugger, threads, target.output).answers,
                *self._points.answers,
                *moves.answers,
                *Queries(debugger.machine, connection, moves, threads).answers,
                *Monitor(debugger, connection, self.say).answers,
                answer("D", rb"(?:;.*)?", self._detach),
                answer("k", b"", self._kill),
                answer("vKill", rb"(?:;.*)?", self._kill_politely),
            )
        )

    def serve(self) -> Left:
        """Answer the client's packets until it leaves. Its points are removed then, also where it is gone.

        Raises:
            ClientGone: It has closed the connection, or that broke.
        """
        try:
            while self._left is None:
                self._answer(self._connection.receive())
        finally:
            self._points.clear()
        return self._left

    def say(self, text: str) -> None:
        """Show text to the client's user; it is the answer to a packet that the client waits for, or a part of it."""
        self.show(text.encode("utf-8", "replace"))

    def show(self, data: bytes) -> None:
        """Show bytes to the client's user; see `say`."""
        for at in range(0, len(data), _TEXT_MAX):
            self._connection.send(b"O" + data[at : at + _TEXT_MAX].hex().encode())

    def _answer(self, packet: bytes) -> None:
        """Answer a packet. One that nobody knows gets an empty answer, one that is not obeyed the number of an error."""
        try:
            found = self._answers.answer(packet)
        except Refused as error:
            found = b"E%02x" % error.number
        except EmulatorError:  # the machine, or the host, lacks something
            found = b"E%02x" % errno.EIO
        if found is not None:
            self._connection.send(found)

    def _detach(self) -> bytes:
        self._left = Left.DETACHED
        return OK

    def _kill(self) -> None:
        self._left = Left.KILLED

    def _kill_politely(self) -> bytes:
        self._left = Left.KILLED
        return OK
