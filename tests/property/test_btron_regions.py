"""Random calls of BTRON/386's address spaces, in lockstep: C code and models leave the same bytes after each of them.

What the calls mean is foretold by an oracle that knows regions, pages with owners, and tables, but no addresses of memory. Pages
run out all the time. When all spaces are gone, every page is as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emulator.hle.layers import Mode, attach_layers, lockstep_calls
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH, FirmwareSubject, Guest
from tests.conformance.btron.user_space import (
    BUFFER,
    E_MACV,
    E_NOEXS,
    E_NOMEM,
    E_OBJ,
    E_OK,
    E_PAR,
    EXEC,
    READ,
    STACK,
    USER,
    WRITE,
    entries,
    pages_of,
    tables,
)

if TYPE_CHECKING:
    from emulator.machine.core.snapshots import Snapshot

TASKS: Final = (3, 4, 5)
FIRST: Final = 0x003F_D000
"""Pages are numbered from here; number 3 is the first of the second table."""

PAGES: Final = 9
FREE: Final = 12
"""Pages of RAM: too few for all that is asked for."""

numbers = st.integers(0, PAGES - 1)
counts = st.integers(1, 4)
offsets = st.sampled_from([0, 0, 0, 1, PAGE - 1])
permissions = st.sampled_from(
    [READ | WRITE | USER, READ | WRITE | EXEC | STACK, READ | EXEC | USER, READ | WRITE | STACK, READ]
)
tasks = st.sampled_from(TASKS)


@dataclass(eq=False)
class Page:
    """A page of memory: who maps it, and its first byte."""

    owners: int = 1
    byte: int = 0


@dataclass
class Region:
    """A region, in numbers of pages."""

    start: int
    count: int
    permission: int
    pages: dict[int, Page] = field(default_factory=dict)
    writable: set[int] = field(default_factory=set)

    @property
    def numbers(self) -> range:
        return range(self.start, self.start + self.count)


@dataclass
class Space:
    """What a task has."""

    slots: list[Region | None] = field(default_factory=lambda: [None] * 8)

    def at(self, number: int) -> Region | None:
        return next((each for each in self.slots if each and number in each.numbers), None)

    def mapped(self) -> dict[int, Page]:
        return {number: page for each in self.slots if each for number, page in each.pages.items()}

    def tables(self) -> set[int]:
        return {FIRST + number * PAGE >> 22 for number in self.mapped()}


@cache
def booted() -> Machine:
    """Return the C code with the models beside it."""
    machine = Machine(KernelImage.read(builtin.resolve("firmware:btron_demo")))
    machine.run()
    attach_layers(machine, {"regions": Mode.LOCKSTEP})
    return machine


@cache
def at_start() -> Snapshot:
    return booted().snapshot()


def address(number: int, offset: int = 0) -> int:
    return FIRST + number * PAGE + offset


class RegionMachine(RuleBasedStateMachine):
    """The oracle is in `spaces`, by task; it counts free pages by what it knows is in use."""

    @initialize()
    def boot(self) -> None:
        at_start().reset()
        self.guest = Guest(FirmwareSubject(booted()))
        self.guest.boot(FREE)
        self.before = self.guest.pages()
        self.spaces: dict[int, Space] = {}
        self.byte = 0
        for task in TASKS:
            self.make_space(task)
        for task, number, permission in ((3, 0, READ | WRITE | USER), (4, 4, READ | WRITE | EXEC | STACK)):
            self.create(task, number, 4, 0, permission)

    def free(self) -> int:
        pages = {page for space in self.spaces.values() for page in space.mapped().values()}
        return FREE - len(pages) - sum(1 + len(space.tables()) for space in self.spaces.values())

    def number(self, data: st.DataObject, task: int) -> int:
        """Draw the number of a page, most often one in a region."""
        return self.span(data, task)[0]

    def span(self, data: st.DataObject, task: int) -> tuple[int, int]:
        """Draw the number of a page and a count of pages, most often in one region."""
        regions = [each for each in self.spaces[task].slots if each] if task in self.spaces else []
        if not regions or data.draw(st.integers(0, 9), "outside") == 9:
            return data.draw(numbers, "number"), data.draw(counts, "count")
        region = data.draw(st.sampled_from(regions), "region")
        number = data.draw(st.integers(region.start, region.numbers.stop - 1), "number")
        return number, data.draw(st.integers(1, region.numbers.stop - number), "count")

    def call(self, expected: int, name: str, *arguments: int) -> bool:
        """Make a call whose result is known; return whether it succeeds."""
        assert self.guest.er(name, *arguments) == expected
        return expected == E_OK

    @rule(task=tasks)
    def make_space(self, task: int) -> None:
        if task in self.spaces:
            self.call(E_OBJ, "space_create", task)
        elif self.call(E_OK if self.free() else E_NOMEM, "space_create", task):
            self.spaces[task] = Space()
            self.guest.set_tcb(task, "state", 1)

    @rule(task=tasks, name=st.sampled_from(["space_delete", "space_clear"]), often=st.integers(0, 4))
    def end_some_space(self, task: int, name: str, often: int) -> None:
        assume(often == 4)
        self.end_space(task, name)

    def end_space(self, task: int, name: str) -> None:
        self.guest.call(name, task)
        for region in self.spaces[task].slots if task in self.spaces else ():
            self.drop(region)
        if name == "space_clear" and task in self.spaces:
            self.spaces[task] = Space()
        elif self.spaces.pop(task, None):
            self.guest.set_tcb(task, "state", 0)

    def drop(self, region: Region | None) -> None:
        for page in region.pages.values() if region else ():
            page.owners -= 1

    def enter(self, task: int, region: Region) -> int:
        """Return what a new region leads to."""
        if task not in self.spaces:
            return E_NOEXS
        space = self.spaces[task]
        if any(space.at(number) for number in region.numbers):
            return E_OBJ
        return E_OK if None in space.slots else E_NOMEM

    @rule(task=tasks, number=numbers, count=counts, offset=offsets, permission=permissions)
    def create(self, task: int, number: int, count: int, offset: int, permission: int) -> None:
        region = Region(number, count, permission)
        size = count * PAGE - offset
        if self.call(
            self.enter(task, region), "vcre_reg", task, address(number, offset), 1, size, permission, 0
        ):
            slots = self.spaces[task].slots
            slots[slots.index(None)] = region

    def found(self, task: int, number: int) -> tuple[int, Region | None]:
        """Return the result of looking for a region, and the region."""
        if task not in self.spaces:
            return E_NOEXS, None
        region = self.spaces[task].at(number)
        return (E_OK if region else E_PAR), region

    @rule(task=tasks, data=st.data(), offset=offsets)
    def delete(self, task: int, data: st.DataObject, offset: int) -> None:
        number = self.number(data, task)
        expected, region = self.found(task, number)
        if self.call(expected, "vdel_reg", task, address(number, offset)) and region:
            self.drop(region)
            slots = self.spaces[task].slots
            slots[slots.index(region)] = None

    def found_range(self, task: int, number: int, count: int) -> tuple[int, Region | None]:
        expected, region = self.found(task, number)
        return (E_PAR, None) if region and number + count > region.numbers.stop else (expected, region)

    def map_result(self, task: int, region: Region, wanted: range, access: int) -> int:
        if access & ~region.permission:
            return E_PAR
        if any(each in region.pages for each in wanted):
            return E_OBJ
        tables = {address(each) >> 22 for each in wanted} - self.spaces[task].tables()
        return E_OK if self.free() >= len(wanted) + len(tables) else E_NOMEM

    @rule(task=tasks, data=st.data(), offset=offsets, access=permissions, other=st.integers(0, 4))
    def map(self, task: int, data: st.DataObject, offset: int, access: int, other: int) -> None:
        number, count = self.span(data, task)
        expected, region = self.found_range(task, number, count)
        if region:
            access = access if other == 4 else region.permission
            expected = self.map_result(task, region, range(number, number + count), access)
        size = count * PAGE - 2 * offset if offset < PAGE // 2 else (count - 1) * PAGE + 1
        if self.call(expected, "vmap_reg", task, address(number, offset), size, access) and region:
            for each in range(number, number + count):
                region.pages[each] = Page()
                region.writable |= {each} if access & WRITE else set()

    @rule(task=tasks, data=st.data())
    def unmap(self, task: int, data: st.DataObject) -> None:
        number, count = self.span(data, task)
        expected, region = self.found_range(task, number, count)
        gone = range(number, number + count)
        if region and not all(each in region.pages for each in gone):
            expected = E_OBJ
        if self.call(expected, "vunm_reg", task, address(number), count * PAGE) and region:
            for each in gone:
                region.pages.pop(each).owners -= 1
            region.writable -= set(gone)

    @rule(source=tasks, receiver=tasks, data=st.data())
    def share(self, source: int, receiver: int, data: st.DataObject) -> None:
        number = self.number(data, source)
        expected, region = self.found(source, number)
        if source == receiver:
            expected = E_PAR
        elif receiver not in self.spaces:
            expected = E_NOEXS
        if expected != E_OK or not region:
            self.call(expected, "vshr_reg", source, receiver, address(number))
            return
        permission = region.permission & ~WRITE if region.permission & EXEC else region.permission
        shared = Region(region.start, region.count, permission, dict(region.pages))
        shared.writable = set(region.writable) if permission & WRITE else set()
        expected = self.enter(receiver, shared)
        new_tables = {address(each) >> 22 for each in shared.pages} - self.spaces[receiver].tables()
        if expected == E_OK and len(new_tables) > self.free():
            expected = E_NOMEM
        if self.call(expected, "vshr_reg", source, receiver, address(number)):
            slots = self.spaces[receiver].slots
            slots[slots.index(None)] = shared
            for page in shared.pages.values():
                page.owners += 1

    @rule(task=tasks, data=st.data(), permission=permissions)
    def protect(self, task: int, data: st.DataObject, permission: int) -> None:
        number = self.number(data, task)
        expected, region = self.found(task, number)
        if self.call(expected, "vprt_reg", task, address(number), permission) and region:
            region.permission = permission
            region.writable = set(region.pages) if permission & WRITE else set()

    @rule(task=tasks, data=st.data(), offset=offsets)
    def grow(self, task: int, data: st.DataObject, offset: int) -> None:
        number = self.number(data, task)
        _, region = self.found(task, number)
        expected = E_PAR
        if region and region.permission & STACK and number not in region.pages:
            table_is_missing = address(number) >> 22 not in self.spaces[task].tables()
            expected = E_OK if self.free() >= 1 + table_is_missing else E_NOMEM
        if self.call(expected, "region_grow", task, address(number, offset)) and region:
            region.pages[number] = Page()
            region.writable |= {number} if region.permission & WRITE else set()

    @rule(task=tasks, data=st.data())
    def put(self, task: int, data: st.DataObject) -> None:
        """Write the last byte of each page before, and the first byte of each page."""
        number, count = self.span(data, task)
        assume(task in self.spaces)
        space = self.spaces[task]
        wanted = range(number, number + count)
        writable = {each for region in space.slots if region for each in region.writable}
        expected = E_OK if writable >= set(wanted) else E_MACV
        source = SCRATCH + PAGE
        self.byte = self.byte % 255 + 1
        self.guest.memory.write(source - KERNEL, bytes((self.byte,)) * count * PAGE)
        if self.call(expected, "vput_reg", task, address(number), (count - 1) * PAGE + 1, source):
            for each in wanted:
                space.mapped()[each].byte = self.byte

    @rule(task=tasks, data=st.data())
    def get(self, task: int, data: st.DataObject) -> None:
        number = self.number(data, task)
        page = self.spaces[task].mapped().get(number) if task in self.spaces else None
        expected = E_NOEXS if task not in self.spaces else E_OK if page else E_MACV
        if self.call(expected, "vget_reg", task, address(number), 1, BUFFER) and page:
            assert self.guest.memory.load_u8(BUFFER - KERNEL) == page.byte

    @invariant()
    def spaces_are_the_oracle(self) -> None:
        assert self.guest.call("pmem_free_pages") == self.free()
        frames: dict[int, Page] = {}
        for task, space in self.spaces.items():
            found = entries(self.guest, task)
            mapped = space.mapped()
            assert sorted(found) == sorted(map(address, mapped))
            assert set(tables(self.guest, task)) == space.tables()
            writable = {address(each) for region in space.slots if region for each in region.writable}
            assert {each for each, word in found.items() if word & WRITE} == writable
            for frame, (_, page) in zip(pages_of(self.guest, task), sorted(mapped.items()), strict=True):
                assert frames.setdefault(frame, page) is page
                assert self.guest.page(frame) == (1, page.owners)
            words = self.guest.space(task)
            for slot, region in enumerate(space.slots):
                size = len(region.pages) * PAGE if region else None
                assert words.get(f"size{slot}") == size
        assert len(set(map(id, frames.values()))) == len(frames)

    def teardown(self) -> None:
        for task in list(self.spaces):
            self.end_space(task, "space_delete")
        assert self.guest.pages() == self.before
        assert set(self.guest.memory.read(self.guest.symbols["space_table"], 33 * 196)) == {0}
        calls = lockstep_calls(booted())
        assert calls is not None
        assert calls.given_up == 0


TestRegions = RegionMachine.TestCase
TestRegions.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
