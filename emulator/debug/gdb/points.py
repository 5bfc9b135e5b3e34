"""Breakpoints and watchpoints of the client, with the conditions that it lets the target evaluate."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.gdb.answers import HEX, OK, Refused, answer, obeyed
from emulator.debug.gdb.bytecode import BadExpression, conditions
from emulator.debug.gdb.registers import REGISTERS
from emulator.debug.stop import Access
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.debug.gdb.answers import Answer
    from emulator.debug.gdb.bytecode import Expression
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.points import Breakpoint, Point, Watchpoint

_PLACE = rb"([0-9]),"


class Kind(IntEnum):
    """What kind of point, by the client's numbers."""

    SOFTWARE = 0
    HARDWARE = 1
    WRITE = 2
    READ = 3
    ACCESS = 4


_KINDS: Final = frozenset(Kind)
_ACCESSES: Final = {
    Kind.WRITE: Access.WRITE,
    Kind.READ: Access.READ,
    Kind.ACCESS: Access.READ | Access.WRITE,
}


class _Set(NamedTuple):
    """A point that is set, with the client's text of its conditions."""

    point: Breakpoint | Watchpoint
    conditions: bytes


class Points:
    """The points that a client has set.

    gdb takes all of them away at each stop, and sets them again before it goes on. To really do so would cost the translations of the
    code around them each time. So one that is taken away only waits for that, until the machine runs.

    Args:
        debugger: Where they are set.
    """

    def __init__(self, debugger: Debugger) -> None:
        self._debugger = debugger
        self._points: dict[tuple[int, int, int], _Set] = {}
        self._leaving: dict[tuple[int, int, int], _Set] = {}
        self.answers: tuple[Answer, ...] = (
            answer("Z", _PLACE + HEX + b"," + HEX + rb"((?:;.*)?)", self._set),
            answer("z", _PLACE + HEX + b"," + HEX + rb"(?:;.*)?", self._remove),
        )

    def kind_of(self, point: Point | None) -> Kind | None:
        """Return what kind a point is for the client; None: it is not one of the client's."""
        return next((Kind(key[0]) for key, each in self._points.items() if each.point is point), None)

    def settle(self) -> None:
        """Let only those points stop the machine that the client has set."""
        for each in self._leaving.values():
            each.point.remove()
        self._leaving.clear()

    def clear(self) -> None:
        """Remove all."""
        self._leaving |= self._points
        self._points.clear()
        self.settle()

    def _set(self, kind: bytes, address: bytes, size: bytes, text: bytes) -> bytes:
        key = int(kind), int(address, 16), int(size, 16)
        if key[0] not in _KINDS:
            return b""
        there = self._points.get(key) or self._leaving.get(key)
        if there is None or there.conditions != text:
            with obeyed(errno.EINVAL):
                point = self._new(Kind(key[0]), key[1], key[2], _condition(text))
            if there is not None:
                there.point.remove()
            there = _Set(point, text)
        self._leaving.pop(key, None)
        self._points[key] = there
        return OK

    def _new(
        self, kind: Kind, address: int, size: int, condition: Callable[[Debugger], bool] | None
    ) -> Breakpoint | Watchpoint:
        if kind not in _ACCESSES:
            return self._debugger.break_at(address, condition)
        if condition is not None:
            raise ValueError("conditions of watchpoints are the client's business")
        return self._debugger.watch(address, size, _ACCESSES[kind])

    def _remove(self, kind: bytes, address: bytes, size: bytes) -> bytes:
        key = int(kind), int(address, 16), int(size, 16)
        if key[0] not in _KINDS:
            return b""
        if key in self._points:
            self._leaving[key] = self._points.pop(key)
        return OK


def _condition(text: bytes) -> Callable[[Debugger], bool] | None:
    """Return what ``;X1,27;X1,27`` says: that one of these expressions is not 0; None: there are none."""
    if not text:
        return None
    try:
        expressions = conditions(text[1:].split(b";"))
    except BadExpression as error:
        raise Refused(errno.EINVAL, str(error)) from error
    return lambda debugger: _holds(expressions, debugger)


def _holds(expressions: Sequence[Expression], debugger: Debugger) -> bool:
    """Return whether a condition holds here. One that has no value does: then the client evaluates it, and says why it has none."""
    machine = debugger.machine
    registers = machine.registers()

    def load(address: int, size: int) -> int:
        data = machine.read_linear(address & WORD_MAX, size)
        if len(data) < size:
            raise BadExpression(f"nothing is mapped at 0x{address:08x}")
        return int.from_bytes(data, "little")

    def register(number: int) -> int:
        if number >= len(REGISTERS):
            raise BadExpression(f"there is no register {number}")
        value: int | None = getattr(registers, REGISTERS[number].name, None)
        if value is None:
            raise BadExpression(f"{REGISTERS[number].name} is not known")
        return value

    try:
        return any(each.value(register, load) for each in expressions)
    except BadExpression:
        return True
