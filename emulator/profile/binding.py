"""Find the functions of a profile in a kernel: where each is entered, and where its parameters are there.

A compiler may have made several copies of a function, and two files may each have one of the same name. Copies are one function, as long
as the same is known of their parameters; functions of several files are told apart by the file.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import UnsupportedFunction
from emulator.loader.builtin import is_built_in
from emulator.loader.functions.callers import private_functions
from emulator.loader.functions.entries import Entry
from emulator.loader.functions.inlined import inlined_copies
from emulator.loader.functions.locations import InRegister, NotKnown, OnStack
from emulator.loader.functions.names import file_and_name, find_functions
from emulator.loader.functions.parameters import parameter_locations
from emulator.loader.functions.prototypes import (
    field_of,
    field_of_result,
    field_of_variable,
    structure_size,
)
from emulator.profile.expressions import RESULT, Variable, compute, names_in, parse
from emulator.profile.functions import COPIES_SUFFIX, Result, Role
from emulator.profile.model import MOST_FUNCTIONS
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.loader.functions.inlined import InlinedCopy
    from emulator.loader.functions.locations import Location
    from emulator.loader.functions.names import NamedFunction
    from emulator.loader.image import KernelImage
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile

_NEEDED: Final = ("ptr", "frame", "out", "when")
_WITHOUT_RESULT: Final = (Role.FREE, Role.DEFER, Role.RESET, Role.OTHER)
_LENGTHS: Final = ("size", "count", "pages", "order")
_NO_PLACE: Final = NotKnown("its debug information does not have it where the copy begins")


def bind(profile: Profile, image: KernelImage) -> tuple[TracedFunction, ...]:
    """Return the functions of a profile that a kernel has, each with its entries, and `TracedFunction.copies`; no two of one name.

    Raises:
        UnsupportedFunction: What must be known of a function cannot be, or a computed value means nothing in this kernel.
        BadImage: The symbol table is damaged.
    """
    found = [(function, find_functions(image, function.name)) for function in profile.functions]
    exact = {each.address for function, copies in found for each in copies if each.symbol == function.name}
    bound: dict[str, TracedFunction] = {}
    taken: set[int] = set()
    for function, copies in found:
        mine = [each for each in copies if each.symbol == function.name or each.address not in exact]
        new = [each for each in mine if each.address not in taken]
        taken.update(each.address for each in new)
        for each in _functions(image, function, new):
            _check(each, is_of_pages=profile.pages(each.area))
            bound.setdefault(each.name, each)
    return (
        tuple(bound.values())
        if is_built_in(image.path)
        else tuple(_with_copies(profile, tuple(bound.values()), image))
    )


def _with_copies(
    profile: Profile, called: Sequence[TracedFunction], image: KernelImage
) -> Iterator[TracedFunction]:
    """Yield the functions that are called, with the copies of them that the compiler has put into their callers.

    A copy has no result, so only those of functions without one are recorded as calls, where all their parameters are known. Of others it
    is recorded that they are executed, but for those in functions of their area that do the same: they are parts of calls that are
    recorded.
    """
    names = {each.name for each in called}
    named = {
        each.name: each for each in (*called, *(each for each in profile.functions if each.name not in names))
    }
    by_plain: dict[str, TracedFunction] = {}
    for name, each in named.items():
        by_plain.setdefault(file_and_name(name)[1], each)
    around = {entry.address: each for each in called for entry in each.entries}
    unseen: dict[str, list[InlinedCopy]] = defaultdict(list)
    for copy in inlined_copies(image, tuple(by_plain)):
        function = by_plain[copy.name]
        if copy.name in named and _can_be_recorded(function, copy):
            values = copy.parameters[: function.argument_count]
            entry = Entry(copy.address, copy.address, values, is_inlined=True)
            named[copy.name] = by_plain[copy.name] = replace(function, entries=(*function.entries, entry))
        elif not _is_part(function, around.get(copy.around)):
            unseen[function.name].append(copy)
    found = [each for each in named.values() if each.entries]
    yield from found
    room = MOST_FUNCTIONS - len(found)
    yield from [_unseen(named[name], copies) for name, copies in sorted(unseen.items())][:room]


def _can_be_recorded(function: TracedFunction, copy: InlinedCopy) -> bool:
    """Return whether all that a call says is known where a copy begins."""
    values = copy.parameters[: function.argument_count]
    is_known = len(values) == function.argument_count and not any(
        isinstance(each, NotKnown) for each in values
    )
    return (
        is_known
        and function.role in _WITHOUT_RESULT
        and function.result is Result.NONE
        and not function.facts
    )


def _is_part(function: TracedFunction, around: TracedFunction | None) -> bool:
    """Return whether what a copy does is a part of what the function does that it is in."""
    if around is None or around.area != function.area:
        return False
    return around.role is Role.REALLOC or around.role.makes_block == function.role.makes_block


def _unseen(function: TracedFunction, copies: Sequence[InlinedCopy]) -> TracedFunction:
    """Return what is recorded of copies that are executed."""
    count = function.argument_count
    entries = []
    for each in copies:
        places = each.parameters[:count]
        values = (*places, *(_NO_PLACE,) * (count - len(places)))
        entries.append(Entry(each.address, each.address, values, is_inlined=True))
    unknown = (
        name
        for entry in entries
        for name, value in zip(function.parameters, entry.values, strict=False)
        if isinstance(value, NotKnown)
    )
    return replace(
        function,
        name=f"{function.name}{COPIES_SUFFIX}",
        role=Role.OTHER,
        parameters=function.parameters[:count],
        result=Result.NONE,
        failure=None,
        other_failures=(),
        facts=(),
        block="",
        places=(),
        unknown=tuple(dict.fromkeys(unknown)),
        copies=function.role,
        entries=tuple(entries),
    )


class UnknownParameter(NamedTuple):
    """A parameter whose value cannot be known.

    Attributes:
        function: Of which function.
        parameter: Its name.
        reason: Why, such as ``the compiler removed it``.
    """

    function: str
    parameter: str
    reason: str


def unknown_parameters(profile: Profile) -> Iterator[UnknownParameter]:
    """Yield the parameters of a matched profile that cannot be known, but for those of `TracedFunction.copies`."""
    for function in profile.functions:
        for parameter in function.unknown if function.copies is None else ():
            yield UnknownParameter(function.name, parameter, _not_known(function, parameter).reason)


def allocator_code(profile: Profile, image: KernelImage) -> tuple[range, ...]:
    """Return where the code of a kernel's allocators lies, which may access all of their memory, ascending.

    It is that of the profile's functions, and of those that it names as `Profile.allocator`; with what the compiler has moved out of them
    because it seldom runs, and with functions that nobody else calls.

    Args:
        profile: With the entries that its functions have in the kernel.
        image: The kernel.

    Raises:
        BadImage: The symbol table is damaged.
    """
    entries = [entry.address for each in profile.functions for entry in each.entries if not entry.is_inlined]
    named = [found.address for name in profile.allocator for found in find_functions(image, name)]
    symbols = image.symbols
    starts = dict.fromkeys([*entries, *named])
    for start in list(starts):
        found = image.function_at(start)
        cold = symbols.get(f"{found[0].name}.cold") if found is not None else None
        if cold is not None:
            starts[cold.address] = None
    extents = {image.function_extent(start) or range(start, start + 1) for start in starts}
    return tuple(sorted(extents | private_functions(image, extents), key=lambda each: each.start))


def _not_known(function: TracedFunction, parameter: str) -> NotKnown:
    """Return what is known of a parameter in the first entry in which it is not known itself."""
    values = (entry.values[function.parameters.index(parameter)] for entry in function.entries)
    return next(value for value in values if isinstance(value, NotKnown))


def _functions(
    image: KernelImage, function: TracedFunction, copies: Sequence[NamedFunction]
) -> Iterator[TracedFunction]:
    """Yield the functions that the copies are: those of one file and one name, of which the same is known, are one."""
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[NamedFunction, Entry]]] = defaultdict(list)
    for each in copies:
        entry = _entry(image, function, each, copies)
        groups[_name(function, each, copies), _unknown(function, entry)].append((each, entry))
    names: set[str] = set()
    for (name, unknown), members in sorted(groups.items(), key=lambda item: len(item[0][1])):
        shown = name if name not in names else members[0][0].symbol
        names.add(shown)
        entries = tuple(entry for _, entry in members)
        yield replace(function, name=shown, unknown=unknown, entries=entries)


def _name(function: TracedFunction, copy: NamedFunction, copies: Sequence[NamedFunction]) -> str:
    """Return what a copy is called: by the symbol, if the profile says that; with its file where another file has such a function."""
    if copy.symbol == function.name or function.name.endswith(f":{copy.symbol}"):
        plain = copy.symbol if "." in copy.symbol else copy.name
    else:
        plain = copy.name
    files = {each.file for each in copies if each.name == copy.name}
    is_told_apart = len(files) > 1 or function.name.startswith(f"{copy.file}:")
    return f"{copy.file}:{plain}" if copy.file and is_told_apart else plain


def _unknown(function: TracedFunction, entry: Entry) -> tuple[str, ...]:
    return tuple(
        parameter
        for parameter, value in zip(function.parameters, entry.values, strict=True)
        if isinstance(value, NotKnown)
    )


def _entry(
    image: KernelImage, function: TracedFunction, copy: NamedFunction, copies: Sequence[NamedFunction]
) -> Entry:
    values: list[Location] = list(_arguments(image, function, copy))
    scope = _Scope(image, function, copy.address)
    try:
        for text in function.facts:
            values.append(_computed(text, function, values, scope))
        block = compute(parse(function.block), scope) if function.block else None
    except ValueError as error:
        raise UnsupportedFunction(function.name, str(error)) from None
    if function.out is not None:
        block = compute(parse("*out"), scope)
    whole = [
        each for each in copies if not each.is_piece and (each.name, each.file) == (copy.name, copy.file)
    ]
    head = range(whole[0].address, whole[0].end) if copy.is_piece and whole else None
    return Entry(copy.address, copy.end, tuple(values), block, head)


def _arguments(image: KernelImage, function: TracedFunction, copy: NamedFunction) -> Iterator[Location]:
    """Yield where the arguments are: where the profile says it, or else by the kernel's file."""
    if is_built_in(
        image.path
    ):  # compiled here, by the calling convention of C; to find that out takes a second
        found: Sequence[Location] = [
            OnStack(WORD_SIZE * (1 + index)) for index in range(function.argument_count)
        ]
    else:
        found = parameter_locations(image, copy.address, function.argument_count)
    places = function.places or ("",) * function.argument_count
    for location, place in zip(found, places, strict=True):
        if not place:
            yield location
        elif place.startswith("esp+"):
            yield OnStack(int(place.removeprefix("esp+")))
        else:
            yield InRegister(place)


def _computed(text: str, function: TracedFunction, values: Sequence[Location], scope: _Scope) -> Location:
    """Return how a computed value is found; not known where it is made of one that is not."""
    expression = parse(text)
    known = dict(zip(function.parameters, values, strict=False))
    for name in names_in(expression):
        value = known.get(name)
        if isinstance(value, NotKnown):
            return value
    return compute(expression, scope)


class _Scope:
    """What names mean in the expressions of a function; see `emulator.profile.expressions.Scope`."""

    def __init__(self, image: KernelImage, function: TracedFunction, address: int) -> None:
        self._image = image
        self._parameters = function.parameters
        self._arguments = function.argument_count
        self._address = address

    def value(self, name: str) -> int | None:
        return self._parameters.index(name) if name in self._parameters else None

    def variable(self, name: str) -> Variable | None:
        symbol = self._image.symbol(name)
        return (
            None
            if symbol is None
            else Variable(symbol.address, symbol.kind == "object" and symbol.size == WORD_SIZE)
        )

    def field(self, base: str, path: str) -> tuple[int, int] | None:
        if base in self._parameters[: self._arguments]:
            found = field_of(self._image, self._address, self._parameters.index(base), path)
        elif base == RESULT:
            found = field_of_result(self._image, self._address, path)
        else:
            found = field_of_variable(self._image, base, path)
        return None if found is None else (found.offset, found.size)

    def size(self, structure: str) -> int | None:
        return structure_size(self._image, self._address, structure)


def _check(function: TracedFunction, *, is_of_pages: bool) -> None:
    """Refuse a function whose calls could not be understood.

    Raises:
        UnsupportedFunction: A parameter that says which block, or how many pages, is not known.
    """
    needed = {*_NEEDED, *(_LENGTHS if is_of_pages else ())}
    for parameter in function.unknown:
        if parameter in needed:
            reason, perhaps = _not_known(function, parameter)
            raise UnsupportedFunction(
                function.name,
                f"its parameter {parameter} is not known: {reason}; say where it is, such as {parameter} @ {perhaps}",
            )
