"""Addresses of the loopback interface, at which clients of a debugger are waited for."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import Final, NamedTuple

from emulator.errors import HostError

_HOST: Final = "127.0.0.1"
_PORT_MAX: Final = 0xFFFF


class Address(NamedTuple):
    """Where clients are waited for: a loopback address, and a port, 0 for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


DEFAULT: Final = Address(_HOST, 1234)


def listening_address(text: str) -> Address:
    """Read ``127.0.0.1:1234``, ``localhost:1234``, ``[::1]:1234``, ``:1234`` or ``1234``.

    Raises:
        ValueError: It is none, or no address of the loopback interface: whoever reaches the port can do with the machine what he
            likes.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or len(port) > len(str(_PORT_MAX)) or int(port) > _PORT_MAX:
        raise ValueError(f"{text!r} is no address and port; {DEFAULT} is one")
    if host in ("", "localhost"):
        return Address(_HOST, int(port))
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(
            f"{host!r} is no loopback address (127.0.0.1, ::1, localhost); only these are listened at"
        )
    return Address(host, int(port))


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


def address_of(waiting: socket.socket, address: Address) -> Address:
    """Return where a listener really is: its port is known now, where it was a free one."""
    return Address(address.host, waiting.getsockname()[1])
