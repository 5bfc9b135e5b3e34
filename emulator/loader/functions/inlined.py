"""Copies of functions that the compiler has put into others: where each begins, and where its parameters are there.

Such a copy is not called and does not return: what it gives back is in no fixed place, and its first instruction may belong to other code, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.functions.locations import InRegister, IsConstant, NotKnown, OnStack
from emulator.loader.functions.names import NameIndex, declared_name
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.loader.dwarf.locations import Located
    from emulator.loader.dwarf.subprograms import Inlined, Parameter
    from emulator.loader.functions.entry_state import Value
    from emulator.loader.functions.locations import Location
    from emulator.loader.image import KernelImage

_FROM_ESP: Final = 1  # as `UnwindRow.cfa_register`
_NO_PLACE: Final = NotKnown("its debug information has no place for it where the copy begins")


class InlinedCopy(NamedTuple):
    """A copy of a function inside of another one.

    Attributes:
        name: That of the given names that means the function.
        file: Last part of the name of the source file that declares it; "" where that is not said.
        address: Linked address of the copy's first instruction.
        around: That of the function that it is in.
        parameters: Where the parameters are there; `OnStack` counts from ESP there.
    """

    name: str
    file: str
    address: int
    around: int
    parameters: tuple[Location, ...]


def inlined_copies(image: KernelImage, names: Sequence[str]) -> tuple[InlinedCopy, ...]:
    """Find the copies of functions inside of others, ascending by address; none without debug information.

    All debug information is read for this.

    Args:
        image: The kernel.
        names: Of the functions, without files, as `find_functions` takes them. Of copies that begin at one address the outer one counts.
    """
    index = NameIndex(names)
    declared = {declared_name(name) for name in names}
    copies: dict[int, InlinedCopy] = {}
    for each in image.subprograms.inlined(declared, lambda symbol: index.find(symbol) != ""):
        if each.address not in copies and image.is_linked(each.address):
            places = _Places(image, each)
            parameters = tuple(map(places.location, each.parameters))
            name, file = index.find(each.symbol), each.file.rpartition("/")[2]
            copies[each.address] = InlinedCopy(name, file, each.address, each.around, parameters)
    return tuple(copies[address] for address in sorted(copies))


class _Places:
    """What locations mean where a copy begins."""

    def __init__(self, image: KernelImage, inlined: Inlined) -> None:
        from emulator.loader.functions.entry_state import REGISTERS, UNKNOWN, State

        self._address = inlined.address
        self._here, self._nowhere = State(), State()
        self._nowhere.registers = dict.fromkeys(REGISTERS, UNKNOWN)  # those of the entry are gone
        self._frame_address = _frame_address(image, inlined.address)
        self._frame_base = self._base_of_frame(image, inlined)

    def location(self, parameter: Parameter) -> Location:
        """Return where a parameter is; a place that it has all the time may not be filled yet, unless it is a constant."""
        if parameter.constant is not None:
            return IsConstant(parameter.constant & WORD_MAX)
        for located in parameter.located:
            source = next(iter(self._value(located) or (_NO_PLACE,)))
            if located.start <= self._address < max(located.end, located.start + 1):
                return (
                    source if isinstance(source, OnStack | InRegister | IsConstant | NotKnown) else _NO_PLACE
                )
            if not located.end and isinstance(source, IsConstant):
                return source
        return _NO_PLACE

    def _value(self, located: Located) -> Value:
        from emulator.loader.functions.expressions import Evaluation

        return Evaluation(self._here, self._nowhere, self._frame_base, self._frame_address).value(
            located.operations
        )

    def _base_of_frame(self, image: KernelImage, inlined: Inlined) -> Value:
        """Return from what variables are counted: ESP, for compilers that say so, is that after the prologue."""
        from emulator.loader.functions.entry_state import UNKNOWN, Address, only, plus
        from emulator.loader.functions.expressions import Evaluation

        whole = [each for each in inlined.frame_base if not each.end]
        if not whole:
            return UNKNOWN
        found = Evaluation(self._here, self._nowhere, UNKNOWN, self._frame_address).address(
            whole[0].operations
        )
        if found != self._here.registers["esp"]:
            return found
        after_prologue = only(_frame_address(image, inlined.prologue_end or 0))
        return (
            plus(self._frame_address, -after_prologue.offset)
            if isinstance(after_prologue, Address)
            else UNKNOWN
        )


def _frame_address(image: KernelImage, address: int) -> Value:
    """Return the CFA at an instruction, counted from ESP; unknown where it is counted from EBP."""
    from emulator.loader.functions.entry_state import UNKNOWN, Address

    row = image.unwind_table.find(address)
    is_known = row is not None and row.cfa_register == _FROM_ESP
    return frozenset((Address(row.cfa_offset),)) if row is not None and is_known else UNKNOWN
