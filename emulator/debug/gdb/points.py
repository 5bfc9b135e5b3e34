"""Breakpoints of the client, with the conditions that it lets the target evaluate."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from emulator.debug.gdb.answers import HEX, OK, Refused, answer, obeyed
from emulator.debug.gdb.bytecode import BadExpression, conditions
from emulator.debug.gdb.registers import REGISTERS
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.debug.gdb.answers import Answer
    from emulator.debug.gdb.bytecode import Expression
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.points import Breakpoint, Point

_PLACE = rb"([0-9]),"


class Kind(IntEnum):
    """What kind of point, by the client's numbers."""

    SOFTWARE = 0
    HARDWARE = 1


_BREAKPOINTS: Final = tuple(Kind)


class Points:
    """The points that a client has set.

    Args:
        debugger: Where they are set.
    """

    def __init__(self, debugger: Debugger) -> None:
        self._debugger = debugger
        self._points: dict[tuple[int, int, int], Breakpoint] = {}
        self.answers: tuple[Answer, ...] = (
            answer("Z", _PLACE + HEX + b"," + HEX + rb"((?:;.*)?)", self._set),
            answer("z", _PLACE + HEX + b"," + HEX + rb"(?:;.*)?", self._remove),
        )

    def kind_of(self, point: Point | None) -> Kind | None:
        """Return what kind a point is for the client; None: it is not one of the client's."""
        return next((Kind(key[0]) for key, each in self._points.items() if each is point), None)

    def is_breakpoint(self, address: int) -> bool:
        """Return whether there is a breakpoint at an address."""
        return any(key[1] == address for key in self._points)

    def clear(self) -> None:
        """Remove all."""
        for point in self._points.values():
            point.remove()
        self._points.clear()

    def _set(self, kind: bytes, address: bytes, size: bytes, text: bytes) -> bytes:
        key = int(kind), int(address, 16), int(size, 16)
        if key[0] not in _BREAKPOINTS:
            return b""
        condition = _condition(text)
        with obeyed(errno.EINVAL):
            point = self._debugger.break_at(key[1], condition)
        self._forget(key)
        self._points[key] = point
        return OK

    def _remove(self, kind: bytes, address: bytes, size: bytes) -> bytes:
        key = int(kind), int(address, 16), int(size, 16)
        if key[0] not in _BREAKPOINTS:
            return b""
        self._forget(key)
        return OK

    def _forget(self, key: tuple[int, int, int]) -> None:
        point = self._points.pop(key, None)
        if point is not None:
            point.remove()


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
