"""What answers packets: a table of the packets that are known, each with the form that it has to have."""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OK = b"OK"
HEX = rb"([0-9a-fA-F]{1,8})"
"""A number of 32 bits in a form."""

_NAME = re.compile(rb"[qQvj][A-Za-z]+\??|b[sc]|[^qQvjb]")


class Refused(Exception):
    """A packet is not obeyed.

    Args:
        number: Of the error, as errno.h has it.
        why: For people.
    """

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


@contextmanager
def obeyed(number: int) -> Iterator[None]:
    """Let what the body raises because the machine cannot do it refuse the packet, with this number of an error."""
    try:
        yield
    except (EmulatorError, ValueError) as error:
        raise Refused(number, str(error)) from error


class Answer(NamedTuple):
    """How the packets of one name are answered.

    Attributes:
        name: Of the packet: its first letter, or of one that begins with q, Q, v or j all letters.
        form: What the whole packet has to be.
        make: Returns the answer, from the groups of the form; None: there is none. May raise `Refused`.
    """

    name: bytes
    form: re.Pattern[bytes]
    make: Callable[..., bytes | None]


def answer(name: str, form: bytes, make: Callable[..., bytes | None]) -> Answer:
    """Return how the packets of a name are answered; *form* is a regular expression for what follows the name."""
    return Answer(name.encode(), re.compile(re.escape(name.encode()) + form, re.DOTALL), make)


class Answers:
    """All packets that are known.

    Args:
        known: No two of one name.
    """

    def __init__(self, known: Iterable[Answer]) -> None:
        self._known = {each.name: each for each in known}

    def answer(self, packet: bytes) -> bytes | None:
        """Return the answer to a packet: an empty one to one that is not known; None: there is none.

        Raises:
            Refused: It is malformed, or cannot be obeyed.
        """
        name = _NAME.match(packet)
        known = self._known.get(name[0]) if name else None
        if known is None:
            return b""
        found = known.form.fullmatch(packet)
        if found is None:
            raise Refused(errno.EINVAL, "the packet is malformed")
        return known.make(*found.groups())
