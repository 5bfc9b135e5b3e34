"""What the functions of a kernel's memory management mean: which take memory, which give it back, and where they say so.

A profile is only data. It says how to read a call from outside: arguments are the 32-bit words on the stack above the
return address, the result is EAX. Profiles come from TOML files (`emulator.profile.reader`), from the kernels that are known
(`emulator.profile.known`), and out of the headers of traces.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from emulator.wording import shortened

MOST_PARAMETERS: Final = 6
MOST_FUNCTIONS: Final = 127  # a trace numbers them in a signed byte
_LONGEST_NAME: Final = 255
_UNKNOWN_ERROR: Final = 0xFFFF_FFFF  # -1, which is an error by any convention

_FUNCTION_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]*")  # compilers write clones as "name.part.0"
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AREA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_C_TYPES = frozenset(
    [
        "bool",
        "char",
        "const",
        "double",
        "enum",
        "float",
        "int",
        "long",
        "register",
        "short",
        "signed",
        "struct",
        "union",
        "unsigned",
        "void",
        "volatile",
    ]
)


class Role(Enum):
    """What a function does to the blocks of its area."""

    ALLOC = "alloc"
    FREE = "free"
    REALLOC = "realloc"
    SHARE = "share"
    RESET = "reset"
    OTHER = "other"

    @property
    def makes_block(self) -> bool:
        """Whether a call returns a new block."""
        return self in (Role.ALLOC, Role.REALLOC)

    @property
    def names_block(self) -> bool:
        """Whether a call is given a block, by its address or its frame."""
        return self in (Role.FREE, Role.REALLOC, Role.SHARE)


class Result(Enum):
    """What EAX is when a function returns.

    POINTER is an address, FRAME an address / 4096, ERROR is 0 for success, VALUE is only shown, NONE is no result.
    """

    POINTER = "ptr"
    FRAME = "frame"
    ERROR = "error"
    VALUE = "value"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TracedFunction:
    """One function.

    Attributes:
        name: Its symbol.
        area: The area whose blocks it handles.
        role: What it does to them.
        parameters: Names of its parameters in order, at most 6. Those with a meaning: ``size`` (bytes), ``count``
            (multiplies ``size``), ``pages`` (x 4096), ``order`` (4096 << order), ``align``, ``ptr`` (the block's
            address), ``frame`` (the same / 4096), ``out`` (address of a word that receives the block's address),
            ``pool``. Any other is only shown.
        result: What EAX is at its return.
        failure: EAX, unsigned, that says "no block" where a block's address or frame is the result; None: never fails. A
            function whose result is ERROR fails with any EAX but 0; here is what it answers when there is no memory,
            None: not known.

    Raises:
        ValueError: The parts do not fit together.
    """

    name: str
    area: str
    role: Role
    parameters: tuple[str, ...]
    result: Result
    failure: int | None = None

    def __post_init__(self) -> None:
        _check_names(self)
        _check_meaning(self)
        if self.failure is not None:
            if not self.role.makes_block or self.result not in (*_BLOCKS, Result.ERROR):
                raise ValueError(f"{self.name}: only a function that takes a block has a failure value")
            if self.result is Result.ERROR and self.failure == 0:
                raise ValueError(f"{self.name}: the failure value of an error is not 0, that is success")
            if not 0 <= self.failure < 1 << 32:
                raise ValueError(f"{self.name}: the failure value {self.failure} is no unsigned 32-bit word")

    @property
    def out(self) -> int | None:
        """Position of the parameter ``out``, if there is one."""
        return self.parameters.index("out") if "out" in self.parameters else None

    @property
    def failure_result(self) -> int | None:
        """EAX, unsigned, at a return that reports a lack of memory; None: it takes no memory, or cannot report that."""
        if not self.role.makes_block:
            return None
        if self.result is Result.ERROR and self.failure is None:
            return _UNKNOWN_ERROR
        return self.failure


@dataclass(frozen=True, slots=True)
class SpaceRules:
    """What a kernel's address spaces keep when it is at rest, and whatever breaks it is a mistake.

    Attributes:
        freed_but_mapped: A page that has been freed is mapped nowhere.
        writable_twice: A page that programs may write to in two address spaces has more than one owner.
        direct_map: Linear addresses [start, end) where all memory is mapped, in use or not, besides the run of pages around the kernel's
            image.
    """

    freed_but_mapped: bool = False
    writable_twice: bool = False
    direct_map: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """The functions of one kernel.

    Attributes:
        name: For people, 1 to 80 printable characters.
        functions: 1 to 127, no two of one name.
        page_areas: Areas whose blocks are runs of whole pages that may be given back in parts.
        address_spaces: What its address spaces keep. A trace does not say it.

    Raises:
        ValueError: One of these rules is broken.
    """

    name: str
    functions: tuple[TracedFunction, ...]
    page_areas: frozenset[str] = frozenset()
    address_spaces: SpaceRules = SpaceRules()

    def __post_init__(self) -> None:
        if not (1 <= len(self.name) <= 80 and self.name.isprintable()):  # noqa: PLR2004 - the contract above
            raise ValueError("the name of a profile is 1 to 80 printable characters")
        if not 1 <= len(self.functions) <= MOST_FUNCTIONS:
            raise ValueError(f"{len(self.functions)} functions; a profile has 1 to {MOST_FUNCTIONS}")
        for name, times in Counter(function.name for function in self.functions).items():
            if times > 1:
                raise ValueError(f"function {name} is there {times} times")
        for area in sorted(self.page_areas.difference(self.areas)):
            raise ValueError(f"area {shortened(area)} of pages has no functions")

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of all areas, in the order of their first functions."""
        return tuple(dict.fromkeys(function.area for function in self.functions))

    @property
    def block_areas(self) -> tuple[str, ...]:
        """Names of the areas of which blocks are known: those with a function that makes them from nothing."""
        making = {function.area for function in self.functions if function.role is Role.ALLOC}
        return tuple(area for area in self.areas if area in making)

    def pages(self, area: str) -> bool:
        """Return whether the blocks of an area are runs of whole pages that may be given back in parts."""
        return area in self.page_areas

    def to_document(self) -> dict[str, object]:
        """Return the profile as plain data for JSON."""
        return {
            "name": self.name,
            "page_areas": sorted(self.page_areas),
            "functions": [
                {
                    "name": function.name,
                    "area": function.area,
                    "role": function.role.value,
                    "parameters": list(function.parameters),
                    "result": function.result.value,
                    "failure": function.failure,
                }
                for function in self.functions
            ],
        }

    @classmethod
    def from_document(cls, document: object) -> Profile:
        """Build a profile from what `to_document` returned. The data may come from anywhere.

        Raises:
            ValueError: It is not a profile; one line that says why.
        """
        try:
            return _profile(document)
        except ValueError as error:
            raise ValueError(f"not a profile: {error}") from None


_BLOCKS = (Result.POINTER, Result.FRAME)
_LENGTHS = ("size", "pages", "order")


def _check_names(function: TracedFunction) -> None:
    if not _is_name(_FUNCTION_NAME, function.name):
        raise ValueError(f"{shortened(function.name)} is no name of a function")
    if not _is_name(_AREA_NAME, function.area):
        raise ValueError(f"{shortened(function.area)} is no name of an area")
    if len(function.parameters) > MOST_PARAMETERS:
        raise ValueError(
            f"{function.name} has {len(function.parameters)} parameters, at most {MOST_PARAMETERS} are recorded"
        )
    for parameter, times in Counter(function.parameters).items():
        if not _is_name(_PARAMETER_NAME, parameter) or parameter in _C_TYPES:
            raise ValueError(f"{function.name}: {shortened(parameter)} is no name of a parameter")
        if times > 1:
            raise ValueError(f"{function.name}: parameter {parameter} is there {times} times")


def _is_name(pattern: re.Pattern[str], text: str) -> bool:
    return len(text) <= _LONGEST_NAME and pattern.fullmatch(text) is not None


def _check_meaning(function: TracedFunction) -> None:
    """Refuse a function whose calls could not be understood in its role."""
    if function.role is Role.OTHER:
        return
    problem = _length_problem(function) or _block_problem(function) or _result_problem(function)
    if problem:
        raise ValueError(f"{function.name}: {problem}")


def _length_problem(function: TracedFunction) -> str:
    lengths = [name for name in _LENGTHS if name in function.parameters]
    if len(lengths) > 1:
        return f"parameters {' and '.join(lengths)} both say how long the block is"
    if "count" in function.parameters and lengths != ["size"]:
        return "parameter count multiplies size, but there is no size"
    return ""


def _block_problem(function: TracedFunction) -> str:
    named = [name for name in ("ptr", "frame") if name in function.parameters]
    if len(named) > 1:
        return "parameters ptr and frame both say which block"
    if function.role.names_block and not named:
        return f"{function.role.value} needs a parameter ptr or frame that says which block"
    return ""


def _result_problem(function: TracedFunction) -> str:
    if not function.role.makes_block:
        if function.result in _BLOCKS:
            return f"{function.role.value} has no block as its result, only error, value or none"
    elif function.out is None:
        if function.result not in _BLOCKS:
            return f"{function.role.value} without a parameter out needs the result ptr or frame"
    elif function.result not in (Result.ERROR, Result.NONE):
        return f"{function.role.value} with a parameter out needs the result error or none"
    return ""


def _profile(document: object) -> Profile:
    fields = _fields(document, "it", ("name", "page_areas", "functions"))
    return Profile(
        _typed(fields["name"], str, "name"),
        tuple(map(_function, _typed(fields["functions"], list, "functions"))),
        frozenset(_strings(fields["page_areas"], "page_areas")),
    )


def _function(document: object) -> TracedFunction:
    fields = _fields(document, "a function", ("name", "area", "role", "parameters", "result", "failure"))
    failure = fields["failure"]
    return TracedFunction(
        _typed(fields["name"], str, "name"),
        _typed(fields["area"], str, "area"),
        Role(_one_of(fields["role"], Role, "role")),
        tuple(_strings(fields["parameters"], "parameters")),
        Result(_one_of(fields["result"], Result, "result")),
        None if failure is None else _typed(failure, int, "failure"),
    )


_T = TypeVar("_T")


def _fields(document: object, what: str, names: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(document, dict) or set(document) != set(names):
        raise ValueError(f"{what} is no object with the fields {', '.join(names)}")
    return document


def _typed(value: object, kind: type[_T], field: str) -> _T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"field {field} is {shortened(value)}, not of type {kind.__name__}")  # noqa: TRY004 - the data is wrong, not the call
    return value


def _strings(value: object, field: str) -> list[str]:
    return [_typed(each, str, field) for each in _typed(value, list, field)]


def _one_of(value: object, choices: type[Enum], field: str) -> object:
    known = [choice.value for choice in choices]
    if value not in known:
        raise ValueError(f"field {field} is {shortened(value)}, not one of {', '.join(known)}")
    return value
