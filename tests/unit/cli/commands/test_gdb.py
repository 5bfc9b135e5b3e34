"""``kmemu gdb`` as a process: who may come, who goes, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.debug.gdb.packets import encoded
from tests.helpers.gdb import decoded, is_output, server
from tests.helpers.terminal import KMEMU

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Done

    Kmemu = Callable[..., Done]

LONG = "btron_stress"  # runs for longer than any of this takes


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (
            "0.0.0.0:1234",
            "'0.0.0.0' is no loopback address (127.0.0.1, ::1, localhost); only these are listened at",
        ),
        ("[::]:1234", "'::' is no loopback address (127.0.0.1, ::1, localhost); only these are listened at"),
        (
            "example.com:1234",
            "'example.com' is no loopback address (127.0.0.1, ::1, localhost); only these are listened at",
        ),
        ("127.0.0.1", "'127.0.0.1' is no address and port; 127.0.0.1:1234 is one"),
        (":65536", "':65536' is no address and port; 127.0.0.1:1234 is one"),
        (":-1", "':-1' is no address and port; 127.0.0.1:1234 is one"),
        ("", "'' is no address and port; 127.0.0.1:1234 is one"),
    ],
)
def test_only_loopback_addresses_are_listened_at(kmemu: Kmemu, address: str, why: str) -> None:
    done = kmemu("gdb", "firmware:demo", "--listen", address)
    assert done == (2, "", f"kmemu: argument --listen: {why} (kmemu gdb --help shows how)\n")


def test_the_debugger_is_at_one_place(kmemu: Kmemu) -> None:
    done = kmemu("gdb", "--listen", ":0", "--stdio")
    assert done.status == 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--halt-on-error",), "--halt-on-error goes with --sanitize"),
        (
            ("--sanitize", "--halt-on-error"),
            "gdb stops in front of each bad access: --halt-on-error is for runs without it",
        ),
    ],
)
def test_options_that_mean_nothing_here_are_refused(kmemu: Kmemu, options: tuple[str, ...], why: str) -> None:
    assert kmemu("gdb", *options) == (2, "", f"kmemu: {why}\n")


def test_a_port_that_is_taken_is_an_error(kmemu: Kmemu) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = kmemu("gdb", "--listen", address)
    assert done == (3, "", f"kmemu: cannot listen at {address}: Address already in use\n")


def test_a_client_that_kills_ends_the_server_and_one_that_detaches_does_not() -> None:
    with server("demo") as serving:
        first = serving.client()
        assert first.ask(b"qC") == b"QC1"
        assert first.ask(b"s") is not None
        moved = first.ask(b"?")
        assert first.ask(b"D") == b"OK"
        assert first.answer() is None
        second = serving.client()
        assert second.ask(b"?") == moved, "the machine stays where it stands"
        second.send(encoded(b"k"))
        assert second.answer() is None
        assert serving.process.wait() == 0


def test_ctrl_c_of_the_client_stops_a_run() -> None:
    with server(LONG) as serving:
        client = serving.client()
        for _ in range(3):
            client.send(encoded(b"vCont;c") + b"\x03")
            answer = client.answer()
            assert answer is not None
            assert answer.startswith(b"T02")
        client.send(b"\x03")  # nothing runs: nobody minds
        assert client.ask(b"qC") is not None


def test_a_client_that_dies_in_the_middle_of_a_run_makes_room_for_the_next() -> None:
    with server(LONG) as serving:
        first = serving.client()
        assert first.ask(b"Z0,0,1") == b"OK"
        first.send(encoded(b"vCont;c"))
        first.close()
        second = serving.client()
        answer = second.ask(b"?")
        assert answer is not None
        assert answer.startswith(b"T"), "it stands still"
        assert second.ask(b"z0,0,1") == b"OK"


def test_a_client_that_dies_in_the_middle_of_a_packet_makes_room_for_the_next() -> None:
    with server("demo") as serving:
        first = serving.client()
        first.send(b"$m100000,")
        first.close()
        assert serving.client().ask(b"qC") == b"QC1"


def test_who_does_not_speak_the_protocol_is_hung_up_on() -> None:
    with server("demo") as serving:
        browser = serving.client()
        browser.send(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n" + encoded(b"k"))
        assert browser.answer() is None
        silent = serving.client()
        silent.close()
        assert serving.client().ask(b"qC") == b"QC1"
        assert serving.process.poll() is None


def test_clients_are_served_one_after_the_other() -> None:
    with server("demo") as serving:
        first, second = serving.client(), serving.client()
        second.send(encoded(b"qC"))
        assert first.ask(b"qC") == b"QC1"
        first.close()
        assert second.answer() == b"QC1"


def test_the_guests_output_goes_to_standard_output() -> None:
    with server("demo") as serving:
        client = serving.client()
        assert b"replaylog:end;" in (client.ask(b"vCont;c") or b"")
        client.send(encoded(b"k"))
        out, err = serving.process.communicate()
    assert "LiteCore demo: every call" in out
    assert err == ""


def test_on_standard_input_and_output_there_is_nothing_but_the_protocol() -> None:
    command, pipe = [*KMEMU, "gdb", "firmware:demo", "--stdio"], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encoded(b"QStartNoAckMode") + encoded(b"vCont;c"))
        process.stdin.flush()
        said = b""
        while b"replaylog:end;" not in said:
            said += os.read(process.stdout.fileno(), 1 << 16)
        out, err = process.communicate(encoded(b"k"))
    assert process.returncode == 0
    assert err == b""
    said += out
    answers = decoded(said)
    assert answers[0] == b"OK"
    assert all(map(is_output, answers[1:-1]))
    assert b"hello from port 0xE9" in bytes.fromhex(b"".join(each[1:] for each in answers[1:-1]).decode())


def test_a_client_that_goes_on_standard_input_ends_the_command() -> None:
    done = subprocess.run(
        [*KMEMU, "gdb", "firmware:demo", "--stdio"], input=b"+$?#3f", capture_output=True, check=False
    )
    assert done.returncode == 0


def test_ctrl_c_of_the_command_ends_it() -> None:
    with server("demo") as serving:
        assert serving.client().ask(b"qC") == b"QC1"
        serving.process.send_signal(signal.SIGINT)
        assert serving.process.wait() == 130
