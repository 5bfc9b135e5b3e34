from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from emulator.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable


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
