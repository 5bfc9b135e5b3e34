"""Where the parameters of a function are at its first instruction.

Theory. The debug information says where a parameter is while the function runs: from an instruction on, or for all of it. At the first instruction
only some of that holds: unoptimized code copies arguments from registers to its frame first. So each location is evaluated on what the
function's code has done up to there (`entry_state`), which leads back to what the caller left. Without debug information the code is asked
what it reads (`entry_code`). What neither says is not known.

Source: System V ABI for i386, 2.2.2: the caller pushes all arguments, the last one first. Only for functions of which all callers are
known do compilers choose other places by themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from emulator.loader.functions.locations import InRegister, IsConstant, NotKnown, OnStack
from emulator.wording import counted
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.loader.dwarf.locations import Located
    from emulator.loader.dwarf.subprograms import Parameter, Subprogram
    from emulator.loader.functions.entry_code import EntryCode
    from emulator.loader.functions.entry_state import State, Value
    from emulator.loader.functions.locations import Location
    from emulator.loader.image import KernelImage

_COPY: Final = re.compile(r"\.(?:constprop|isra|part)\.")
_REMOVED: Final = NotKnown("the compiler removed it")
_UNUSED: Final = NotKnown("its debug information has no place for it")
_UNREAD: Final = NotKnown("no debug information, and the function does not read it")
_SHIFTED: Final = NotKnown("no debug information, and the function reads more words than it has parameters")
_UNCLEAR: Final = NotKnown("its debug information has no place for it at the function's first instruction")
_CONTRADICTION: Final = NotKnown("its debug information names a place that the function's code does not read")
_CLASH: Final = NotKnown("its debug information has the same place for another parameter")


def parameter_locations(image: KernelImage, address: int, count: int) -> tuple[Location, ...]:
    """Return where the first parameters of a function's declaration are at its first instruction.

    Of a parameter of more than one word it is where its low word is.

    Args:
        image: The kernel.
        address: Of the function's first instruction, as linked.
        count: How many parameters.

    Raises:
        BadImage: The symbol table is damaged.
    """
    found = _found(image)
    if (address, count) not in found:
        found[address, count] = _find(image, address, count) if count else ()
    return found[address, count]


def inputs(image: KernelImage, address: int) -> list[InRegister | OnStack]:
    """Return where a function's code reads what it was given, registers first.

    Args:
        image: The kernel.
        address: Of the function's first instruction, as linked.

    Raises:
        BadImage: The symbol table is damaged.
    """
    from emulator.loader.functions.entry_code import read_entry_code

    reads = read_entry_code(image, address).reads
    found = [each for each in reads if isinstance(each, InRegister | OnStack)]
    return sorted(found, key=lambda each: (isinstance(each, OnStack), each))


@lru_cache(maxsize=1)
def _found(image: KernelImage) -> dict[tuple[int, int], tuple[Location, ...]]:
    """Return what was found in an image so far. A trace that is replayed asks for the same again."""
    del image
    return {}


def _find(image: KernelImage, address: int, count: int) -> tuple[Location, ...]:
    from emulator.loader.functions.entry_code import read_entry_code

    code = read_entry_code(image, address)
    described = image.subprograms.at(address)
    if described is None:
        return _by_code(image, address, code, count)
    return _Described(image, address, code, described).locations(count)


class _Described:
    """A function of which there is debug information."""

    def __init__(self, image: KernelImage, address: int, code: EntryCode, described: Subprogram) -> None:
        from emulator.loader.functions.entry_code import straight_line
        from emulator.loader.functions.entry_state import State

        self._image, self._address = image, address
        self._code = code
        self._described = described
        self._entry = State()
        self._states = dict(straight_line(image, address))
        self._frame_base = self._base_of_frame()

    def locations(self, count: int) -> tuple[Location, ...]:
        found = [self._location(parameter) for parameter in self._described.parameters]
        offsets = _offsets(self._described)
        for index, (parameter, offset) in enumerate(zip(self._described.parameters, offsets, strict=False)):
            found[index] = self._checked(found[index], OnStack(offset), parameter)
        times: Counter[Location] = Counter(each for each in found if isinstance(each, OnStack | InRegister))
        found = [_CLASH if times[each] > 1 else each for each in found]
        found += [self._beyond(found, offsets, index) for index in range(len(found), count)]
        return tuple(found[:count])

    def _checked(self, location: Location, by_convention: OnStack, parameter: Parameter) -> Location:
        """Return where a parameter is, by what the debug information says of it and what the code does."""
        read = self._code.reads
        if (
            location == _UNCLEAR
            and by_convention in read
            and self._is_computed_from(by_convention, parameter)
        ):
            return by_convention
        if isinstance(location, OnStack) and location not in (by_convention, *read):
            location = _CONTRADICTION
        if location in (_UNUSED, _CONTRADICTION):
            is_on_stack = by_convention in read and not any(isinstance(each, InRegister) for each in read)
            return by_convention if is_on_stack else location
        return location

    def _is_computed_from(self, place: OnStack, parameter: Parameter) -> bool:
        """Whether the debug information has no place for a parameter at the first instruction, but there or later computes it from what is in one."""
        from emulator.loader.functions.expressions import Evaluation

        states = {**self._states, self._address: self._entry}
        told = (
            (state, each.operations)
            for address, state in states.items()
            for each in parameter.located
            if each.start <= address < each.end
        )
        return any(
            Evaluation(state, self._entry, self._frame_base).source(operations) == {place}
            for state, operations in told
        )

    def _location(self, parameter: Parameter) -> Location:
        if parameter.constant is not None:
            return IsConstant(parameter.constant & WORD_MAX)
        if not parameter.is_kept:
            return _REMOVED
        if not parameter.located:
            return _UNUSED
        listed = [each for each in parameter.located if each.end]
        return self._listed(listed) if listed else self._everywhere(parameter.located[0])

    def _listed(self, located: Sequence[Located]) -> Location:
        """Return what a list says of the first instruction, or else of the first one on the way from there of which it says something."""
        for each in located:
            if each.start <= self._address < max(each.end, each.start + 1):
                return self._incoming(self._evaluate(self._entry, each))
        later = [each for each in located if each.start in self._states]
        if not later:
            return _UNCLEAR
        first = min(later, key=lambda each: each.start)
        return self._incoming(self._evaluate(self._states[first.start], first))

    def _everywhere(self, located: Located) -> Location:
        """Return where a parameter comes from that has one place, which unoptimized code fills after the first instruction."""
        from emulator.loader.functions.entry_code import SCRATCH

        first = self._incoming(self._evaluate(self._entry, located))
        values = [self._evaluate(state, located) for state in self._states.values()]
        is_input = first in self._code.reads or all(each == {first} for each in values)
        gets_there_later = isinstance(first, InRegister) and not (first.register in SCRATCH and is_input)
        passed_over = (_UNCLEAR, first) if gets_there_later else (_UNCLEAR,)
        known = (each for each in (first, *map(self._incoming, values)) if each not in passed_over)
        return next(known, _UNCLEAR)

    def _evaluate(self, state: State, located: Located) -> Value:
        from emulator.loader.functions.expressions import Evaluation

        return Evaluation(state, self._entry, self._frame_base).value(located.operations)

    def _incoming(self, value: Value) -> Location:
        """Return a value as a location, if it is one."""
        source = next(iter(value)) if len(value) == 1 else None
        return source if isinstance(source, OnStack | InRegister | IsConstant | NotKnown) else _UNCLEAR

    def _base_of_frame(self) -> Value:
        from emulator.loader.functions.entry_state import UNKNOWN
        from emulator.loader.functions.expressions import Evaluation

        for located in self._described.frame_base:
            if located.end and located.start <= self._address < located.end:
                return Evaluation(self._entry, self._entry).address(located.operations)
            if not located.end:
                return Evaluation(self._body(), self._entry).address(located.operations)
        return UNKNOWN

    def _body(self) -> State:
        """Return the state after the instructions that set up the frame; that at the entry, where there are none."""
        from emulator.loader.functions.entry_state import Address, only

        marked = self._states.get(self._described.prologue_end or 0)
        framed = (
            state for state in self._states.values() if isinstance(only(state.registers["ebp"]), Address)
        )
        return marked or next(framed, self._entry)

    def _beyond(self, found: Sequence[Location], offsets: Sequence[int], index: int) -> Location:
        """Return where an argument after the last declared parameter is."""
        if self._described.is_variadic and all(isinstance(each, OnStack) for each in found):
            return OnStack(offsets[-1] + WORD_SIZE * (index - len(found)))
        return NotKnown(f"the function has only {counted(len(found), 'parameter')}")


def _offsets(described: Subprogram) -> list[int]:
    """Return where the calling convention passes each parameter of a function, and what follows the last one."""
    offsets = [2 * WORD_SIZE if described.returns_aggregate else WORD_SIZE]
    for parameter in described.parameters:
        offsets.append(offsets[-1] + (max(parameter.size, 1) + WORD_SIZE - 1 & -WORD_SIZE))
    return offsets


def _by_code(image: KernelImage, address: int, code: EntryCode, count: int) -> tuple[Location, ...]:
    """Return what the code alone says."""
    symbol = image.function_at(address)
    if symbol is not None and _COPY.search(symbol[0].name):
        return (NotKnown("no debug information, and the compiler changed the function's parameters"),) * count
    registers = sorted(each.register.upper() for each in code.reads if isinstance(each, InRegister))
    if registers:
        return (
            NotKnown(
                f"no debug information, and the function gets arguments in {' and '.join(registers)}",
                registers[0].lower(),
            ),
        ) * count
    if code.popped and (
        code.popped == WORD_SIZE or code.popped != count * WORD_SIZE
    ):  # perhaps a hidden one, for the address of its result
        unclear = f"no debug information, and the function takes {counted(code.popped, 'byte')} of arguments from the stack"
        return (NotKnown(unclear),) * count
    found = tuple(
        each if each in code.reads else _UNREAD
        for each in (OnStack(WORD_SIZE * (index + 1)) for index in range(count))
    )
    reads_more = any(isinstance(each, OnStack) and each.offset > count * WORD_SIZE for each in code.reads)
    return (*found[:1], *(_SHIFTED,) * (count - 1)) if reads_more else found
