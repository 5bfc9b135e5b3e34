"""Wait for clients on a loopback address, or serve the one on standard input and output; one at a time."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from emulator.debug.gdb.connection import ClientGone, Connection
from emulator.debug.gdb.session import Left, Session
from emulator.debug.listening import address_of, listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.gdb.target import Target
    from emulator.debug.listening import Address


def serve_pipes(target: Target, reader: int, writer: int) -> None:
    """Serve one client until it leaves or is gone. It gets what the guest writes, too.

    Args:
        target: What the client debugs.
        reader: File descriptor with the client's packets.
        writer: File descriptor for the answers.
    """
    with closing(Connection(reader, writer)) as connection, suppress(ClientGone):
        session = Session(target, connection)
        target.output.pass_on = lambda _, data: session.show(data)
        session.serve()


def serve(target: Target, address: Address, ready: Callable[[Address], None]) -> None:
    """Serve clients, one after the other, until one of them ends the server (``kill``).

    One that leaves or is gone takes its points with it; the machine stays where it stands.

    Args:
        target: What they debug; they do not get its output.
        address: Where they are waited for.
        ready: Is called as soon as they can come, with the address as it is.

    Raises:
        HostError: The address cannot be listened at.
    """
    with closing(listener(address)) as waiting:
        ready(address_of(waiting, address))
        is_killed = False
        while not is_killed:
            client, _ = waiting.accept()
            with closing(client):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if _is_debugger(client):
                    is_killed = _serve(target, client.fileno()) is Left.KILLED


def _is_debugger(client: socket.socket) -> bool:
    """Return whether what a client sends begins like the protocol.

    A browser that a web page lets send a form with packets in it does not.
    """
    try:
        return client.recv(1, socket.MSG_PEEK) in (b"+", b"-", b"$", b"\x03")
    except OSError:
        return False


def _serve(target: Target, client: int) -> Left | None:
    """Serve one client; None: it is gone."""
    with closing(Connection(client, client)) as connection, suppress(ClientGone):
        return Session(target, connection).serve()
    return None
