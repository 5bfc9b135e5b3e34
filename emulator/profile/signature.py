"""The one-line description of a function in a profile: ``alloc_frames(pages) -> frame``.

signature  = NAME "(" [ parameter { "," parameter } ] ")" [ "->" result ]
parameter  = NAME
result     = "ptr" | "frame" | "error" | "value" | "none"
"""

from __future__ import annotations

import re
from typing import NamedTuple

from emulator.profile.model import Result, Role, TracedFunction
from emulator.wording import shortened

_SHAPE = re.compile(r"\s*([^\s(),]+)\s*\(([^()]*)\)\s*(?:->\s*(\S+)\s*)?")
_FAILURES = {Result.POINTER: 0, Result.FRAME: 0xFFFF_FFFF}


class Area(NamedTuple):
    """What all functions of an area have in common.

    Attributes:
        name: Its name.
        failure: The result that means "no block", unsigned; None: 0 for an address, 0xffffffff for a frame, not known
            for an error.
    """

    name: str
    failure: int | None


def parse_signature(text: str, role: Role, area: Area) -> TracedFunction:
    """Read a signature.

    Where it names no result: ``ptr`` for alloc and realloc (``error`` when there is a parameter ``out``), ``none`` for
    all others.

    Raises:
        ValueError: It is no signature, or means nothing in its role.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(
            f'{shortened(text)} is no signature such as "kmalloc(size) -> ptr"; C types are left out'
        )
    parameters = tuple(each.strip() for each in match[2].split(",")) if match[2].strip() else ()
    result = _default_result(role, parameters) if match[3] is None else _result(match[3])
    failure = None
    if role in (Role.ALLOC, Role.REALLOC) and result is not Result.NONE:
        failure = _FAILURES.get(result) if area.failure is None else area.failure
    return TracedFunction(match[1], area.name, role, parameters, result, failure)


def _default_result(role: Role, parameters: tuple[str, ...]) -> Result:
    if role not in (Role.ALLOC, Role.REALLOC):
        return Result.NONE
    return Result.ERROR if "out" in parameters else Result.POINTER


def _result(text: str) -> Result:
    known = [result.value for result in Result]
    if text not in known:
        raise ValueError(f"result {shortened(text)} is not one of {', '.join(known)}")
    return Result(text)
