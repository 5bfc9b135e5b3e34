"""Address spaces on plain bytes, against the manual (Intel SDM vol. 3A, 4.3, 4.4, 4.6)."""

from __future__ import annotations

import pytest

from kernel_model.address_space import LINEAR_END, AddressSpace
from kernel_model.mappings import BadEntry, MappedRange
from kernel_model.memory import ByteMemory
from kernel_model.page_tables import Problem

DIRECTORY, TABLE, SECOND_TABLE = 0x1000, 0x2000, 0x3000
PAGE, LARGE_PAGE, PAE_PAGE = 0x1000, 0x40_0000, 0x20_0000
P, W, U, A, D, PS, G = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
NX = 1 << 63
SIZE = 0x10000


@pytest.fixture
def memory() -> ByteMemory:
    return ByteMemory(0, SIZE)


def map_page(memory: ByteMemory, linear: int, entry: int, *, table: int = TABLE, rights: int = W | U) -> None:
    memory.store_u32(DIRECTORY + 4 * (linear >> 22), table | rights | P)
    memory.store_u32(table + 4 * (linear >> 12 & 0x3FF), entry)


def store_u64(memory: ByteMemory, at: int, entry: int) -> None:
    memory.store_words(at, (entry & 0xFFFF_FFFF, entry >> 32))


def frames(space: AddressSpace) -> list[int]:
    return [each.frame for each in space.tables()]


def test_a_page_is_where_its_entry_says(memory: ByteMemory) -> None:
    map_page(memory, 0x8040_3000, 0x7000 | P | W)
    space = AddressSpace(memory, DIRECTORY)
    assert space.translate(0x8040_3ABC) == 0x7ABC
    assert space.translate(0x8040_2FFF) is None
    assert space.translate(0x8040_4000) is None
    assert space.translate(0x3000) is None
    assert space.is_paged
    assert space.page_directory == DIRECTORY


def test_bits_of_cr3_below_the_address_mean_nothing(memory: ByteMemory) -> None:
    map_page(memory, 0, 0x7000 | P)
    assert AddressSpace(memory, DIRECTORY | 0x18).translate(0) == 0x7000


def test_a_change_in_memory_is_seen_at_once(memory: ByteMemory) -> None:
    space = AddressSpace(memory, DIRECTORY)
    assert space.translate(0) is None
    map_page(memory, 0, 0x7000 | P)
    assert space.translate(0) == 0x7000
    map_page(memory, 0, 0x7000)
    assert space.translate(0) is None


def test_rights_are_those_that_both_levels_grant(memory: ByteMemory) -> None:
    space = AddressSpace(memory, DIRECTORY)
    for directory in (0, W, U, W | U):
        for page in (0, W, U, W | U):
            map_page(memory, 0, 0x7000 | P | page, rights=directory)
            mapping = space.mapping(0xFFF)
            assert mapping is not None
            assert (mapping.writable, mapping.user) == (
                bool(directory & page & W),
                bool(directory & page & U),
            )
            (only,) = space.ranges()
            assert (only.writable, only.user) == mapping[3:5]


def test_a_mapping_says_all_that_its_entry_says(memory: ByteMemory) -> None:
    map_page(memory, 0x8040_3000, 0x7000 | P | W | U | A | D | G)
    mapping = AddressSpace(memory, DIRECTORY).mapping(0x8040_3123)
    assert mapping is not None
    assert mapping._asdict() == {
        "linear": 0x8040_3000,
        "physical": 0x7000,
        "size": PAGE,
        "writable": True,
        "user": True,
        "no_execute": False,
        "accessed": True,
        "dirty": True,
        "is_global": True,
        "entry_at": TABLE + 12,
        "entry": 0x7000 | P | W | U | A | D | G,
    }
    map_page(memory, 0x8040_3000, 0x7000 | P)
    mapping = AddressSpace(memory, DIRECTORY).mapping(0x8040_3123)
    assert mapping is not None
    assert not any(mapping[3:9])
    assert AddressSpace(memory, DIRECTORY).mapping(0x8040_4000) is None


def test_a_large_page_is_one_mapping(memory: ByteMemory) -> None:
    entry = 0xC0_0000 | P | U | PS | A
    memory.store_u32(DIRECTORY + 4, entry)
    space = AddressSpace(memory, DIRECTORY)
    mapping = space.mapping(0x40_5678)
    assert mapping is not None
    assert (mapping.linear, mapping.physical, mapping.size) == (0x40_0000, 0xC0_0000, LARGE_PAGE)
    assert (mapping.writable, mapping.user, mapping.accessed, mapping.dirty) == (False, True, True, False)
    assert (mapping.entry_at, mapping.entry) == (DIRECTORY + 4, entry)
    assert space.translate(0x40_5678) == 0xC0_5678
    assert [*space.ranges()] == [
        MappedRange(0x40_0000, 0x80_0000, 0xC0_0000, writable=False, user=True, page_size=LARGE_PAGE)
    ]
    assert frames(space) == [DIRECTORY]


def test_without_pse_bit_7_means_nothing(memory: ByteMemory) -> None:
    memory.store_u32(DIRECTORY, TABLE | PS | P)
    memory.store_u32(TABLE, 0x7000 | P)
    assert AddressSpace(memory, DIRECTORY, pse=False).translate(5) == 0x7005
    assert AddressSpace(memory, DIRECTORY).translate(5) == (1 << 32) + 5  # bit 13 of TABLE


def test_a_large_page_may_lie_above_4_gib_and_is_marked(memory: ByteMemory) -> None:
    entry = P | PS | 1 << 13  # bit 13 is bit 32 of the address
    memory.store_u32(DIRECTORY, entry)
    space = AddressSpace(memory, DIRECTORY)
    assert space.translate(0x123) == (1 << 32) + 0x123
    assert [*space.problems()] == [BadEntry(0, LARGE_PAGE, DIRECTORY, entry, Problem.ABOVE_4_GIB)]


def test_a_reserved_bit_of_a_large_page_maps_nothing(memory: ByteMemory) -> None:
    entry = 0xC0_0000 | P | PS | 1 << 21
    memory.store_u32(DIRECTORY + 8, entry)
    space = AddressSpace(memory, DIRECTORY)
    assert space.translate(0x80_0000) is None
    assert space.mapping(0x80_0000) is None
    assert [*space.ranges()] == []
    assert [*space.problems()] == [BadEntry(0x80_0000, 0xC0_0000, DIRECTORY + 8, entry, Problem.RESERVED)]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (SIZE, Problem.OUTSIDE),
        (0xFFFF_F000, Problem.OUTSIDE),
        (0x9000, Problem.NOT_RAM),
        (0xA000, None),
    ],
)
def test_a_table_that_is_no_ram_is_named_and_not_followed(
    memory: ByteMemory, table: int, problem: Problem | None
) -> None:
    ram = ((0, 0x9000), (0xA000, SIZE))
    memory.write(0x9000, b"\xff" * 2 * PAGE)
    memory.store_u32(DIRECTORY + 4, table | P)
    space = AddressSpace(memory, DIRECTORY, ram=ram)
    bad = [*space.problems()]
    if problem is None:
        assert bad == []
        assert space.translate(0x40_0000) == 0xFFFF_F000
        assert frames(space) == [DIRECTORY, table]
    else:
        assert bad == [BadEntry(0x40_0000, 0x80_0000, DIRECTORY + 4, table | P, problem)]
        assert space.translate(0x40_0000) is None
        assert frames(space) == [DIRECTORY]
        assert [*space.ranges()] == []


@pytest.mark.parametrize(("directory", "problem"), [(SIZE, Problem.OUTSIDE), (0x9000, Problem.NOT_RAM)])
def test_a_directory_that_is_no_ram_maps_nothing(
    memory: ByteMemory, directory: int, problem: Problem
) -> None:
    space = AddressSpace(memory, directory, ram=((0, 0x9000),))
    assert space.translate(0) is None
    assert space.mapping(0) is None
    assert [*space.ranges()] == []
    assert [*space.problems()] == [BadEntry(0, LARGE_PAGE, directory, 0, problem)]


def test_a_directory_mapped_as_a_table_is_followed_once_and_named(memory: ByteMemory) -> None:
    map_page(memory, 0, 0x7000 | P)
    memory.store_u32(DIRECTORY + 4 * 1023, DIRECTORY | P | W)
    space = AddressSpace(memory, DIRECTORY)
    assert space.recursive() == [0xFFC0_0000]
    assert space.translate(0xFFFF_F000) == DIRECTORY
    assert space.translate(0xFFC0_0000) == TABLE
    assert frames(space) == [DIRECTORY, TABLE]
    assert [*space.problems()] == []


def test_neighbours_of_one_kind_are_one_range(memory: ByteMemory) -> None:
    entries = {0: 0x5000 | P, 1: 0x6000 | P, 2: 0x4000 | P, 3: 0x5000 | P | W, 5: 0x6000 | P | W | U}
    for page, entry in entries.items():
        map_page(memory, page * PAGE, entry)
    space = AddressSpace(memory, DIRECTORY)
    assert [*space.ranges()] == [
        MappedRange(0, 0x3000, None, writable=False, user=False),
        MappedRange(0x3000, 0x4000, 0x5000, writable=True, user=False),
        MappedRange(0x5000, 0x6000, 0x6000, writable=True, user=True),
    ]
    assert [(each.start, each.end, each.physical) for each in space.ranges(contiguous=True)] == [
        (0, 0x2000, 0x5000),
        (0x2000, 0x3000, 0x4000),
        (0x3000, 0x4000, 0x5000),
        (0x5000, 0x6000, 0x6000),
    ]


def test_ranges_go_on_from_one_table_to_the_next(memory: ByteMemory) -> None:
    map_page(memory, 0x3F_F000, 0x5000 | P | W)
    map_page(memory, 0x40_0000, 0x6000 | P | W, table=SECOND_TABLE)
    map_page(memory, 0x80_0000, 0x7000 | P | W, table=0x4000, rights=U)
    space = AddressSpace(memory, DIRECTORY)
    assert [*space.ranges()] == [
        MappedRange(0x3F_F000, 0x40_1000, 0x5000, writable=True, user=False),
        MappedRange(0x80_0000, 0x80_1000, 0x7000, writable=False, user=False),
    ]
    assert [each.permission for each in space.ranges()] == ["s rw", "s r-"]
    assert frames(space) == [DIRECTORY, TABLE, SECOND_TABLE, 0x4000]


def test_one_table_may_serve_twice(memory: ByteMemory) -> None:
    map_page(memory, 0, 0x7000 | P | U)
    map_page(memory, 0x8000_0000, 0x7000 | P | U)
    space = AddressSpace(memory, DIRECTORY)
    assert [each.start for each in space.ranges()] == [0, 0x8000_0000]
    assert frames(space) == [DIRECTORY, TABLE]
    assert [each.permission for each in space.ranges()] == ["u r-", "u r-"]


def test_many_are_translated_as_one_is(memory: ByteMemory) -> None:
    map_page(memory, 0x1000, 0x7000 | P)
    memory.store_u32(DIRECTORY + 4, 0xC0_0000 | P | PS)
    space = AddressSpace(memory, DIRECTORY)
    addresses = [0x1FFF, 0x40_1234, 0, 0x1000, 0xFFFF_FFFF, 0x1FFF]
    assert space.translate_all(iter(addresses)) == [0x7FFF, 0xC0_1234, None, 0x7000, None, 0x7FFF]
    assert space.translate_all(addresses) == [space.translate(each) for each in addresses]


@pytest.mark.parametrize("directory", [None, DIRECTORY])
@pytest.mark.parametrize("linear", [-1, LINEAR_END])
def test_what_is_no_linear_address_is_refused(memory: ByteMemory, directory: int | None, linear: int) -> None:
    space = AddressSpace(memory, directory)
    with pytest.raises(ValueError, match=rf"^0x{linear:x} is no linear address$"):
        space.translate(linear)
    with pytest.raises(ValueError, match="is no linear address"):
        space.mapping(linear)


def test_without_paging_every_address_is_itself(memory: ByteMemory) -> None:
    space = AddressSpace(memory, None)
    assert not space.is_paged
    assert space.page_directory is None
    assert space.translate_all([0, 0x1234, 0xFFFF_FFFF]) == [0, 0x1234, 0xFFFF_FFFF]
    assert [*space.ranges()] == [MappedRange(0, LINEAR_END, 0, writable=True, user=True)]
    mapping = space.mapping(0x1234)
    assert mapping is not None
    assert (mapping.linear, mapping.physical, mapping.size) == (0x1000, 0x1000, PAGE)
    assert ([*space.tables()], [*space.slots()], space.recursive(), [*space.problems()]) == ([], [], [], [])
    assert [*space.mappings()] == []


def pae(memory: ByteMemory, *, top: int = 0x1020) -> None:
    """The third entry of the first level, a table's page at 0x8000_1000 and a large one at 0x8020_0000."""
    store_u64(memory, top + 16, 0x2000 | P)
    store_u64(memory, 0x2000, 0x3000 | P | W | U)
    store_u64(memory, 0x2008, 0x40_0000 | P | U | PS)
    store_u64(memory, 0x3008, 0x7000 | P | W)


def test_three_levels(memory: ByteMemory) -> None:
    pae(memory)
    space = AddressSpace(memory, 0x1020, pae=True)
    assert space.page_directory == 0x1020
    assert space.translate_all([0x8000_1234, 0x8000_0000, 0x8030_0001, 0x1000, 0xC000_1000]) == [
        0x7234,
        None,
        0x50_0001,
        None,
        None,
    ]
    assert [*space.ranges()] == [
        MappedRange(0x8000_1000, 0x8000_2000, 0x7000, writable=True, user=False),
        MappedRange(0x8020_0000, 0x8040_0000, 0x40_0000, writable=False, user=True, page_size=PAE_PAGE),
    ]
    assert frames(space) == [0x1000, 0x2000, 0x3000]
    mapping = space.mapping(0x8000_1FFF)
    assert mapping is not None
    assert mapping.entry_at == 0x3008
    large = space.mapping(0x8020_0000)
    assert large is not None
    assert (large.size, large.entry_at) == (PAE_PAGE, 0x2008)
    assert [*space.problems()] == []


@pytest.mark.parametrize("at", [0x2000, 0x3008, 0x2008])
def test_a_level_may_forbid_execution(memory: ByteMemory, at: int) -> None:
    pae(memory)
    low, high = memory.load_words(at, 2)
    store_u64(memory, at, low | high << 32 | NX)
    linear = 0x8020_0000 if at == 0x2008 else 0x8000_1000
    space = AddressSpace(memory, 0x1020, pae=True, nx=True)
    mapping = space.mapping(linear)
    assert mapping is not None
    assert mapping.no_execute
    (found,) = [each for each in space.ranges() if each.start == linear]
    assert found.permission == ("u r- nx" if at == 0x2008 else "s rw nx")
    without = AddressSpace(memory, 0x1020, pae=True)
    assert without.translate(linear) is None
    assert [(each.entry_at, each.problem) for each in without.problems()] == [(at, Problem.RESERVED)]


@pytest.mark.parametrize(
    ("at", "bit", "start", "size"),
    [
        (0x1030, NX, 0x8000_0000, PAE_PAGE),
        (0x1030, 1 << 40, 0x8000_0000, PAE_PAGE),
        (0x2000, 1 << 62, 0x8000_0000, PAE_PAGE),
        (0x2008, 1 << 13, 0x8020_0000, PAE_PAGE),
        (0x3008, 1 << 40, 0x8000_1000, PAGE),
    ],
)
def test_reserved_bits_of_three_levels(memory: ByteMemory, at: int, bit: int, start: int, size: int) -> None:
    pae(memory)
    low, high = memory.load_words(at, 2)
    entry = low | high << 32 | bit
    store_u64(memory, at, entry)
    space = AddressSpace(memory, 0x1020, pae=True, nx=True)
    assert [*space.problems()] == [BadEntry(start, start + size, at, entry, Problem.RESERVED)]
    assert space.mapping(start) is None
    assert all(not each.start <= start < each.end for each in space.ranges())


@pytest.mark.parametrize(("top", "directory"), [(0x1020, SIZE), (SIZE + 0x20, 0x2000)])
def test_levels_outside_memory(memory: ByteMemory, top: int, directory: int) -> None:
    store_u64(memory, 0x1020 + 16, directory | P)
    space = AddressSpace(memory, top, pae=True)
    assert {each.problem for each in space.problems()} == {Problem.OUTSIDE}
    assert space.translate(0x8000_0000) is None
    assert [*space.ranges()] == []


def test_a_directory_of_three_levels_may_be_mapped_as_a_table(memory: ByteMemory) -> None:
    pae(memory)
    store_u64(memory, 0x2FF8, 0x2000 | P | W)
    assert AddressSpace(memory, 0x1020, pae=True).recursive() == [0xBFE0_0000]


def test_a_reserved_bit_ends_a_range(memory: ByteMemory) -> None:
    pae(memory)
    store_u64(memory, 0x3010, 0x8000 | P | W | 1 << 40)
    store_u64(memory, 0x3018, 0x9000 | P | W)
    starts = [(each.start, each.end) for each in AddressSpace(memory, 0x1020, pae=True).ranges()]
    assert starts[:2] == [(0x8000_1000, 0x8000_2000), (0x8000_3000, 0x8000_4000)]


def test_tables_say_where_they_begin(memory: ByteMemory) -> None:
    pae(memory)
    space = AddressSpace(memory, 0x1020, pae=True)
    assert [*space.tables()] == [(0x1000, None), (0x2000, None), (0x3000, 0x8000_0000)]


def test_mappings_are_those_of_each_page(memory: ByteMemory) -> None:
    map_page(memory, 0x1000, 0x7000 | P)
    map_page(memory, 0x2000, 0x8000 | P | W)
    map_page(memory, 0x3F_F000, 0x9000 | P)
    memory.store_u32(DIRECTORY + 4, 0xC0_0000 | P | PS)
    space = AddressSpace(memory, DIRECTORY)
    assert [each.linear for each in space.mappings()] == [0x1000, 0x2000, 0x3F_F000, 0x40_0000]
    assert all(each == space.mapping(each.linear) for each in space.mappings())
    for start, end in ((0x1FFF, 0x2001), (0x2000, 0x2001), (0x2000, 0x3F_F000), (0x3F_FFFF, 0x40_0000)):
        inside = [each for each in space.mappings() if each.linear < end and start < each.linear + each.size]
        assert [*space.mappings(start, end)] == inside
    assert [each.linear for each in space.mappings(0x7F_F000, 0x80_0000)] == [0x40_0000]
    assert [*space.mappings(0x80_0000)] == []
