"""Pages and bytes of BTRON/386 under random calls: the models against the naive way, and what damage may never do."""

from __future__ import annotations

from typing import Final

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.conformance.btron.subjects import KERNEL, PAGE, RAM_END, WINDOW, Guest, ModelSubject

E_OK, E_PAR = 0, -33
FIRST = WINDOW // PAGE
BASE = KERNEL + WINDOW
PAGES: Final = 40
HOLE: Final = range(17, 19)
"""Pages of the window that are no RAM."""

UNIT: Final = 8


def fresh() -> Guest:
    guest = Guest(ModelSubject())
    ranges = [(WINDOW, WINDOW + PAGE * HOLE.start), (WINDOW + PAGE * HOLE.stop, WINDOW + PAGE * PAGES)]
    guest.boot_map(ranges, [])
    assert guest.er("pmem_init") == E_OK
    assert guest.er("kmem_init") == E_OK
    return guest


def lowest_run(free: list[bool], count: int) -> int | None:
    """Return where the lowest run of *count* free items begins, by trying all positions."""
    return next((i for i in range(len(free) - count + 1) if all(free[i : i + count])), None)


class PageMachine(RuleBasedStateMachine):
    """The oracle is one number for each page: its owners, or None for a hole."""

    @initialize()
    def boot(self) -> None:
        self.guest = fresh()
        self.owners: list[int | None] = [None if page in HOLE else 0 for page in range(PAGES)]

    @rule(size=st.one_of(st.integers(-1, 5 * PAGE), st.integers(0, 45 * PAGE)))
    def alloc(self, size: int) -> None:
        count = -(-size // PAGE)
        first = lowest_run([owners == 0 for owners in self.owners], count) if size > 0 else None
        assert self.guest.call("pmem_alloc", size) == (0 if first is None else BASE + PAGE * first)
        if first is not None:
            self.owners[first : first + count] = [1] * count

    @rule(
        name=st.sampled_from(["pmem_free", "pmem_share"]),
        first=st.integers(0, PAGES),
        size=st.integers(0, 9 * PAGE),
    )
    def free_or_share(self, name: str, first: int, size: int) -> None:
        pages = range(first, first + -(-size // PAGE))
        valid = size > 0 and pages.stop <= PAGES and all(self.owners[page] for page in pages)
        assert self.guest.er(name, BASE + PAGE * first, size) == (E_OK if valid else E_PAR)
        for page in pages if valid else ():
            self.owners[page] = (self.owners[page] or 0) + (1 if name == "pmem_share" else -1)

    @invariant()
    def the_table_is_the_oracle(self) -> None:
        table = [self.guest.page(FIRST + page) for page in range(PAGES)]
        assert table == [(2, 0) if owners is None else (int(owners > 0), owners) for owners in self.owners]
        assert self.guest.call("pmem_free_pages") == self.owners.count(0)


class ByteMachine(RuleBasedStateMachine):
    """The oracle is a set of free units of 8 bytes and a set of owned pages; an area is a maximal run of free units."""

    @initialize()
    def boot(self) -> None:
        self.guest = fresh()
        self.page_free = [page not in HOLE for page in range(PAGES)]
        self.foreign: list[tuple[int, int]] = []
        self.owned: set[int] = set()
        self.free_units: set[int] = set()
        self.live: dict[int, tuple[int, bytes]] = {}
        self.fill = 0

    def areas(self) -> list[tuple[int, int]]:
        """Return start and size of the maximal runs of free units."""
        areas: list[tuple[int, int]] = []
        for unit in sorted(self.free_units):
            if areas and sum(areas[-1]) == unit:
                areas[-1] = (areas[-1][0], areas[-1][1] + 1)
            else:
                areas.append((unit, 1))
        return [(BASE + UNIT * start, UNIT * size) for start, size in areas]

    def expected_alloc(self, size: int) -> int:
        wanted = -(-size // UNIT) * UNIT
        for _ in range(2):
            for start, room in self.areas():
                if room >= wanted:
                    return start + room - wanted
            pages = -(-max(40960, wanted) // PAGE)
            first = lowest_run(self.page_free, pages)
            if first is None:
                return 0
            self.page_free[first : first + pages] = [False] * pages
            self.owned |= set(range(first, first + pages))
            self.free_units |= set(range(first * PAGE // UNIT, (first + pages) * PAGE // UNIT))
        raise AssertionError

    @rule(size=st.one_of(st.integers(1, 100), st.integers(1, 3000), st.integers(1, 60000)))
    def alloc(self, size: int) -> None:
        expected = self.expected_alloc(size)
        address = self.guest.call("kmem_alloc", size)
        assert address == expected
        if address:
            self.free_units -= self.units(address, size)
            self.fill = self.fill + 1 & 0xFF
            body = bytes((self.fill,)) * size
            self.guest.memory.write(address - KERNEL, body)
            self.live[address] = (size, body)

    def units(self, address: int, size: int) -> set[int]:
        first = (address - BASE) // UNIT
        return set(range(first, first + -(-size // UNIT)))

    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        assume(self.live)
        address = data.draw(st.sampled_from(sorted(self.live)))
        size, body = self.live.pop(address)
        assert self.guest.memory.read(address - KERNEL, size) == body
        assert self.guest.er("kmem_free", address, size) == E_OK
        self.free_units |= self.units(address, size)

    @rule(data=st.data(), size=st.integers(-8, 5000), shift=st.integers(-16, 5000))
    def free_what_is_not_allocated(self, data: st.DataObject, size: int, shift: int) -> None:
        near = data.draw(st.sampled_from([BASE, *(start for start, _ in self.areas())]))
        address = near + shift
        units = self.units(address, size)
        pages = {unit * UNIT // PAGE for unit in units}
        assume(size <= 0 or address % UNIT or units & self.free_units or not pages <= self.owned)
        before = self.guest.state()
        assert self.guest.er("kmem_free", address, size) == E_PAR
        assert self.guest.state() == before

    @rule(count=st.integers(1, 8))
    def somebody_takes_pages(self, count: int) -> None:
        first = lowest_run(self.page_free, count)
        assert self.guest.call("pmem_alloc", PAGE * count) == (0 if first is None else BASE + PAGE * first)
        if first is not None:
            self.page_free[first : first + count] = [False] * count
            self.foreign.append((first, count))

    @rule(data=st.data())
    def somebody_gives_pages_back(self, data: st.DataObject) -> None:
        assume(self.foreign)
        first, count = self.foreign.pop(data.draw(st.integers(0, len(self.foreign) - 1)))
        assert self.guest.er("pmem_free", BASE + PAGE * first, PAGE * count) == E_OK
        self.page_free[first : first + count] = [True] * count

    @invariant()
    def the_list_is_the_oracle(self) -> None:
        assert self.guest.free_list() == self.areas()

    @invariant()
    def extents_are_the_owned_pages(self) -> None:
        extents = self.guest.extents()
        pages = {
            page
            for start, size in extents
            for page in range((start - BASE) // PAGE, (start - BASE + size) // PAGE)
        }
        assert pages == self.owned
        ends = [start + size for start, size in extents]
        assert all(end < start for end, (start, _) in zip(ends, extents[1:], strict=False))

    @invariant()
    def bytes_are_conserved_and_nobody_overlaps(self) -> None:
        taken = [self.units(address, size) for address, (size, _) in self.live.items()]
        assert sum(map(len, taken)) + len(self.free_units) == len(self.owned) * PAGE // UNIT
        assert not set().union(*taken) & self.free_units
        for address, (size, body) in self.live.items():
            assert self.guest.memory.read(address - KERNEL, size) == body


TestPages = PageMachine.TestCase
TestPages.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestBytes = ByteMachine.TestCase
TestBytes.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

UNITS = 96
LIKELY_WORDS = st.one_of(
    st.sampled_from([0, 1, 4, 8, 16, 24, 40960, 0xFFFFFFF8, 0xFFFFFFFF]),
    st.integers(0, UNITS).map(lambda unit: BASE + UNIT * unit),
    st.integers(0, 0xFFFFFFFF),
)


@settings(max_examples=200, deadline=None)
@given(
    overruns=st.lists(st.tuples(st.integers(0, 2 * UNITS), LIKELY_WORDS), min_size=1, max_size=12),
    calls=st.lists(
        st.tuples(st.booleans(), st.integers(0, UNITS), st.integers(1, 200)), min_size=1, max_size=10
    ),
)
def test_a_broken_list_ends_every_call_and_keeps_to_itself(
    overruns: list[tuple[int, int]], calls: list[tuple[bool, int, int]]
) -> None:
    guest = fresh()
    assert guest.call("kmem_alloc", 40960) == BASE
    for unit in range(0, UNITS, 6):
        assert guest.er("kmem_free", BASE + UNIT * unit, 24) == E_OK
    for index, word in overruns:
        guest.poke(BASE + 4 * index, word)
    after = guest.memory.read(WINDOW + PAGE * PAGES, RAM_END - WINDOW - PAGE * PAGES)
    for allocates, unit, size in calls:
        if allocates:
            address = guest.call("kmem_alloc", size)
            assert address == 0 or BASE <= address <= BASE + PAGE * PAGES - size
        else:
            assert guest.er("kmem_free", BASE + UNIT * unit, size) in {E_OK, E_PAR}
    assert guest.memory.read(WINDOW + PAGE * PAGES, RAM_END - WINDOW - PAGE * PAGES) == after
