from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from emulator.cli.main import main
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def kmemu(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run the command inside this process, on an 80-column terminal that knows only ASCII."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Done:
        status = main(arguments)
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Return a real terminal of 80 x 24."""
    terminal = Terminal(tmp_path / "tmux", 80, 24)
    yield terminal
    terminal.close()
