"""What the functions of a kernel's memory management mean: which take memory, which give it back, and where they say so.

A profile is only data. It says how to read a call from outside: which parameters a function has, what follows from them, and what EAX is
when it returns. Where the arguments of a call are depends on the compiler (`emulator.profile.binding`). Profiles come from TOML files
(`emulator.profile.reader`), from the kernels that are known (`emulator.profile.known`), and out of the headers of traces.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

from emulator.profile.expressions import RESULT, names_in, parse
from emulator.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.loader.functions.entries import Entry

MOST_ARGUMENTS: Final = 6
MOST_PARAMETERS: Final = 8  # with those that are computed
MOST_FUNCTIONS: Final = 127  # a trace numbers them in a signed byte
LARGEST_HEADER: Final = 4096  # bytes
_LONGEST_NAME: Final = 255
_UNKNOWN_ERROR: Final = 0xFFFF_FFFF  # -1, which is an error by any convention

_SYMBOL = r"[A-Za-z_$*?][A-Za-z0-9_$.*?]*"  # compilers write clones as "name.part.0"
_OF_CLASS = (
    r"[A-Za-z_$<~*?][^\x00-\x1f]*"  # C++ and Rust: mm::Arena::alloc(unsigned int), operator new(unsigned int)
)
_FUNCTION_NAME = re.compile(
    rf"(?:[A-Za-z0-9_+./-]+:(?!:))?(?:{_SYMBOL}|(?=.*(?:::|\boperator\b|<)){_OF_CLASS})"
)
_PLACE = re.compile(r"eax|ecx|edx|ebx|esi|edi|ebp|esp\+\d{1,3}")
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
    SEED = "seed"
    DEFER = "defer"
    OTHER = "other"

    @property
    def makes_block(self) -> bool:
        """Whether a call returns a new block."""
        return self in (Role.ALLOC, Role.REALLOC)

    @property
    def names_block(self) -> bool:
        """Whether a call is given a block, by its address or its frame."""
        return self in (Role.FREE, Role.REALLOC, Role.SHARE, Role.DEFER)


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
        name: Its symbol, without what compilers append to it; of C++ and Rust as people write it; with ``FILE:`` in front where several
            files have one. In a profile that is not matched with a kernel (`emulator.profile.known.match`) it may be a pattern.
        area: The area whose blocks it handles.
        role: What it does to them.
        parameters: Names of its parameters in order, at most 6, and then of the values that are computed from them, at most 8 in all. Those
            with a meaning: ``size`` (bytes), ``count`` (multiplies ``size``), ``pages`` (x 4096), ``order`` (4096 << order), ``align``,
            ``ptr`` (the block's address), ``frame`` (the same / 4096), ``out`` (address of a word that receives the block's address),
            ``pool``, ``when`` (the call does something to blocks unless this is 0). Any other is only shown.
        result: What EAX is at its return.
        failure: EAX, unsigned, that says "no block" where a block's address or frame is the result; None: never fails. A
            function whose result is ERROR fails with any EAX but 0; here is what it answers when there is no memory,
            None: not known.
        facts: Expressions (`emulator.profile.expressions`) of the computed values: of the last parameters.
        block: Expression of what a call makes, an address or a frame as *result* says; "": EAX, or what lies where ``out`` points.
        places: Where parameters are, "" where it is not said, such as ``eax`` or ``esp+8``; empty: nothing is said.
        unknown: Parameters whose values cannot be known in this kernel; their words are 0.
        entries: Where it is entered in the kernel that its profile was matched with; empty: in none.

    Raises:
        ValueError: The parts do not fit together.
    """

    name: str
    area: str
    role: Role
    parameters: tuple[str, ...]
    result: Result
    failure: int | None = None
    facts: tuple[str, ...] = ()
    block: str = ""
    places: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check_names(self)
        _check_expressions(self)
        _check_meaning(self)
        if self.failure is not None:
            if not self.role.makes_block or self.result not in (*_BLOCKS, Result.ERROR):
                raise ValueError(f"{self.name}: only a function that takes a block has a failure value")
            if self.result is Result.ERROR and self.failure == 0:
                raise ValueError(f"{self.name}: the failure value of an error is not 0, that is success")
            if not 0 <= self.failure < 1 << 32:
                raise ValueError(f"{self.name}: the failure value {self.failure} is no unsigned 32-bit word")

    @property
    def argument_count(self) -> int:
        """How many of the parameters are passed, and not computed."""
        return len(self.parameters) - len(self.facts)

    @property
    def out(self) -> int | None:
        """Position of the parameter ``out``, if there is one."""
        return self.parameters.index("out") if "out" in self.parameters else None

    @property
    def stores_block(self) -> bool:
        """Whether the block that a call makes is known by more than EAX: a call keeps it as its ``out``."""
        return self.out is not None or bool(self.block)

    def knows(self, parameter: str) -> bool:
        """Return whether it has a parameter whose value is known."""
        return parameter in self.parameters and parameter not in self.unknown

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
class AreaRules:
    """What holds for all blocks of an area.

    Attributes:
        pages: They are runs of whole pages that may be given back in parts.
        header: Bytes of the allocator's own in front of each, 0 to 4096.
        alignment: They begin at multiples of so many bytes, a power of 2.
        interior: A pointer into one keeps it, as one to its start does.

    Raises:
        ValueError: A number is out of its range.
    """

    pages: bool = False
    header: int = 0
    alignment: int = 4
    interior: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.header <= LARGEST_HEADER:
            raise ValueError(f"a header of {self.header} bytes: it is 0 to {LARGEST_HEADER}")
        if self.alignment < 1 or self.alignment & (self.alignment - 1):
            raise ValueError(f"the alignment {self.alignment} is no power of 2")


PLAIN_AREA: Final = AreaRules()
PAGES: Final = AreaRules(pages=True, alignment=4096)


@dataclass(frozen=True, slots=True)
class Profile:
    """The functions of one kernel.

    Attributes:
        name: For people, 1 to 80 printable characters.
        functions: 1 to 127, no two of one name.
        rules: What holds in areas; an area that is not there is a `PLAIN_AREA`.
        address_spaces: What its address spaces keep. A trace does not say it.
        uses_page_zero: It uses linear addresses 0 to 0xfff on purpose. A trace does not say it.
        reason: Why it was chosen for a kernel, for people; "": the user chose it. A trace does not say it.

    Raises:
        ValueError: One of these rules is broken.
    """

    name: str
    functions: tuple[TracedFunction, ...]
    rules: Mapping[str, AreaRules] = field(default_factory=dict)
    address_spaces: SpaceRules = SpaceRules()
    uses_page_zero: bool = False
    reason: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not (1 <= len(self.name) <= 80 and self.name.isprintable()):  # noqa: PLR2004 - the contract above
            raise ValueError("the name of a profile is 1 to 80 printable characters")
        if not 1 <= len(self.functions) <= MOST_FUNCTIONS:
            raise ValueError(f"{len(self.functions)} functions; a profile has 1 to {MOST_FUNCTIONS}")
        for name, times in Counter(function.name for function in self.functions).items():
            if times > 1:
                raise ValueError(f"function {name} is there {times} times")
        for area in sorted(set(self.rules).difference(self.areas)):
            raise ValueError(f"area {shortened(area)} has rules, but no functions")
        for each in self.functions:
            if each.role is Role.DEFER and self.pages(each.area):
                raise ValueError(f"{each.name}: frees of pages cannot be deferred")

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of all areas, in the order of their first functions."""
        return tuple(dict.fromkeys(function.area for function in self.functions))

    @property
    def title(self) -> str:
        """Its name, with the reason why it was chosen if there is one."""
        return f"{self.name} ({self.reason})" if self.reason else self.name

    @property
    def block_areas(self) -> tuple[str, ...]:
        """Names of the areas of which blocks are known: those with a function that makes them from nothing."""
        making = {function.area for function in self.functions if function.role is Role.ALLOC}
        return tuple(area for area in self.areas if area in making)

    def area(self, name: str) -> AreaRules:
        """Return what holds in an area."""
        return self.rules.get(name, PLAIN_AREA)

    def pages(self, area: str) -> bool:
        """Return whether the blocks of an area are runs of whole pages that may be given back in parts."""
        return self.area(area).pages

    def with_functions(self, functions: tuple[TracedFunction, ...]) -> Profile:
        """Return the profile with these functions instead, and the rules of their areas."""
        areas = {function.area for function in functions}
        rules = {area: rules for area, rules in self.rules.items() if area in areas}
        return replace(self, functions=functions, rules=rules)

    def to_document(self) -> dict[str, object]:
        """Return the profile as plain data for JSON."""
        return {
            "name": self.name,
            "areas": {area: asdict(self.rules[area]) for area in sorted(self.rules)},
            "functions": [
                {
                    "name": function.name,
                    "area": function.area,
                    "role": function.role.value,
                    "parameters": list(function.parameters),
                    "result": function.result.value,
                    "failure": function.failure,
                    "facts": list(function.facts),
                    "block": function.block,
                    "places": list(function.places),
                    "unknown": list(function.unknown),
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
    if not is_function_name(function.name):
        raise ValueError(f"{shortened(function.name)} is no name of a function")
    if not _is_name(_AREA_NAME, function.area):
        raise ValueError(f"{shortened(function.area)} is no name of an area")
    if function.argument_count > MOST_ARGUMENTS:
        raise ValueError(
            f"{function.name} has {function.argument_count} parameters, at most {MOST_ARGUMENTS} are recorded"
        )
    if len(function.parameters) > MOST_PARAMETERS:
        raise ValueError(
            f"{function.name} has {len(function.parameters)} parameters and computed values, at most {MOST_PARAMETERS} are recorded"
        )
    for parameter in function.unknown:
        if parameter not in function.parameters:
            raise ValueError(f"{function.name}: {shortened(parameter)} is no parameter of it")
    for parameter, times in Counter(function.parameters).items():
        if not _is_name(_PARAMETER_NAME, parameter) or parameter in _C_TYPES:
            raise ValueError(f"{function.name}: {shortened(parameter)} is no name of a parameter")
        if times > 1:
            raise ValueError(f"{function.name}: parameter {parameter} is there {times} times")


def _check_expressions(function: TracedFunction) -> None:
    """Refuse what cannot be computed, or is said of parameters that are not there."""
    problem = _computed_problem(function)
    for place in function.places:
        if place and not _PLACE.fullmatch(place):
            problem = f"{shortened(place)} is no place such as eax or esp+8"
    for text in (*function.facts, *([function.block] if function.block else [])):
        try:
            expression = parse(text)
        except ValueError as error:
            raise ValueError(f"{function.name}: {error}") from None
        if text is not function.block and RESULT in names_in(expression):
            problem = f"{text} is computed at the entry, where there is no result"
    if problem:
        raise ValueError(f"{function.name}: {problem}")


def _computed_problem(function: TracedFunction) -> str:
    if function.argument_count < 0:
        return "there are more computed values than parameters"
    if "out" in function.parameters[function.argument_count :]:
        return "out is passed, and not computed"
    if function.block and function.out is not None:
        return "both out and the result say which block a call makes"
    if function.block and not function.role.makes_block:
        return f"{function.role.value} has no block as its result"
    if len(function.places) > function.argument_count:
        return "there are more places than parameters"
    return ""


def is_function_name(text: str) -> bool:
    """Return whether a function can have this name, or a pattern be this."""
    return _is_name(_FUNCTION_NAME, text)


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
    elif function.out is None or function.block:
        if function.result not in _BLOCKS:
            return f"{function.role.value} without a parameter out needs the result ptr or frame"
    elif function.result not in (Result.ERROR, Result.NONE):
        return f"{function.role.value} with a parameter out needs the result error or none"
    return ""


_FUNCTION_FIELDS: Final[tuple[str, ...]] = ("name", "area", "role", "parameters", "result", "failure")
_LATER_FIELDS: Final[tuple[str, ...]] = (
    "facts",
    "block",
    "places",
    "unknown",
)  # than the first version of the format


def _profile(document: object) -> Profile:
    if isinstance(document, dict) and "page_areas" in document:  # the first version of the format
        fields = _fields(document, "it", ("name", "page_areas", "functions"))
        rules = dict.fromkeys(_strings(fields["page_areas"], "page_areas"), PAGES)
    else:
        fields = _fields(document, "it", ("name", "areas", "functions"))
        areas = _typed(fields["areas"], dict, "areas")
        rules = {_typed(area, str, "areas"): _rules(each) for area, each in areas.items()}
    functions = tuple(map(_function, _typed(fields["functions"], list, "functions")))
    return Profile(_typed(fields["name"], str, "name"), functions, rules)


def _rules(document: object) -> AreaRules:
    fields = _fields(document, "an area", ("pages", "header", "alignment", "interior"))
    return AreaRules(
        _flag(fields["pages"], "pages"),
        _typed(fields["header"], int, "header"),
        _typed(fields["alignment"], int, "alignment"),
        _flag(fields["interior"], "interior"),
    )


def _function(document: object) -> TracedFunction:
    is_later = isinstance(document, dict) and not document.keys().isdisjoint(_LATER_FIELDS)
    fields = _fields(document, "a function", _FUNCTION_FIELDS + (_LATER_FIELDS if is_later else ()))
    failure = fields["failure"]
    return TracedFunction(
        _typed(fields["name"], str, "name"),
        _typed(fields["area"], str, "area"),
        Role(_one_of(fields["role"], Role, "role")),
        tuple(_strings(fields["parameters"], "parameters")),
        Result(_one_of(fields["result"], Result, "result")),
        None if failure is None else _typed(failure, int, "failure"),
        tuple(_strings(fields.get("facts", []), "facts")),
        _typed(fields.get("block", ""), str, "block"),
        tuple(_strings(fields.get("places", []), "places")),
        tuple(_strings(fields.get("unknown", []), "unknown")),
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


def _flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"field {field} is {shortened(value)}, neither true nor false")  # noqa: TRY004 - as above
    return value


def _strings(value: object, field: str) -> list[str]:
    return [_typed(each, str, field) for each in _typed(value, list, field)]


def _one_of(value: object, choices: type[Enum], field: str) -> object:
    known = [choice.value for choice in choices]
    if value not in known:
        raise ValueError(f"field {field} is {shortened(value)}, not one of {', '.join(known)}")
    return value
