"""Serve one client, on standard input and output or at a loopback address."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from emulator.debug.dap.adapter import Adapter
from emulator.debug.dap.client import Client
from emulator.debug.listening import address_of, listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.dap.client import Output
    from emulator.debug.dap.messages import Input
    from emulator.debug.listening import Address


def serve(reader: Input, writer: Output) -> None:
    """Serve a client until it leaves or is gone.

    Args:
        reader: Where its messages come from.
        writer: Where answers go to.
    """
    Adapter(Client(reader, writer)).serve()


def serve_at(address: Address, ready: Callable[[Address], None]) -> None:
    """Wait for a client at a loopback address, and serve it.

    Args:
        address: Where to wait.
        ready: Called with the address as it is, as soon as a client may come.

    Raises:
        HostError: The address cannot be listened at.
    """
    with listener(address) as waiting:
        ready(address_of(waiting, address))
        client, _ = waiting.accept()
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client.makefile("wb") as writer:
            reader = client.makefile("rb")
            serve(reader, writer)
            with suppress(OSError):  # it may be gone
                client.shutdown(socket.SHUT_RD)  # wakes the thread that reads
            reader.close()
