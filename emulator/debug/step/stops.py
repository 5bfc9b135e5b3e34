"""What a person wants the run to stop at, as it is typed and listed.

```
stop      = PLACE [ " if " CONDITION ]
PLACE     = what `Debugger.break_at` takes: a function, an address, or FILE:LINE; of a watchpoint an address and perhaps a number of bytes
CONDITION = an expression of Python
```

In a condition registers and variables of the kernel are numbers by their names, and ``d`` is the debugger.
"""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING, Final

from emulator.debug.addresses import read_address
from emulator.debug.points import Breakpoint, Watchpoint
from emulator.debug.variables import NamesOfLevel, Variables
from emulator.report.text.frames import frame_text
from emulator.wording import printable
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.points import Point
    from emulator.debug.stop import Stop
    from emulator.debug.variables import GlobalVariables

_DEBUGGER: Final = "d"
_WATCHED_MAX: Final = 1 << 20  # bytes


class Stops:
    """What one debugger stops at.

    Args:
        debugger: Gets the points.
        globals_: Variables of its kernel.
    """

    def __init__(self, debugger: Debugger, globals_: GlobalVariables) -> None:
        self._debugger = debugger
        self._globals = globals_
        self._conditions: dict[Point, str] = {}
        self._problem = ""  # why the condition that was asked last has no value

    def break_at(self, text: str) -> Point:
        """Stop at a place.

        Raises:
            ValueError: *text* says none, or its condition cannot be evaluated there.
        """
        place, condition = _parted(text)
        point = self._debugger.break_at(int(place, 0) if place.startswith("0x") else place)
        return self._under(point, condition, point.addresses[0])

    def watch(self, text: str) -> Point:
        """Stop behind writes to some bytes.

        Raises:
            ValueError: See `break_at`.
        """
        place, condition = _parted(text)
        where, _, size = place.partition(" ")
        if size and not (
            size.isdecimal() and len(size) < len(str(_WATCHED_MAX)) + 1 and 0 < int(size) <= _WATCHED_MAX
        ):
            raise ValueError(f"{size!r} is no number of bytes from 1 to {_WATCHED_MAX}")
        address = read_address(where, self._debugger.image)
        return self._under(self._debugger.watch(address, int(size or WORD_SIZE)), condition, None)

    def _under(self, point: Breakpoint | Watchpoint, condition: str, address: int | None) -> Point:
        if condition:
            try:
                point.condition = self._read(condition, address)
            except ValueError:
                point.remove()
                raise
            self._conditions[point] = condition
        return point

    def texts(self) -> list[tuple[Point, str]]:
        """Return all that stops the run, each with what it is in one printable line."""
        return [(each, self._text(each)) for each in self._debugger.points]

    def _text(self, point: Point) -> str:
        condition = self._conditions.get(point)
        return "  ".join(
            (
                f"{point.number:>2}",
                " " if point.enabled else "-",
                self._place(point),
                *([f"if {printable(condition)}"] if condition else []),
                f"stopped {point.hits} times" if point.hits != 1 else "stopped once",
            )
        )

    def _place(self, point: Point) -> str:
        if isinstance(point, Breakpoint):
            first, *others = point.addresses
            more = f" and {len(others)} more" if others else ""
            return f"0x{first:08x} {frame_text(self._debugger.image.location(first))}{more}"
        if isinstance(point, Watchpoint):
            name = self._globals.name_of(point.address)
            return f"writes to 0x{point.address:08x} {printable(name)}, {point.size} bytes"
        return "an event"

    def problem(self, stop: Stop) -> str:
        """Return why the condition of what has stopped the run has no value; "": it has."""
        return self._problem if stop.point is not None and stop.point in self._conditions else ""

    # Conditions.

    def _read(self, text: str, address: int | None) -> Callable[[Debugger], bool]:
        """Return a condition; an address: where it is evaluated, None: anywhere."""
        try:
            tree = ast.parse(text.strip(), "condition", "eval")
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{text!r} is no expression of Python: {error}") from None
        code = compile(tree, "condition", "eval")
        nodes = list(ast.walk(tree))
        names = [each for each in nodes if isinstance(each, ast.Name)]
        own = {each.id for each in names if isinstance(each.ctx, ast.Store)}
        own |= {each.arg for each in nodes if isinstance(each, ast.arg)}
        for each in names:
            if each.id not in own and not self._is_known(each.id, address):
                raise ValueError(f"there is no variable {each.id!r} there")

        def holds(debugger: Debugger) -> bool:
            self._problem = ""
            try:
                names = _Names(debugger, self._globals)
                return bool(eval(code, names, names))  # noqa: S307 - whose kernel it is, types it
            except Exception as error:  # noqa: BLE001 - it may be any
                self._problem = f"its condition has no value: {error or type(error).__name__}"
                return True

        return holds

    def _is_known(self, name: str, address: int | None) -> bool:
        return (
            name == _DEBUGGER
            or name in self._debugger.machine.registers()._fields
            or hasattr(builtins, name)
            or address is None
            or name in self._globals.names_at(address)
            or self._debugger.image.symbol(name) is not None
        )


class _Names(dict[str, object]):
    """What names mean in a condition, where the machine stands."""

    def __init__(self, debugger: Debugger, globals_: GlobalVariables) -> None:
        super().__init__({_DEBUGGER: debugger, **debugger.machine.registers()._asdict()})
        self._names = NamesOfLevel(Variables(debugger.machine, globals_), debugger.image, 0)

    def __missing__(self, name: str) -> object:
        value = self._names.variable(name)
        if value is not None:
            return value.number
        address = self._names.label(name)
        if address is None:
            raise KeyError(name)
        return address


def _parted(text: str) -> tuple[str, str]:
    place, _, condition = text.partition(" if ")
    if not place.strip():
        raise ValueError("where?")
    return place.strip(), condition.strip()
