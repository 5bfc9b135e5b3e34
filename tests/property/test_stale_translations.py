"""A TLB in a few lines of Python against the core: random changes of page tables, and accesses with and without `invlpg`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emulator.machine.machine import Machine
from tests.helpers.guest import FUNCTION, assemble
from tests.helpers.page_tables import DIRECTORY, PAGE, PageTables, enable_paging, identity_tables

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.machine.core.handle import Mmu
    from emulator.machine.core.stale_translations import StaleTranslations

GUEST = (
    FUNCTION
    + enable_paging()
    + """
        exit    0
        function load
        movl    4(%esp), %eax
        movl    (%eax), %eax
        ret
        ends    load
        function store
        movl    4(%esp), %eax
        movl    8(%esp), %ecx
        movl    %ecx, (%eax)
        ret
        ends    store
        function change_and_load
        movl    4(%esp), %eax
        movl    8(%esp), %ecx
        movl    12(%esp), %edx
        movl    %ecx, (%eax)
        movl    (%edx), %eax
        ret
        ends    change_and_load
        function forget
        movl    4(%esp), %eax
        invlpg  (%eax)
        ret
        ends    forget
        function forget_all
        movl    %cr3, %eax
        movl    %eax, %cr3
        ret
        ends    forget_all
"""
)
BASES = (0x0080_0000, 0x00C0_0000)  # each has a table of its own, at first
# The engine's TLB, which forgets pages for want of room, finds its entries by the last bits of a page's number, six at least.
PAGES = [BASES[0] + PAGE * 0x10, BASES[0] + PAGE * 0x11, BASES[1] + PAGE * 0x20, BASES[1] + PAGE * 0x21]
TABLES = (0x0022_A000, 0x0022_B000)
FRAMES = (0x0030_0000, 0x0030_1000, 0x0030_2000)
P, W = 1, 2
A, D = 0x20, 0x40


@cache
def image() -> KernelImage:
    return assemble(GUEST)


@dataclass
class Held:
    """What the TLB holds of a page."""

    frame: int
    may_write: bool
    is_used: bool = False  # by an access that page tables forbid, since the last change


class Tlb(RuleBasedStateMachine):
    """Both machines do the same; one is observed. The other one's memory is the engine's, which has a TLB as modelled here."""

    others_memory: Mmu = "ordinary"

    def __init__(self) -> None:
        super().__init__()
        self.machines = [Machine(image()), Machine(image(), mmu=self.others_memory)]
        for machine in self.machines:
            identity: PageTables = identity_tables(machine)
            assert identity.table_entry(0) not in range(TABLES[0], TABLES[0] + 2 * PAGE)
            for number, frame in enumerate(FRAMES):
                machine.memory.store_u32(frame, number + 1)
            machine.run()
        self.found: StaleTranslations = self.machines[0].observers.seek_stale(each_load=True)
        self.held: dict[int, Held] = {}
        self.came_from: dict[int, tuple[int, int | None]] = {}
        self.expected: list[tuple[int, str, int, int]] = []
        for base, table in zip(BASES, TABLES, strict=True):
            self.change(DIRECTORY + 4 * (base >> 22), table | P | W)
        for page in PAGES:
            self.change_entry(page, FRAMES[0], P | W)

    def teardown(self) -> None:
        self.found.close()

    # What page tables say.

    def load_u32(self, at: int) -> int:
        return self.machines[1].memory.load_u32(at)

    def entries(self, page: int) -> tuple[int, int | None]:
        """Return where the entries of a page are, in directory and table."""
        above = DIRECTORY + 4 * (page >> 22)
        entry = self.load_u32(above)
        return above, (entry & ~0xFFF) + 4 * (page >> 12 & 0x3FF) if entry & P else None

    def walk(self, page: int) -> tuple[int, bool, bool] | None:
        """Return frame, whether it may be written, and whether D is set; None: it is not mapped."""
        above, at = self.entries(page)
        if at is None or not self.load_u32(at) & P:
            return None
        entry = self.load_u32(at)
        return entry & ~0xFFF, bool(entry & self.load_u32(above) & W), bool(entry & D)

    def is_right(self, page: int, held: Held, *, write: bool) -> bool:
        now = self.walk(page)
        return now is not None and now[0] == held.frame and (now[1] or not write)

    # What is done.

    def call(self, function: str, *arguments: int) -> int:
        results = {machine.call(function, *arguments) for machine in self.machines}
        assert len(results) == 1
        return results.pop()

    def change(self, at: int, value: int) -> None:
        """Write to an entry, which is at its own linear address, too."""
        for page, held in self.held.items():
            if at in self.came_from[page]:
                held.is_used = False
        self.call("store", at, value)

    @rule(
        page=st.sampled_from(PAGES),
        frame=st.sampled_from(FRAMES),
        bits=st.sampled_from((P | W, P, P | W | D, 0)),
    )
    def any_change(self, page: int, frame: int, bits: int) -> None:
        self.change_entry(page, frame, bits)

    def change_entry(self, page: int, frame: int, bits: int) -> None:
        _, at = self.entries(page)
        if at is not None:
            self.change(at, frame | bits)

    @rule(base=st.sampled_from(BASES), table=st.sampled_from(TABLES), bits=st.sampled_from((P | W, P, 0)))
    def change_table(self, base: int, table: int, bits: int) -> None:
        self.change(DIRECTORY + 4 * (base >> 22), table | bits)

    @rule(page=st.sampled_from(PAGES))
    def forget(self, page: int) -> None:
        self.call("forget", page + 0x123)
        self.held.pop(page, None)

    @rule()
    def forget_all(self) -> None:
        self.call("forget_all")
        self.held.clear()

    @rule(page=st.sampled_from(PAGES), write=st.booleans())
    def access(self, page: int, *, write: bool) -> None:
        self.go(page, write=write)

    @rule(
        page=st.sampled_from(PAGES),
        frame=st.sampled_from(FRAMES),
        bits=st.sampled_from((P | W, P, 0)),
        write=st.booleans(),
    )
    def access_before_and_after(self, page: int, frame: int, bits: int, *, write: bool) -> None:
        self.go(page, write=not write)
        self.change_entry(page, frame, bits)
        self.go(page, write=write)

    @rule(page=st.sampled_from(PAGES), frame=st.sampled_from(FRAMES), bits=st.sampled_from((P | W, P)))
    def change_and_load(self, page: int, frame: int, bits: int) -> None:
        """Between a load of CR3 and the first access to the page, in one run."""
        if page in self.held:
            self.forget_all()
        _, at = self.entries(page)
        if at is not None:
            assert self.call("change_and_load", at, frame | bits, page) == self.load_u32(frame)
            assert self.fill(page, write=False) is not None

    def go(self, page: int, *, write: bool) -> None:
        held = self.held.get(page)
        if held is None or (write and not held.may_write):
            held = self.fill(page, write=write)
            if held is None:
                return  # it would fault
        elif not held.is_used and not self.is_right(page, held, write=write):
            held.is_used = True
            now = self.walk(page)
            self.expected.append(
                (page + 8 * write, "write" if write else "read", held.frame, now[0] if now else 0)
            )
        if write:
            self.call("store", page + 8, len(self.expected))
        else:
            assert self.call("load", page) == self.load_u32(held.frame)

    def fill(self, page: int, *, write: bool) -> Held | None:
        now = self.walk(page)
        if now is None or (write and not now[1]):
            return None
        frame, writable, dirty = now
        self.came_from[page] = self.entries(page)
        self.held[page] = Held(frame, writable and (write or dirty))
        return self.held[page]

    @precondition(lambda self: self.expected)
    @rule()
    def look(self) -> None:
        uses = self.found.uses()
        assert [(use.linear, use.access, use.held, use.now) for use in uses] == self.expected

    @invariant()
    def both_are_the_same(self) -> None:
        assert len(self.found.uses()) == len(self.expected)
        assert self.machines[0].memory.read(DIRECTORY, 4 * PAGE) == self.machines[1].memory.read(
            DIRECTORY, 4 * PAGE
        )
        for at in (*TABLES, *FRAMES):
            assert self.machines[0].memory.read(at, PAGE) == self.machines[1].memory.read(at, PAGE)


class ToldTlb(Tlb):
    """The guest tells the TLB of what it has changed: then fast memory, which may find a change before that, is the same, too.

    A load of CR3 tells of all pages; what is changed between that and the next access to a page needs no telling.
    """

    others_memory = "fast"

    def __init__(self) -> None:
        self.untold: set[int] = set()
        super().__init__()

    def change(self, at: int, value: int) -> None:
        self.untold |= {page for page in self.held if at in self.came_from[page]}
        super().change(at, value)

    @rule(page=st.sampled_from(PAGES), frame=st.sampled_from(FRAMES), bits=st.sampled_from((P | W, P)))
    def python_changes(self, page: int, frame: int, bits: int) -> None:
        """As a model does, or a debugger: between a load of CR3 and the next access."""
        self.go(page, write=True)
        self.forget_all()
        _, at = self.entries(page)
        if at is not None:
            for machine in self.machines:
                machine.memory.store_u32(at, frame | bits)
        self.go(page, write=False)

    def go(self, page: int, *, write: bool) -> None:
        if page in self.held and page in self.untold:
            self.forget(page)
        self.untold.discard(page)
        super().go(page, write=write)


for each in (Tlb, ToldTlb):
    each.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTlb, TestToldTlb = Tlb.TestCase, ToldTlb.TestCase
