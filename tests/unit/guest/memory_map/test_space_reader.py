"""Address spaces of machines whose guests have paging on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import NotEmulated
from emulator.guest.memory_map import space_reader as module
from emulator.guest.memory_map.reader import read_memory_map
from emulator.guest.memory_map.regions import Region, RegionKind
from emulator.guest.memory_map.space_reader import NamedSpace, read_spaces
from emulator.guest.memory_map.spaces import Backing, Elsewhere, SpaceRange
from emulator.machine.address_map import MIB
from emulator.machine.memory import RamWindow
from kernel_model.page_tables import Problem
from tests.helpers.guest import machine_of, symbol
from tests.helpers.page_tables import (
    DIRECTORY,
    FIRST_TABLE,
    LARGE_PAGE,
    PAGE,
    P,
    U,
    W,
    enable_paging,
    identity_tables,
    paged_machine,
)
from tests.helpers.spaces import two_spaces
from tests.unit.machine.core.test_pae import pae_machine

if TYPE_CHECKING:
    from emulator.guest.memory_map.memory_map import MemoryMap

TWO = two_spaces("task:   call give_way\n hlt")
HIGH = 0xC0000000


def range_of(
    start: int, size: int, *pieces: tuple[int, int], user: bool = False, writable: bool = True
) -> SpaceRange:
    return SpaceRange(start, start + size, writable, user, False, PAGE, pieces, Backing.RAM)  # noqa: FBT003 - not to be executed


def test_without_paging_there_is_none() -> None:
    assert read_memory_map(machine_of("hlt")).spaces is None


def test_what_a_range_is_backed_by() -> None:
    machine, tables = paged_machine("hlt")
    tables.map_large(HIGH, 0, P | W)
    tables.map(0xD0000000, 0xFEE00000)
    tables.map(0xD0001000, 0xFD000000)
    tables.map(0xD0002000, 0xE0000000)
    machine.run()
    (space,) = read_spaces(machine).spaces
    assert (space.directory, space.name, space.in_use) == (DIRECTORY, "", True)
    assert space.tables == (DIRECTORY, FIRST_TABLE, FIRST_TABLE + PAGE)
    assert [(each.start, each.backing, each.name) for each in space.ranges] == [
        (0, Backing.RAM, ""),
        (0xA0000, Backing.VIDEO, "video memory"),
        (0xC0000, Backing.ROM, "ROM"),
        (MIB, Backing.RAM, ""),
        (HIGH, Backing.RAM, ""),
        (HIGH + 0xA0000, Backing.VIDEO, "video memory"),
        (HIGH + 0xC0000, Backing.ROM, "ROM"),
        (HIGH + MIB, Backing.RAM, ""),
        (0xD0000000, Backing.DEVICE, "local APIC"),
        (0xD0001000, Backing.DEVICE, "frame buffer"),
        (0xD0002000, Backing.NOTHING, ""),
    ]
    assert {each.page_size for each in space.ranges if each.start >> 28 == 0xC} == {LARGE_PAGE}
    assert sum(each.mapped for each in space.ranges) == 2 * LARGE_PAGE + 3 * PAGE


def test_frames_that_do_not_follow_each_other() -> None:
    machine, tables = paged_machine("hlt")
    for page, frame in enumerate((0x300000, 0x302000, 0x303000, 0x301000)):
        tables.map(HIGH + page * PAGE, frame, P | W | U)
    machine.run()
    (space,) = read_spaces(machine).spaces
    assert space.ranges[-1] == range_of(
        HIGH, 4 * PAGE, (0x300000, 0x301000), (0x302000, 0x304000), (0x301000, 0x302000), user=True
    )
    assert space.ranges[0].is_direct_map


def test_two_spaces_and_what_they_have_alike() -> None:
    machine = machine_of(TWO, ram=RamWindow(MIB, 4 * MIB))
    machine.run()
    first = symbol(machine, "directories")
    frames = symbol(machine, "frames")
    found = read_spaces(machine)
    assert (found.gone, found.others) == (0, False)
    assert [(each.directory, each.in_use) for each in found.spaces] == [(first, True), (first + PAGE, False)]
    assert [each.ranges for each in found.spaces] == [
        (range_of(0x80000000, 2 * PAGE, (at, at + 2 * PAGE), user=True),)
        for at in (frames, frames + 2 * PAGE)
    ]
    assert [each.start for each in found.common] == [0, 0xA0000, 0xC0000, MIB]


def test_a_directory_that_is_none_any_more_is_counted_only() -> None:
    machine = machine_of(TWO, ram=RamWindow(MIB, 4 * MIB))
    machine.run()
    machine.memory.write(symbol(machine, "directories") + PAGE, bytes(PAGE))
    found = read_spaces(machine)
    assert [each.in_use for each in found.spaces] == [True]
    assert found.gone == 1
    assert found.common == ()


def test_a_directory_that_maps_its_first_page_elsewhere_is_none_any_more() -> None:
    machine = machine_of(TWO, ram=RamWindow(MIB, 4 * MIB))
    machine.run()
    machine.memory.store_u32(symbol(machine, "directories") + PAGE, 0x400083)  # 4 MiB at 0, from 4 MiB on
    assert read_spaces(machine).gone == 1


def test_user_pages_belong_to_each_space_also_where_they_are_alike() -> None:
    machine = machine_of(TWO, ram=RamWindow(MIB, 4 * MIB))
    machine.run()
    table = symbol(machine, "tables")
    machine.memory.write(table + PAGE, machine.memory.read(table, PAGE))
    found = read_spaces(machine)
    assert [[each.start for each in space.ranges] for space in found.spaces] == [[0x80000000], [0x80000000]]
    assert [space.ranges[0].elsewhere for space in found.spaces] == [
        (Elsewhere(1, 0x80000000),),
        (Elsewhere(0, 0x80000000),),
    ]


def test_the_reference_mmu_knows_the_one_in_use() -> None:
    machine = machine_of(TWO, mmu="reference", ram=RamWindow(MIB, 4 * MIB))
    machine.run()
    found = read_spaces(machine)
    assert [each.in_use for each in found.spaces] == [True]
    assert found.others


def test_shared_frames_name_each_other() -> None:
    machine, tables = paged_machine("hlt")
    tables.map(HIGH, 0x300000, P | W | U)
    tables.map(HIGH + 0x400000, 0x300000, P | U)
    machine.run()
    (space,) = read_spaces(machine).spaces
    one, other = space.ranges[-2:]
    assert (one.shared, one.elsewhere) == (PAGE, (Elsewhere(0, HIGH + 0x400000),))
    assert (other.shared, other.elsewhere) == (PAGE, (Elsewhere(0, HIGH),))


def test_what_a_kernel_says_of_its_spaces() -> None:
    machine, tables = paged_machine("hlt")
    for page in range(4):
        tables.map(HIGH + page * PAGE, 0x300000 + page * PAGE)
    machine.run()
    uses = ((HIGH + PAGE, HIGH + 2 * PAGE, "one"), (HIGH + 3 * PAGE, HIGH + 6 * PAGE, "two"))
    (space,) = read_spaces(machine, [NamedSpace(DIRECTORY, "the kernel", uses)]).spaces
    assert (space.name, space.in_use) == ("the kernel", True)
    assert [(each.start, each.end, each.name, each.backing) for each in space.ranges[-5:]] == [
        (HIGH, HIGH + PAGE, "", Backing.RAM),
        (HIGH + PAGE, HIGH + 2 * PAGE, "one", Backing.RAM),
        (HIGH + 2 * PAGE, HIGH + 3 * PAGE, "", Backing.RAM),
        (HIGH + 3 * PAGE, HIGH + 4 * PAGE, "two", Backing.RAM),
        (HIGH + 4 * PAGE, HIGH + 6 * PAGE, "two", Backing.UNMAPPED),
    ]
    assert space.ranges[-1].mapped == 0
    (screen,) = read_spaces(machine, [NamedSpace(DIRECTORY, "", ((0xB8000, 0xB9000, "screen"),))]).spaces
    assert [each.name for each in screen.ranges[1:4]] == ["video memory", "screen", "video memory"]
    other = read_spaces(machine, [NamedSpace(0x300000, "task 1")])
    assert [(each.name, each.in_use) for each in other.spaces] == [("", True), ("task 1", False)]


def test_bad_entries_and_recursion_are_kept() -> None:
    machine = machine_of(enable_paging() + "hlt")
    identity_tables(machine)
    machine.memory.store_u32(DIRECTORY + 4 * 1023, DIRECTORY | P | W)
    machine.memory.store_u32(DIRECTORY + 4 * 1000, 0xFFFFF000 | P)
    machine.run()
    (space,) = read_spaces(machine).spaces
    assert space.recursive == (0xFFC00000,)
    assert [each.problem for each in space.problems] == [Problem.OUTSIDE]


def test_tables_are_regions_of_their_own() -> None:
    machine, _ = paged_machine("hlt")
    machine.run()
    found = read_memory_map(machine)
    assert Region(DIRECTORY, FIRST_TABLE + PAGE, RegionKind.PAGING) in found.regions
    in_image = machine_of(TWO, ram=RamWindow(MIB, 4 * MIB))
    in_image.run()
    kinds = {each.kind: each for each in read_memory_map(in_image).regions}
    assert kinds[RegionKind.PAGING].start >= symbol(in_image, "directories")
    assert_covers_the_same(read_memory_map(in_image))


def assert_covers_the_same(found: MemoryMap) -> None:
    regions = found.whole_ram()
    assert all(one.end == other.start for one, other in pairwise(regions))
    assert (regions[0].start, regions[-1].end) == found.ram


def test_frames_of_tables_count_as_reserved_once() -> None:
    machine = boot("firmware:btron_demo")
    machine.run()
    found = read_memory_map(machine)
    assert found.frames is not None
    assert found.frames.used == found.allocated + found.reserved
    assert found.allocated == 1


def test_more_pieces_than_can_be_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, tables = paged_machine("hlt")
    for page in range(64):
        tables.map(HIGH + page * PAGE, 0x300000 + 2 * page * PAGE)
    machine.run()
    whole = read_spaces(machine)
    assert not whole.is_cut
    monkeypatch.setattr(module, "PIECES_MAX", 40)
    cut = read_spaces(machine)
    assert cut.is_cut
    assert sum(len(each.pieces) for each in cut.spaces[0].ranges if each.start >= HIGH) == 39


def test_64_bit_mode_is_noted() -> None:
    machine, _ = pae_machine("hlt", before="movl $0xc0000080, %ecx\n rdmsr\n orl $0x100, %eax\n wrmsr\n")
    with pytest.raises(NotEmulated):
        machine.run()
    found = read_memory_map(machine)
    assert found.spaces is None
    assert found.notes[-1] == "address spaces are unknown: the page tables of 64-bit mode are not read"
