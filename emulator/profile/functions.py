"""A function of a kernel's memory management: what it does to blocks, and where its calls say which.

Where the arguments of a call are depends on the compiler (`emulator.profile.binding`).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from emulator.profile.expressions import RESULT, names_in, parse
from emulator.wording import shortened

if TYPE_CHECKING:
    from emulator.loader.functions.entries import Entry

MOST_ARGUMENTS: Final = 6
MOST_PARAMETERS: Final = 8  # with those that are computed
COPIES_SUFFIX: Final = ".inlined"  # of the names of `TracedFunction.copies`
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
        copies: It is about copies inside of other functions: that they are executed is seen, and not what they do to blocks. The role is OTHER,
            and this is the one of the function that they are copies of; None: it is a function.
        other_failures: Further results that say "no block", as ranges [first, last] of unsigned words; only beside a *failure* where a block's
            address or frame is the result.
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
    copies: Role | None = None
    other_failures: tuple[tuple[int, int], ...] = ()
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
        if self.other_failures and (self.failure is None or self.result not in _BLOCKS):
            raise ValueError(
                f"{self.name}: only a function with a block as its result has further failure values"
            )
        for first, last in self.other_failures:
            if not 0 <= first <= last < 1 << 32:
                raise ValueError(
                    f"{self.name}: the failure values {first}..{last} are no range of unsigned 32-bit words"
                )

    @property
    def argument_count(self) -> int:
        """How many of the parameters are passed, and not computed."""
        return len(self.parameters) - len(self.facts)

    @property
    def original(self) -> str:
        """Name of the function itself, also of `copies`."""
        return self.name if self.copies is None else self.name.removesuffix(COPIES_SUFFIX)

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
    def failures(self) -> tuple[tuple[int, int], ...]:
        """The results that say "no block", as ranges [first, last]; of functions whose result is an error, those are all but 0."""
        if self.failure is None or self.result is Result.ERROR:
            return ()
        return (self.failure, self.failure), *self.other_failures

    def answers_no_block(self, result: int) -> bool:
        """Return whether a result, unsigned, is one of `failures`."""
        return any(first <= result <= last for first, last in self.failures)

    @property
    def failure_result(self) -> int | None:
        """EAX, unsigned, at a return that reports a lack of memory; None: it takes no memory, or cannot report that."""
        if not self.role.makes_block:
            return None
        if self.result is Result.ERROR and self.failure is None:
            return _UNKNOWN_ERROR
        return self.failure


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
    if function.copies is not None and function.role is not Role.OTHER:
        raise ValueError(
            f"{function.name}: what copies do is not known, but the role is {function.role.value}"
        )
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
