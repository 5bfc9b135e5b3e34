"""Write for pytest's report where a kernel stood when it failed, and what it printed last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.backtrace import backtrace
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.address_map import CALLS_END
from emulator.report.text.frames import frame_text
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine

_FRAMES_SHOWN: Final = 8
_LINES_SHOWN: Final = 5
_LONGEST_LINE: Final = 150
FROM_THE_TEST: Final = "(called by the test)"


def caller_lines(addresses: Iterable[int], image: KernelImage, most: int = _FRAMES_SHOWN) -> list[str]:
    """Return a line for each frame of a recorded backtrace, innermost first."""
    symbolizer = Symbolizer(image)
    lines: list[str] = []
    for each in addresses:
        lines += [FROM_THE_TEST] if each in CALLS_END else map(frame_text, symbolizer.caller(each))
    return _first(lines, most)


def backtrace_lines(machine: Machine) -> list[str]:
    """Return the backtrace of a machine that has stopped."""
    lines = [frame_text(each.frame) for each in backtrace(machine)]
    return ["the kernel's call stack:", *_indented(_first(lines, _FRAMES_SHOWN))]


def last_lines(console: str) -> list[str]:
    """Return the end of what a kernel printed."""
    lines = console.rstrip().splitlines()
    if not lines:
        return ["the kernel printed nothing"]
    shown = [_shortened(printable(line)) for line in lines[-_LINES_SHOWN:]]
    return [
        "the last lines of the console:" if len(lines) > _LINES_SHOWN else "the console:",
        *_indented(shown),
    ]


def _first(lines: list[str], most: int) -> list[str]:
    hidden = len(lines) - most
    return [*lines[: most - 1], f"... {hidden + 1} more levels"] if hidden > 1 else lines


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 3] + "..."


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
