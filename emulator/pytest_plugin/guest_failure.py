"""What a failure in the guest looks like in pytest's report: where the kernel stood, and what it printed last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.symbolizer import Symbolizer
from emulator.machine.call_stack import callers
from emulator.machine.machine import CALLS_END
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine

_FRAMES_SHOWN: Final = 8
_LINES_SHOWN: Final = 5
_LONGEST_LINE: Final = 150
FROM_THE_TEST: Final = "(called by the test)"


def stack_lines(addresses: Iterable[int], image: KernelImage, most: int = _FRAMES_SHOWN) -> list[str]:
    """Return a call stack for people, innermost first, one line for each level."""
    symbolizer = Symbolizer(image)
    lines = [
        FROM_THE_TEST if each in CALLS_END else printable(str(symbolizer.caller(each))) for each in addresses
    ]
    hidden = len(lines) - most
    if hidden > 1:
        return [*lines[: most - 1], f"... {hidden + 1} more levels"]
    return lines


def where_it_stands(machine: Machine) -> list[str]:
    """Return the stack of a machine that has stopped."""
    innermost = Symbolizer(machine.image).instruction(machine.cpu.registers().eip)
    lines = [printable(str(innermost)), *stack_lines(callers(machine), machine.image, _FRAMES_SHOWN - 1)]
    return ["the kernel's call stack:", *_indented(lines)]


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


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 3] + "..."


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
