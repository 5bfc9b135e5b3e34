"""What a client wants the kernel to stop at, with conditions, counts of hits and messages to log.

A condition is evaluated in the middle of the run, on the variables and registers there. Going back and forth meets the same instructions again: so a hit is
counted by the moment at which it happened, and a message is logged once.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.debug.dap.arguments import BadRequest
from emulator.debug.expressions.expression import Expression
from emulator.debug.places import places_of_function
from emulator.debug.points import Breakpoint
from emulator.debug.stop import Access
from emulator.debug.variables import FLOATING, NamesOfLevel, Variables
from emulator.errors import EmulatorError
from emulator.guest.storage import Unavailable
from emulator.loader.dwarf.scoped_names import SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.debug.dap.arguments import Arguments
    from emulator.debug.dap.lines import Lines
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.points import Point
    from emulator.debug.variables import GlobalVariables
    from emulator.loader.dwarf.made_types import MadeTypes
    from emulator.replay.moment import Moment

_HITS: Final = re.compile(r"\s*(>=|<=|==|=|>|<|%)?\s*(\d{1,9})\s*")
_LOGGED: Final = re.compile(r"\{([^{}]*)\}")
_ACCESSES: Final = {"read": Access.READ, "write": Access.WRITE, "readWrite": Access.READ | Access.WRITE}
_REFERENCE: Final = re.compile(r"0[xX]([0-9a-fA-F]{1,16})|([0-9]{1,19})")
_WATCHED: Final = re.compile(r"0x([0-9a-f]{8}):(\d{1,9})")


class Wanted(NamedTuple):
    """When to stop at a place that is reached.

    Attributes:
        condition: None: always.
        hits: Comparison and number of hits; None: at each.
        log: What to log instead of stopping; "": nothing.
    """

    condition: Expression | None
    hits: tuple[str, int] | None
    log: str


class _Hits:
    """When a place was reached."""

    def __init__(self) -> None:
        self._moments: list[Moment] = []

    def number_at(self, moment: Moment) -> tuple[int, bool]:
        """Return which hit one at a moment is, from 1, and whether it is a new one."""
        index = bisect_left(self._moments, moment)
        is_new = index == len(self._moments) or self._moments[index] != moment
        if is_new:
            insort(self._moments, moment)
        return index + 1, is_new

    def forget_after(self, moment: Moment) -> None:
        """Forget hits that will not happen again, because the machine was changed at a moment."""
        del self._moments[bisect_left(self._moments, moment) :]


class Placed(NamedTuple):
    """A point of the client's.

    Attributes:
        id: From 1, not used again.
        reason: Of stops there, in the protocol's words.
        points: Of the debugger: a line may have several places.
        description: As the client gets it.
    """

    id: int
    reason: str
    points: tuple[Point, ...]
    description: dict[str, Any]


class Points:
    """All that a client wants to stop at.

    Args:
        debugger: Sets the points.
        globals_: Variables of its kernel.
        lines: Its source lines.
        log: Called with a message.
    """

    def __init__(
        self, debugger: Debugger, globals_: GlobalVariables, lines: Lines, log: Callable[[str], None]
    ) -> None:
        self._debugger = debugger
        self._globals = globals_
        self._lines = lines
        self._log = log
        self._placed: dict[str, list[Placed]] = {}
        self._hits: list[_Hits] = []
        self._count = 0

    def of(self, point: Point) -> Placed | None:
        """Return what a point of the debugger was set for; None: not for the client."""
        return next((each for each in self._all() if point in each.points), None)

    def at(self, point: Point) -> list[int]:
        """Return the ids of what lies where a point was hit."""
        place = _place(point)
        return [
            each.id
            for each in self._all()
            if point in each.points or any(_place(one) == place for one in each.points)
        ]

    def forget_after(self, moment: Moment) -> None:
        """Forget hits after a moment at which the machine was changed."""
        for each in self._hits:
            each.forget_after(moment)

    def _all(self) -> Iterator[Placed]:
        return (each for group in self._placed.values() for each in group)

    # Requests.

    def set_source(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Serve ``setBreakpoints``."""
        source = arguments.object("source")
        path = source.text("path", "") or source.text("name", "")
        if not path:
            raise BadRequest("setBreakpoints: the source has neither path nor name")
        return self._replace(
            f"source {path}", arguments.objects("breakpoints"), lambda each: self._line(path, each)
        )

    def set_functions(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Serve ``setFunctionBreakpoints``."""
        return self._replace("functions", arguments.objects("breakpoints"), self._function)

    def set_instructions(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Serve ``setInstructionBreakpoints``."""
        return self._replace("instructions", arguments.objects("breakpoints"), self._instruction)

    def set_data(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Serve ``setDataBreakpoints``."""
        return self._replace("data", arguments.objects("breakpoints"), self._data)

    def _replace(
        self, group: str, wanted: Sequence[Arguments], place: Callable[[Arguments], Placed]
    ) -> list[dict[str, Any]]:
        """Set the points of a group, and remove those that were there before."""
        for old in self._placed.pop(group, []):
            for point in old.points:
                point.remove()
        placed = self._placed.setdefault(group, [])
        for each in wanted:
            try:
                placed.append(place(each))
            except (BadRequest, EmulatorError, ValueError, Unavailable) as error:
                placed.append(self._refused(str(error)))
        return [each.description for each in placed]

    def _refused(self, problem: str) -> Placed:
        number = self._next()
        return Placed(
            number, "", (), {"id": number, "verified": False, "message": problem, "reason": "failed"}
        )

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _line(self, path: str, wanted: Arguments) -> Placed:
        line = wanted.number("line")
        where = self._lines.nearest(path, line)
        if where is None:
            raise ValueError(f"no code belongs to line {line} of this file, or to one soon after it")
        found, addresses = where
        return self._breakpoints(wanted, "breakpoint", addresses, line=found)

    def _function(self, wanted: Arguments) -> Placed:
        name = wanted.text("name")
        addresses = places_of_function(self._debugger.image, name)
        if not addresses:
            addresses = (
                self._debugger.machine.address_of(name),
            )  # of a symbol; else it says that there is none
        return self._breakpoints(wanted, "function breakpoint", addresses)

    def _instruction(self, wanted: Arguments) -> Placed:
        address = read_reference(wanted.text("instructionReference")) + wanted.offset("offset")
        if not 0 <= address < 1 << 32:
            raise ValueError(f"{address:#x} is no 32-bit address")
        return self._breakpoints(wanted, "instruction breakpoint", [address])

    def _breakpoints(
        self, wanted: Arguments, reason: str, addresses: Sequence[int], line: int | None = None
    ) -> Placed:
        when = _when(wanted, self._globals.types)
        for address in addresses[:1]:
            self._check(when, address)
        condition, number = self._condition(when), self._next()
        points = tuple(self._debugger.break_at(each, condition) for each in addresses)
        description: dict[str, Any] = {
            "id": number,
            "verified": True,
            "instructionReference": f"0x{addresses[0]:08x}",
        }
        if line is not None:
            description["line"] = line
        return Placed(number, reason, points, description)

    def _data(self, wanted: Arguments) -> Placed:
        match = _WATCHED.fullmatch(wanted.text("dataId"))
        if match is None:
            raise ValueError(f"{wanted.text('dataId')!r} is no data that can be watched")
        access = _ACCESSES[wanted.one_of("accessType", ("write", "read", "readWrite"))]
        when = _when(wanted, self._globals.types)
        self._check(when, None)
        point = self._debugger.watch(int(match[1], 16), int(match[2]), access, self._condition(when))
        number = self._next()
        return Placed(number, "data breakpoint", (point,), {"id": number, "verified": True})

    # Conditions.

    def _check(self, when: Wanted, address: int | None) -> None:
        """Refuse a condition with a name that means nothing where it is to be evaluated."""
        expressions = [when.condition] if when.condition is not None else []
        expressions += [Expression(each, self._globals.types) for each in _LOGGED.findall(when.log)]
        known = None
        for expression in expressions:
            for type_ in expression.types():
                self._globals.types.named(type_)
            for name in expression.registers():
                if name not in (*self._debugger.machine.registers()._fields, *FLOATING):
                    raise ValueError(f"{name!r} is no register")
            for name in expression.names():
                if SCOPE in name and self._globals.has_scoped(name):
                    continue
                known = self._globals.names_at(address) if known is None else known
                if name not in known and self._debugger.image.symbol(name) is None:
                    raise ValueError(f"there is no variable {name!r} there")

    def _condition(self, when: Wanted) -> Callable[[Debugger], bool] | None:
        if when == Wanted(None, None, ""):
            return None
        hits = _Hits()
        self._hits.append(hits)

        def stops(debugger: Debugger) -> bool:
            moment = debugger.moment
            if when.condition is not None:
                try:
                    if not when.condition.number(self._names(debugger)):
                        return False
                except (ValueError, Unavailable) as error:
                    if hits.number_at(moment)[1]:
                        self._log(f"the condition {when.condition.text} cannot be evaluated: {error}")
                    return True
            number, is_new = hits.number_at(moment)
            if when.hits is not None and not _is_hit(when.hits, number):
                return False
            if not when.log:
                return True
            if is_new:
                self._log(_LOGGED.sub(lambda match: self._logged(match[1], debugger), when.log))
            return False

        return stops

    def _names(self, debugger: Debugger) -> NamesOfLevel:
        return NamesOfLevel(Variables(debugger.machine, self._globals), debugger.image, 0)

    def _logged(self, text: str, debugger: Debugger) -> str:
        try:
            result = Expression(text, self._globals.types).result(self._names(debugger))
        except (ValueError, Unavailable) as error:
            return f"<{error}>"
        return str(result.value) if isinstance(result, tuple) else result.text()


def read_reference(text: str) -> int:
    """Return the address that a memory reference is.

    Raises:
        BadRequest: It is none.
    """
    match = _REFERENCE.fullmatch(text)
    address = -1 if match is None else int(match[1], 16) if match[1] else int(match[2])
    if address < 0:
        raise BadRequest(f"{text[:40]!r} is no memory reference")
    return address


def _place(point: Point) -> tuple[type[Point], int | None]:
    return type(point), point.addresses[0] if isinstance(point, Breakpoint) else getattr(
        point, "address", None
    )


def _when(wanted: Arguments, types: MadeTypes) -> Wanted:
    condition = wanted.text("condition", "")
    hits = wanted.text("hitCondition", "")
    match = _HITS.fullmatch(hits) if hits.strip() else None
    if hits.strip() and match is None:
        raise ValueError(f"{hits!r} is no count of hits such as 5, >= 5 or % 5")
    counted = None if match is None else (match[1] or "==", int(match[2]))
    if counted is not None and counted[0] == "%" and not counted[1]:
        raise ValueError(f"{hits!r} is no count of hits: a division by zero")
    return Wanted(
        Expression(condition, types) if condition.strip() else None, counted, wanted.text("logMessage", "")
    )


def _is_hit(hits: tuple[str, int], number: int) -> bool:
    comparison, wanted = hits
    return {
        "==": number == wanted,
        "=": number == wanted,
        ">=": number >= wanted,
        ">": number > wanted,
        "<=": number <= wanted,
        "<": number < wanted,
        "%": not wanted or number % wanted == 0,
    }[comparison]
