"""Address spaces as text, wide and narrow, with and without colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.guest.memory_map.spaces import Backing, Elsewhere, Space, SpaceRange, Spaces
from emulator.report.run_record import RunRecord
from emulator.report.text.run import summary_lines
from emulator.report.text.spaces import space_lines, spaces_text
from emulator.report.text.style import Style
from emulator.run.ending import Ending, How
from kernel_model.mappings import BadEntry
from kernel_model.page_tables import Problem
from tests.unit.report.examples import RAM

if TYPE_CHECKING:
    from emulator.guest.memory_map.regions import Span

PAGE, LARGE_PAGE = 0x1000, 0x400000


def mapped(start: int, *pieces: Span, backing: Backing = Backing.RAM, name: str = "") -> SpaceRange:
    size = sum(end - low for low, end in pieces)
    return SpaceRange(start, start + size, True, True, False, PAGE, pieces, backing, name)  # noqa: FBT003 - its rights


DIRECT = SpaceRange(
    0x80000000,
    0x80400000,
    writable=True,
    user=False,
    no_execute=True,
    page_size=LARGE_PAGE,
    pieces=((0, 0x400000),),
    backing=Backing.RAM,
    is_direct_map=True,
)
TEXT = mapped(0x400000, (0x200000, 0x202000), name="TEXT")._replace(
    writable=False, shared=2 * PAGE, elsewhere=(Elsewhere(1, 0x400000), Elsewhere(None, 0x90000000))
)
HEAP = mapped(0x500000, (0x300000, 0x301000), (0x305000, 0x307000))
STACK = SpaceRange(0x600000, 0x604000, False, False, False, PAGE, (), Backing.UNMAPPED, "STACK")  # noqa: FBT003 - no rights
SCREEN = mapped(0x700000, (0xFD000000, 0xFD001000), backing=Backing.DEVICE, name="frame buffer")
NOTHING = mapped(0x701000, (0xE0000000, 0xE0001000), backing=Backing.NOTHING)
BAD = BadEntry(0x800000, 0xC00000, 0x210008, 0xFFFFF001, Problem.OUTSIDE)
FIRST = Space(
    0x210000,
    "task 1",
    in_use=True,
    ranges=(TEXT, HEAP, STACK, SCREEN, NOTHING),
    tables=(0x210000, 0x211000),
    recursive=(0xFFC00000,),
    problems=(BAD,),
)
SECOND = Space(0x220000, "", in_use=False, ranges=(), tables=(0x220000,))
SPACES = Spaces((FIRST, SECOND), (DIRECT,), gone=2, others=True, is_cut=True)


def test_each_range_is_a_line() -> None:
    assert list(space_lines(SPACES, Style())) == [
        "Address space of task 1, in CR3: page directory 0x00210000, 2 frames of tables",
        "  0x00400000-0x00402000 0x00200000     8 KiB u r- TEXT, 2 frames also in 0x00220000 at 0x00400000 and in all at 0x90000000",
        "  0x00500000-0x00503000 scattered     12 KiB u rw frames 0x00300000 0x00305000-0x00307000",
        "  0x00600000-0x00604000 -             16 KiB -    STACK, not mapped",
        "  0x00700000-0x00701000 0xfd000000     4 KiB u rw frame buffer, device",
        "  0x00701000-0x00702000 0xe0000000     4 KiB u rw nothing is there",
        "  0xffc00000 maps the page tables: a directory is its own table",
        "  0x00800000-0x00c00000 entry 0xfffff001 at 0x00210008: the table lies outside memory",
        "Address space: page directory 0x00220000, 1 frame of tables",
        "  nothing of its own",
        "Alike in all 2",
        "  0x80000000-0x80400000 0x00000000     4 MiB s rw not to be executed, pages of 4 MiB",
        "Not all is shown: the frames lie in too many pieces",
        "Page directories that the run used and that are none any more: 2",
        "The run may have used others: they are not remembered",
    ]


def test_the_summary_has_them_in_a_sentence() -> None:
    assert spaces_text(SPACES) == (
        "2 address spaces: task 1 28 KiB, 0x00220000 0 B; alike in all 4 MiB; entries that cannot be followed: 1 "
        "(--map shows ranges)"
    )
    many = Spaces((FIRST._replace(problems=()),) * 9)
    assert spaces_text(many) == f"9 address spaces: {'task 1 28 KiB, ' * 6}3 more (--map shows ranges)"
    assert "1 more" in spaces_text(Spaces((FIRST,) * 7))
    assert "more" not in spaces_text(Spaces((FIRST,) * 6))


def test_one_that_maps_nothing() -> None:
    assert list(space_lines(Spaces((SECOND,)), Style()))[1:] == ["  nothing is mapped"]


def test_frames_that_many_have() -> None:
    shared = TEXT._replace(elsewhere=(*TEXT.elsewhere, Elsewhere(0, 0x1000)))
    spaces = Spaces((FIRST._replace(ranges=(shared,)), SECOND))
    assert list(space_lines(spaces, Style()))[1].endswith(
        "2 frames also in 0x00220000 at 0x00400000, in all at 0x90000000 and in task 1 at 0x00001000"
    )


@pytest.mark.parametrize(
    ("spaces", "is_said"),
    [
        ((FIRST._replace(name="", ranges=()), SECOND), True),
        ((FIRST, SECOND._replace(name="task 2")), False),  # the kernel's own tables name it
        ((FIRST._replace(name="", ranges=()),), False),
        ((SECOND,), False),  # of an image, the one that was asked for
    ],
)
def test_spaces_that_may_have_been_freed(spaces: tuple[Space, ...], is_said: bool) -> None:
    line = "Whether the kernel has freed one that is not in CR3 is not known"
    assert (line in space_lines(Spaces(spaces), Style())) == is_said


def test_long_lists_are_cut() -> None:
    scattered = mapped(0, *((0x300000 + 2 * PAGE * i, 0x301000 + 2 * PAGE * i) for i in range(18)))
    space = SECOND._replace(ranges=(scattered,), problems=(BAD,) * 22)
    lines = list(space_lines(Spaces((space,)), Style()))
    assert lines[1].endswith(" 0x0031e000 and 2 more ranges")
    assert lines[-1] == "  and 2 more of these entries"
    itself = SECOND._replace(recursive=tuple(range(0, 6 << 22, 1 << 22)))
    assert list(space_lines(Spaces((itself,)), Style()))[-2:] == [
        "  0x00c00000 maps the page tables: a directory is its own table",
        "  and 2 more such addresses",
    ]


@pytest.mark.parametrize("unicode", [True, False])
def test_a_narrow_terminal_has_room(unicode: bool) -> None:
    lines = list(space_lines(SPACES, Style(width=40, unicode=unicode, room=40)))
    assert max(map(len, lines)) <= 40
    assert any("u r- TEXT" in line for line in lines)  # rights stay together
    assert sum(line.startswith("      4 KiB u rw") for line in lines) == 2  # and so do sizes
    words = " ".join(" ".join(lines).split())
    assert words == " ".join(" ".join(space_lines(SPACES, Style())).split())


@pytest.mark.parametrize("width", range(40, 80))
def test_a_size_of_pages_stays_together(width: int) -> None:
    lines = list(space_lines(SPACES, Style(width=width, room=width)))
    assert not any(line.endswith("of 4") for line in lines)


def test_colours_change_nothing_else() -> None:
    plain, coloured = (list(space_lines(SPACES, Style(colour=colour))) for colour in (False, True))
    assert coloured[1].startswith("  0x00400000-0x00402000 0x00200000     8 KiB \x1b[33mu r-\x1b[0m TEXT")
    assert "\x1b[32ms rw\x1b[0m" in coloured[11]
    assert coloured[7].startswith("\x1b[31m")
    for code in ("1", "31", "32", "33"):
        coloured = [line.replace(f"\x1b[{code}m", "") for line in coloured]
    assert [line.replace("\x1b[0m", "") for line in coloured] == plain


def test_what_a_guest_named_cannot_move_the_cursor() -> None:
    space = SECOND._replace(name="\x1b[2J", ranges=(TEXT._replace(name="\x07", elsewhere=()),))
    assert not any("\x1b" in line or "\x07" in line for line in space_lines(Spaces((space,)), Style()))


def test_a_summary_is_brief_unless_asked() -> None:
    record = RunRecord("k.elf", Ending(How.EXIT, 0), memory_map=MemoryMap(RAM, (), spaces=SPACES))
    brief = list(summary_lines(record, Style()))
    assert any(line.startswith("Spaces    2 address spaces: task 1 28 KiB") for line in brief)
    assert "Alike in all 2" not in brief
    full = list(summary_lines(record, Style(), maps_spaces=True))
    assert "Alike in all 2" in full
    assert not any(line.startswith("Spaces") for line in full)
    off = RunRecord("k.elf", Ending(How.EXIT, 0), memory_map=MemoryMap(RAM, ()))
    assert "paging is off: linear addresses are physical ones" in list(
        summary_lines(off, Style(), maps_spaces=True)
    )
