"""Clients of `kmemu gdb`: gdb itself, and one that says packets by hand."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from emulator.debug.gdb.connection import Connection
from emulator.debug.gdb.output import NewOutput
from emulator.debug.gdb.packets import Decoder, encoded
from emulator.debug.gdb.session import Left, Session
from emulator.debug.gdb.target import Target
from emulator.loader.builtin import resolve
from tests.helpers.terminal import KMEMU

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.debug.kernel_debugger import Debugger
    from emulator.guest.tasks import TaskReader

PROGRAM = "gdb"
_SETTINGS = ("set confirm off", "set pagination off", "set width 0", "set style enabled off")


def gdb_transcript(kernel: str, commands: Sequence[str], *options: str) -> str:
    """Return what gdb prints for a script, and the guest's output in it.

    Args:
        kernel: A built-in one, without ``firmware:``, or a path.
        commands: Of gdb, after it has connected.
        options: Of ``kmemu gdb``, besides ``--stdio``.
    """
    if shutil.which(PROGRAM) is None:
        raise AssertionError(f"these tests need {PROGRAM}: apt-get install gdb")
    path = kernel if "/" in kernel else resolve(f"firmware:{kernel}")
    server = " ".join([*KMEMU, "gdb", path, "--stdio", *options])
    words = [word for each in (*_SETTINGS, f"target remote | {server}", *commands) for word in ("-ex", each)]
    done = subprocess.run(
        [PROGRAM, "-q", "-nx", "-batch", *words, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def talk(debugger: Debugger, *packets: bytes, tasks: TaskReader | None = None) -> tuple[Left, list[bytes]]:
    """Let a client say something to a new session, and then leave.

    Args:
        debugger: What it debugs; it stands still afterwards, and without points.
        packets: Bytes as they are sent; acknowledgements are switched off before.
        tasks: Of its kernel.

    Returns:
        How it has left; and the answers, console output included.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as answered:
        leave = encoded(b"D") * 3  # what came before may swallow one
        ours.sendall(encoded(b"QStartNoAckMode") + b"".join(packets) + leave)
        connection = Connection(theirs.fileno(), answered.fileno())
        left = Session(Target(debugger, NewOutput(), tasks), connection).serve()
        connection.close()
        answered.seek(0)
        answers = decoded(answered.read())
    assert answers[0] == b"OK"
    return left, answers[1:-1] if left is Left.DETACHED else answers[1:]


def ask(debugger: Debugger, *payloads: bytes, tasks: TaskReader | None = None) -> list[bytes]:
    """Return the answers to some packets in one session, without text for the user."""
    answers = talk(debugger, *map(encoded, payloads), tasks=tasks)[1]
    return [each for each in answers if not is_output(each)]


def is_output(answer: bytes) -> bool:
    """Return whether an answer is text for the client's user."""
    return re.fullmatch(rb"O(?:[0-9a-f]{2})+", answer) is not None


def decoded(data: bytes) -> list[bytes]:
    """Return the payloads of packets."""
    decoder = Decoder()
    decoder.feed(data)
    return [item for item in iter(decoder.next, None) if isinstance(item, bytes)]


class Client:
    """A connection to a server, by hand."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._decoder = Decoder()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def answer(self) -> bytes | None:
        """Return the next packet that is no text for the user; None: the server has hung up."""
        while True:
            item = self._decoder.next()
            if isinstance(item, bytes):
                self.send(b"+")
                if not is_output(item):
                    return item
            elif item is None and not self._receive():
                return None

    def ask(self, payload: bytes) -> bytes | None:
        """Send a packet, and return the answer."""
        self.send(encoded(payload))
        return self.answer()

    def close(self) -> None:
        """Be gone."""
        self._socket.close()

    def _receive(self) -> bool:
        with suppress(ConnectionResetError):
            data = self._socket.recv(1 << 16)
            self._decoder.feed(data)
            return bool(data)
        return False


class Server:
    """``kmemu gdb`` on a free port of the loopback interface."""

    def __init__(self, process: subprocess.Popen[str], stack: ExitStack) -> None:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"target remote 127\.0\.0\.1:([0-9]+)", line)
        assert found, f"it has said {line!r}"
        self.port = int(found[1])
        self.process = process
        self._stack = stack

    def client(self) -> Client:
        """Return a new connection."""
        client = Client(self.port)
        self._stack.callback(client.close)
        return client


@contextmanager
def server(kernel: str, *options: str) -> Iterator[Server]:
    """Start a server; kill it, if need be, and close all connections at the end."""
    command = [*KMEMU, "gdb", f"firmware:{kernel}", "--listen", "127.0.0.1:0", *options]
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        process = stack.enter_context(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        stack.callback(process.kill)
        yield Server(process, stack)
