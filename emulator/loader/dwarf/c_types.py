"""Types of C, as far as they are needed to say what a byte of a variable is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

_DEPTH_MAX = 64  # of structs in structs; damaged debug information could nest for ever


class Encoding(Enum):
    """How the bytes of a scalar are to be read."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    POINTER = "pointer"
    BYTES = "bytes"  # a floating point number, or what is not known


class Scalar(NamedTuple):
    """What has no parts.

    Attributes:
        size: Bytes; 0 where the file does not say.
    """

    size: int
    encoding: Encoding


class Member(NamedTuple):
    """A part of a struct or union; *offset* is in bytes. A nameless one is a struct whose members count as the outer's."""

    name: str
    offset: int
    type: CType


class Struct(NamedTuple):
    """A struct, or a union: then all offsets are 0."""

    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """Elements side by side; of several dimensions each is an array of its own."""

    element: CType
    count: int

    @property
    def size(self) -> int:
        """Bytes of all elements."""
        return self.element.size * self.count


CType = Scalar | Struct | Array


class Part(NamedTuple):
    """The part of a variable that a byte belongs to.

    Attributes:
        steps: Members and indices that lead from the variable to the part: ``(2, "name", 5)``; none for the variable itself.
        start: Its first byte, from the start of the variable.
        type: A scalar; each byte of padding between members counts as one.
        is_padding: It is such a byte; *steps* lead to the struct around it.
    """

    steps: tuple[str | int, ...]
    start: int
    type: Scalar
    is_padding: bool = False


_PADDING = Scalar(1, Encoding.BYTES)


def part_at(whole: CType, offset: int) -> Part:
    """Return the scalar that the byte *offset* bytes from the start of a variable belongs to."""
    steps: tuple[str | int, ...] = ()
    start, current = 0, whole
    for _ in range(_DEPTH_MAX):
        inside = offset - start
        if isinstance(current, Scalar):
            return Part(steps, start, current)
        if isinstance(current, Array):
            if not current.element.size or inside >= current.size:
                break
            index = inside // current.element.size
            steps += (index,)
            start += index * current.element.size
            current = current.element
            continue
        member = _member_at(current, inside)
        if member is None:
            break
        steps += (member.name,) if member.name else ()
        start += member.offset
        current = member.type
    return Part(steps, offset, _PADDING, is_padding=True)


def _member_at(struct: Struct, offset: int) -> Member | None:
    return next(
        (each for each in struct.members if each.offset <= offset < each.offset + each.type.size), None
    )
