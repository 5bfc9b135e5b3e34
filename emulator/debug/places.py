"""Where a breakpoint stands that a person names by a function or a line of the source: in each copy that the compiler has made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.debug.addresses import read_address
from emulator.errors import BadImage
from emulator.loader.dwarf.scopes import scopes_at
from emulator.loader.functions.disassembler import disassembler
from emulator.loader.functions.inlined import inlined_copies
from emulator.loader.functions.names import NameIndex, file_and_name, find_functions
from emulator.loader.functions.prologue import body_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.image import KernelImage

_BEGIN_MAX: Final = 64  # bytes


def read_places(text: str, image: KernelImage) -> tuple[int, ...]:
    """Read ``kmalloc``, ``heap.c:12``, or an address as `read_address` does it.

    Returns:
        See `places_of_function` and `places_of_line`; an address alone.

    Raises:
        ValueError: There is no such place; the text says why.
    """
    file, _, line = text.rpartition(":")
    if file and line.isdecimal():
        places = places_of_line(image, image.addresses_of_line(file, int(line)))
        if not places:
            raise ValueError(f"no instruction belongs to {text}")
        return places
    return places_of_function(image, text.strip()) or (read_address(text, image),)


def places_of_function(image: KernelImage, name: str) -> tuple[int, ...]:
    """Return where a function's body begins, after its prologue: first of functions of that name, then of copies inside of others.

    Args:
        image: The kernel.
        name: As `find_functions` takes it, or the end of one with scopes, in whole parts: ``Queue::push`` for ``sched::Queue::push``.

    Returns:
        Linked addresses; none where there is no such function.
    """
    file, plain = file_and_name(name)
    return _places_of_name(image, name) or _places_of_name(
        image, f"{file}:*::{plain}" if file else f"*::{plain}"
    )


def _places_of_name(image: KernelImage, name: str) -> tuple[int, ...]:
    try:
        found = find_functions(image, name)
    except BadImage:
        found = ()
    file, plain = file_and_name(name)
    copies = [each for each in inlined_copies(image, [plain]) if file in ("", each.file)]
    # A piece of a function goes on where a copy has begun.
    whole = [each for each in found if not each.is_piece or not copies]
    bodies = (body_of(image, each.address) for each in whole)
    index = NameIndex([plain])
    begins = (_begin_of_copy(image, each.address, index) for each in copies)
    return tuple(dict.fromkeys((*bodies, *begins)))


def places_of_line(image: KernelImage, addresses: Iterable[int]) -> tuple[int, ...]:
    """Return where to stop at a line: once in each block of each function, and of each copy of a function inside of others.

    Args:
        image: The kernel.
        addresses: Linked, where pieces of the line's code begin.

    Returns:
        Ascending; where the line opens a function, that is after its prologue.
    """
    first: dict[object, int] = {}
    for each in sorted(addresses):
        scopes = scopes_at(image.units, each)
        found = image.function_at(each)
        opens = found is not None and not found[1]
        key = scopes[0].block.offset if scopes else each if found is None else found[0]
        first.setdefault(key, body_of(image, each) if opens else each)
    return tuple(first.values())


def _begin_of_copy(image: KernelImage, address: int, index: NameIndex) -> int:
    """Return the first instruction of a copy that does something, and that belongs to the copy, if there is one in front of the first jump.

    A copy in a loop may begin with what aligns the loop, which is executed once; and gcc lets one be entered by an instruction of its caller.
    """
    from capstone import CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET
    from capstone.x86 import X86_INS_NOP

    first = None
    for each in disassembler(detail=True).disasm(image.code(address, _BEGIN_MAX), address):
        if each.id == X86_INS_NOP:
            continue
        if any(index.find(call.function) for call in image.inlined_calls(each.address)):
            return int(each.address)
        first = first or int(each.address)
        if any(each.group(group) for group in (CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET)):
            break
    return first or address
