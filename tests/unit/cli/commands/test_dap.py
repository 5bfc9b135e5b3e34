from __future__ import annotations

import re
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.cli.main import main
from tests.helpers.debug_adapter import COMMAND, DebugAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def waiting() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """An adapter that waits at a free port."""
    process = subprocess.Popen(
        [*COMMAND, "--listen", ":0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process:
        try:
            found = re.fullmatch(
                rb"kmemu: waiting for an editor at 127\.0\.0\.1:(\d+)\n", process.stderr.readline()
            )
            assert found is not None
            yield int(found[1]), process
        finally:
            process.kill()


def test_an_editor_may_come_to_a_port(waiting: tuple[int, subprocess.Popen[bytes]]) -> None:
    port, process = waiting
    with (
        socket.create_connection(("127.0.0.1", port)) as client,
        client.makefile("rb") as reader,
        client.makefile("wb") as writer,
    ):
        adapter = DebugAdapter(reader, writer)
        adapter.launch("firmware:demo", stopOnEntry=True)
        assert adapter.start()["reason"] == "entry"
        adapter.request("disconnect")
        assert adapter.receive() is None
    assert process.wait() == 0


def test_a_browser_is_no_editor(waiting: tuple[int, subprocess.Popen[bytes]]) -> None:
    port, process = waiting
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        received = b"".join(iter(lambda: client.recv(4096), b""))
    assert b"is no header" in received
    assert b'"terminated"' in received
    assert process.wait() == 0


@pytest.mark.parametrize("address", ["0.0.0.0:4711", "example.org:4711", "127.0.0.1", "127.0.0.1:70000"])
def test_only_loopback_addresses_are_listened_at(capsys: pytest.CaptureFixture[str], address: str) -> None:
    assert main(["dap", "--listen", address]) == 2
    assert capsys.readouterr().err.startswith(
        f"kmemu: argument --listen: '{address.rpartition(':')[0] if address.endswith('4711') else address}' is no "
    )


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["dap", "--listen", f":{port}"]) == 3
    assert capsys.readouterr().err == f"kmemu: cannot listen at 127.0.0.1:{port}: Address already in use\n"
