"""What frames ranges share, without the direct map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.memory_map.sharing import direct_map_distance, with_sharing
from emulator.guest.memory_map.spaces import Backing, Elsewhere, SpaceRange

if TYPE_CHECKING:
    from emulator.guest.memory_map.regions import Span

PAGE = 0x1000


def mapped(start: int, *pieces: Span, user: bool = True, backing: Backing = Backing.RAM) -> SpaceRange:
    size = sum(end - low for low, end in pieces)
    return SpaceRange(start, start + size, True, user, False, PAGE, pieces, backing)  # noqa: FBT003 - its rights


DIRECT = mapped(0x80000000, (0, 0x400000), user=False)
TEXT = mapped(0x400000, (0x200000, 0x202000))


def test_what_only_the_direct_map_has_besides_is_not_shared() -> None:
    direct, text = with_sharing([(0, DIRECT), (0, TEXT)])
    assert (direct.is_direct_map, text.is_direct_map) == (True, False)
    assert (text.shared, text.elsewhere, direct.shared) == (0, (), 0)


def test_frames_of_two_spaces() -> None:
    other = mapped(0x500000, (0x300000, 0x301000), (0x201000, 0x203000))
    _, text, found = with_sharing([(None, DIRECT), (0, TEXT), (1, other)])
    assert (text.shared, text.elsewhere) == (PAGE, (Elsewhere(1, 0x500000),))
    assert (found.shared, found.elsewhere) == (PAGE, (Elsewhere(0, 0x400000),))


def test_a_frame_that_a_range_maps_twice() -> None:
    twice = mapped(0x500000, (0x300000, 0x301000), (0x300000, 0x301000), (0x302000, 0x303000))
    (found,) = with_sharing([(0, twice)])
    assert (found.shared, found.elsewhere) == (2 * PAGE, (Elsewhere(0, 0x500000),))


def test_neighbours_share_nothing() -> None:
    one, other = mapped(0, (0x1000, 0x2000)), mapped(0x5000, (0x2000, 0x3000))
    assert with_sharing([(0, one), (1, other)]) == [one, other]


def test_only_some_ranges_are_named() -> None:
    found = with_sharing([(number, TEXT) for number in range(7)])
    assert [each.space for each in found[6].elsewhere] == [0, 1, 2, 3]
    assert [each.space for each in found[0].elsewhere] == [1, 2, 3, 4]
    assert {each.shared for each in found} == {2 * PAGE}


def test_devices_are_not_compared() -> None:
    screen = mapped(0x400000, (0xB8000, 0xB9000), backing=Backing.VIDEO)
    assert with_sharing([(0, screen), (1, screen)]) == [screen, screen]


def test_the_direct_map_is_what_the_supervisor_has_most_of() -> None:
    low = mapped(0x1000, (0x1000, 0x100000), user=False)
    assert direct_map_distance([low, DIRECT, mapped(0, (0, 0x800000))]) == 0x80000000
    assert direct_map_distance([mapped(0x1000, (0x2000, 0x3000), user=False)]) == 0xFFFFF000
    assert direct_map_distance([TEXT]) is None
    same = mapped(0xC0000000, (0, 0x400000), user=False)
    assert direct_map_distance([same, DIRECT]) == direct_map_distance([DIRECT, same]) == 0x80000000
    assert direct_map_distance([mapped(0, (0, PAGE), (0x2000, 0x3000), user=False)]) is None
    assert with_sharing([(0, TEXT), (0, low)])[1].is_direct_map
