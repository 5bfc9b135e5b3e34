"""The bytes of one client."""

from __future__ import annotations

import os

from emulator.debug.gdb.connection import Connection
from emulator.debug.gdb.packets import encoded


def test_a_packet_that_was_sent_again_while_a_kernel_was_loaded_is_answered_once() -> None:
    (reader, to_server), (from_server, writer) = os.pipe(), os.pipe()
    try:
        connection = Connection(reader, writer)
        os.write(to_server, encoded(b"qSupported") * 3)
        assert connection.receive() == b"qSupported"
        os.write(to_server, b"+" + encoded(b"vMustReplyEmpty"))
        assert connection.receive() == b"vMustReplyEmpty"
        assert os.read(from_server, 100) == b"++"
        connection.stop_acks()
        os.write(to_server, encoded(b"s") * 2)
        assert [connection.receive(), connection.receive()] == [b"s", b"s"], "each is a step"
    finally:
        for each in (reader, to_server, from_server, writer):
            os.close(each)
