"""The guest's console on its way to a terminal, and to everything else."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.helpers.terminal import KMEMU, drained, environment, terminal
from tests.unit.cli import kernels

if TYPE_CHECKING:
    from pathlib import Path

SAID = b"\x1b[31mred\x1b]52;c;aGk=\x07\x1b[?1049h\x1b[6n\n"
SHOWN = b"\x1b[31mred\r\n"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Return a kernel that says `SAID` in two halves on COM1, and its profile."""
    (tmp_path / "p.toml").write_text('name = "mine"\n[heap]\nalloc = "start()"\n')
    code = kernels.send(0x3F8, SAID[:12]) + kernels.send(0x3F8, SAID[12:]) + kernels.exit_with(0)
    return [kernels.write_kernel(tmp_path / "k.elf", code), "--profile", str(tmp_path / "p.toml")]


def on_a_terminal(stream: str, *arguments: str) -> bytes:
    """Run the command with a stream of its on a terminal; return what that gets."""
    with terminal(80) as (master, slave):
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | {stream: slave}
        subprocess.run([*KMEMU, *arguments], check=True, env=environment(TERM="dumb"), **streams)  # type: ignore[call-overload]
        return drained(master)


@pytest.mark.parametrize(("raw", "said"), [([], SHOWN), (["--raw"], SAID.replace(b"\n", b"\r\n"))])
def test_boot_keeps_from_a_terminal_what_is_not_for_it(words: list[str], raw: list[str], said: bytes) -> None:
    shown = on_a_terminal("stdout", "boot", words[0], "--no-summary", *raw)
    assert shown == said + (b"" if raw else b"\x1b[0m")


@pytest.mark.parametrize("command", ["check", "trace"])
@pytest.mark.parametrize(("raw", "said"), [([], SHOWN), (["--raw"], SAID.replace(b"\n", b"\r\n"))])
def test_so_do_the_others(words: list[str], command: str, raw: list[str], said: bytes) -> None:
    shown = on_a_terminal("stderr", command, *words, "--console", *raw)
    assert shown == said + (b"" if raw else b"\x1b[0m")


def test_a_pipe_and_a_file_get_every_byte(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*KMEMU, "boot", words[0], "--no-summary"], check=True, capture_output=True)
    assert done.stdout == SAID
    done = subprocess.run([*KMEMU, "trace", *words, "--console"], check=True, capture_output=True)
    assert done.stderr == SAID
    subprocess.run(
        [*KMEMU, "boot", words[0], "--serial", str(tmp_path / "serial")], check=True, capture_output=True
    )
    assert (tmp_path / "serial").read_bytes() == SAID
