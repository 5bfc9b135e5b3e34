"""Write address spaces as lines: what each maps, to which frames, and with whom it shares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.memory_map.regions import FRAME_SIZE
from emulator.guest.memory_map.spaces import Backing
from emulator.report.text.style import BOLD, GREEN, RED
from emulator.wording import address_range, counted, human_size, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.guest.memory_map.spaces import Elsewhere, Space, SpaceRange, Spaces
    from emulator.report.text.style import Style
    from kernel_model.mappings import BadEntry

PAGING_IS_OFF: Final = "paging is off: linear addresses are physical ones"

_NAMED: Final = 6
_PIECES_SHOWN: Final = 16
_BAD_SHOWN: Final = 20
_RECURSIVE_SHOWN: Final = 4
_USER: Final = "33"
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"  # while lines are folded


def spaces_text(spaces: Spaces) -> str:
    """Return the address spaces in a sentence."""
    shown = [f"{_name(each)} {human_size(_mapped(each.ranges))}" for each in spaces.spaces[:_NAMED]]
    more = len(spaces.spaces) - _NAMED
    if more > 0:
        shown.append(f"{more} more")
    text = f"{counted(len(spaces.spaces), 'address space')}: {', '.join(shown)}"
    if spaces.common:
        text += f"; alike in all {human_size(_mapped(spaces.common))}"
    bad = sum(len(each.problems) for each in spaces.spaces)
    if bad:
        text += f"; entries that cannot be followed: {bad}"
    return f"{text} (--map shows ranges)"


def space_lines(spaces: Spaces, style: Style) -> Iterator[str]:
    """Yield each address space with its ranges, then what all have alike."""
    for space in spaces.spaces:
        yield from _titled(_title(space), style)
        yield from _range_lines(space.ranges, spaces, style)
        if not space.ranges:
            yield "  nothing of its own" if spaces.common else "  nothing is mapped"
        yield from _notes(space, style)
    if spaces.common:
        yield from _titled(f"Alike in all {len(spaces.spaces)}", style)
        yield from _range_lines(spaces.common, spaces, style)
    if _may_be_freed(spaces):
        yield from style.folded("Whether the kernel has freed one that is not in CR3 is not known")
    if spaces.is_cut:
        yield from style.folded("Not all is shown: the frames lie in too many pieces")
    if spaces.gone:
        yield from style.folded(
            f"Page directories that the run used and that are none any more: {spaces.gone}"
        )
    if spaces.others:
        yield from style.folded("The run may have used others: they are not remembered")


def _may_be_freed(spaces: Spaces) -> bool:
    """Return whether there are some of which nothing is known but that the run used them."""
    used = {each.in_use for each in spaces.spaces if not each.name}
    return used == {True, False}


def _titled(title: str, style: Style) -> Iterator[str]:
    for line in style.folded(title):
        yield style.paint(line, BOLD)


def _title(space: Space) -> str:
    used = ", in CR3" if space.in_use else ""
    where = f"page directory 0x{space.directory:08x}"
    frames = counted(len(space.tables), "frame")
    name = f"Address space of {printable(space.name)}" if space.name else "Address space"
    return f"{name}{used}: {where}, {frames} of tables"


def _range_lines(ranges: Sequence[SpaceRange], spaces: Spaces, style: Style) -> Iterator[str]:
    for each in ranges:
        permission = _permission(each)
        unbroken, size = _unbroken(permission), _unbroken(human_size(each.size))
        columns = f"  {address_range(each.start, each.end)} {_physical(each):10} {size:>9} {unbroken:4}"
        notes = ", ".join(_words(each, spaces))
        painted = style.paint(permission, _colour(each))
        for line in style.folded(f"{columns} {notes}".rstrip(), indent=6):
            yield line.replace(unbroken, painted, 1).replace(_NO_BREAK, " ")


def _unbroken(text: str) -> str:
    """Keep a text together while the line that it is in is folded."""
    return text.replace(" ", _NO_BREAK)


def _permission(each: SpaceRange) -> str:
    if each.backing is Backing.UNMAPPED:
        return "-"
    return f"{'u' if each.user else 's'} r{'w' if each.writable else '-'}"


def _colour(each: SpaceRange) -> str:
    if each.backing is Backing.UNMAPPED:
        return ""
    return _USER if each.user else GREEN


def _physical(each: SpaceRange) -> str:
    return f"0x{each.pieces[0][0]:08x}" if len(each.pieces) == 1 else "scattered" if each.pieces else "-"


def _words(each: SpaceRange, spaces: Spaces) -> Iterator[str]:
    """Yield what else there is to say of a range."""
    if each.name:
        yield printable(each.name)
    if each.backing is Backing.UNMAPPED:
        yield "not mapped"
    elif each.backing is Backing.NOTHING:
        yield "nothing is there"
    elif each.backing is Backing.DEVICE:
        yield "device"
    elif each.backing is Backing.UNKNOWN:
        yield "not in the image"
    if each.no_execute:
        yield "not to be executed"
    if each.page_size != FRAME_SIZE:
        yield f"pages of {_unbroken(human_size(each.page_size))}"
    if len(each.pieces) > 1:
        yield f"frames {_pieces(each)}"
    if each.shared:
        yield f"{counted(each.shared // FRAME_SIZE, 'frame')} also {_all_elsewhere(each, spaces)}"


def _pieces(each: SpaceRange) -> str:
    shown = [
        f"0x{start:08x}" if end - start == FRAME_SIZE else address_range(start, end)
        for start, end in each.pieces[:_PIECES_SHOWN]
    ]
    more = len(each.pieces) - _PIECES_SHOWN
    return " ".join(shown) + (f" and {counted(more, 'more range')}" if more > 0 else "")


def _all_elsewhere(each: SpaceRange, spaces: Spaces) -> str:
    shown = [_elsewhere(other, spaces) for other in each.elsewhere]
    if shown[1:]:
        shown[:-1] = [", ".join(shown[:-1])]
    return " and ".join(shown)


def _elsewhere(other: Elsewhere, spaces: Spaces) -> str:
    where = "in all" if other.space is None else f"in {_name(spaces.spaces[other.space])}"
    return f"{where} at 0x{other.start:08x}"


def _notes(space: Space, style: Style) -> Iterator[str]:
    for start in space.recursive[:_RECURSIVE_SHOWN]:
        yield from style.folded(f"  0x{start:08x} maps the page tables: a directory is its own table", 6)
    if len(space.recursive) > _RECURSIVE_SHOWN:
        yield f"  and {len(space.recursive) - _RECURSIVE_SHOWN} more such addresses"
    for bad in space.problems[:_BAD_SHOWN]:
        first, *others = style.folded(f"  {_bad_entry(bad)}", 6)
        yield style.paint(first, RED)
        yield from others
    if len(space.problems) > _BAD_SHOWN:
        yield f"  and {len(space.problems) - _BAD_SHOWN} more of these entries"


def _bad_entry(bad: BadEntry) -> str:
    return f"{address_range(bad.start, bad.end)} entry 0x{bad.entry:08x} at 0x{bad.entry_at:08x}: {bad.problem.value}"


def _name(space: Space) -> str:
    return printable(space.name) or f"0x{space.directory:08x}"


def _mapped(ranges: Sequence[SpaceRange]) -> int:
    return sum(each.mapped for each in ranges)
