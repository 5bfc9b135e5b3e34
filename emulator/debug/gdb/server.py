"""Wait for clients on a loopback address, or serve the one on standard input and output; one at a time."""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.gdb.connection import ClientGone, Connection
from emulator.debug.gdb.session import Left, Session
from emulator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.gdb.target import Target

DEFAULT_PORT: Final = 1234
_PORT_MAX: Final = 0xFFFF


class Address(NamedTuple):
    """Where clients are waited for: a loopback address, and a port, 0 for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


DEFAULT: Final = Address("127.0.0.1", DEFAULT_PORT)


def read_address(text: str) -> Address:
    """Read ``127.0.0.1:1234``, ``localhost:1234``, ``[::1]:1234``, ``:1234`` or ``1234``.

    Raises:
        ValueError: It is none, or no address of the loopback interface: whoever reaches the port can do with the machine what he
            likes.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or len(port) > len(str(_PORT_MAX)) or int(port) > _PORT_MAX:
        raise ValueError(f"{text!r} is no address and port; 127.0.0.1:{DEFAULT_PORT} is one")
    if host in ("", "localhost"):
        return Address(DEFAULT.host, int(port))
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(
            f"{host!r} is no loopback address (127.0.0.1, ::1, localhost); only these are listened at"
        )
    return Address(host, int(port))


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
        ready(Address(address.host, waiting.getsockname()[1]))
        is_killed = False
        while not is_killed:
            client, _ = waiting.accept()
            with closing(client):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if _is_debugger(client):
                    is_killed = _serve(target, client.fileno()) is Left.KILLED


def listener(address: Address) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        HostError: It cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(1)
    except OSError as error:
        found.close()
        raise HostError(f"cannot listen at {address}: {os.strerror(error.errno or 0)}") from error
    return found


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
