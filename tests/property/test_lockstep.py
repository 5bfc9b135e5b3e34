"""Random calls in lockstep: native code and model agree after each, also on heaps that were damaged on purpose.

The engine itself checks results and bytes; here only the calls are made, and the books kept that free-all needs.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from emulator.errors import BudgetUsedUp, GuestStopped
from emulator.hle.kernels import find_litecore
from emulator.hle.layers import Mode, attach_layers
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine

if TYPE_CHECKING:
    from emulator.machine.core.snapshots import Snapshot

WORDS = st.one_of(st.integers(0, 600), st.sampled_from([0xFFFFFFF8, 0xFFFFFFFF, 0x80000000, 65528, 65536]))
NONE = 0xFFFFFFFF


@cache
def machine_with_models() -> Machine:
    machine = Machine(KernelImage.read(builtin.resolve("firmware:demo")))
    attach_layers(machine, {"memmap": Mode.LOCKSTEP, "heap": Mode.LOCKSTEP})
    machine.call("memory_init")
    return machine


@cache
def at_start() -> Snapshot:
    return machine_with_models().snapshot()


class LockstepMachine(RuleBasedStateMachine):
    """All calls of LiteCore, in any order."""

    blocks = Bundle("blocks")
    runs = Bundle("runs")

    @initialize()
    def boot(self) -> None:
        at_start().reset()
        self.live: dict[int, int] = {}
        self.taken: set[tuple[int, int]] = set()

    @rule(target=blocks, size=WORDS)
    def kmalloc(self, size: int) -> object:
        possible = machine_with_models().call("mem_has_space", 0, size) & 0xFF
        address = machine_with_models().call("kmalloc", size)
        assert bool(address) == bool(possible)
        if not address:
            return multiple()
        assert not any(address < end and start < address + size for start, end in self.live.items())
        self.live[address] = address + size
        machine_with_models().memory.write(address, b"\xa5" * size)
        return address

    @rule(address=consumes(blocks))
    def kfree(self, address: int) -> None:
        machine_with_models().call("kfree", address)
        del self.live[address]

    @rule(address=st.one_of(WORDS, st.integers(0x0010B000, 0x0011D000)))
    def kfree_anything_else(self, address: int) -> None:
        if address not in self.live:
            machine_with_models().call("kfree", address)

    @rule(target=runs, count=st.one_of(st.integers(0, 40), WORDS))
    def alloc_frames(self, count: int) -> object:
        first = machine_with_models().call("alloc_frames", count)
        if first == NONE:
            return multiple()
        self.taken.add((first, count))
        return first, count

    @rule(target=runs)
    def alloc_frame(self) -> object:
        first = machine_with_models().call("alloc_frame")
        if first == NONE:
            return multiple()
        self.taken.add((first, 1))
        return first, 1

    @rule(run=consumes(runs))
    def free_frames(self, run: tuple[int, int]) -> None:
        assert machine_with_models().call("free_frames", *run) == 0
        self.taken.remove(run)

    @rule(frame=st.one_of(WORDS, st.integers(0xF0, 0x510)))
    def free_a_frame_that_is_free_or_outside(self, frame: int) -> None:
        litecore = find_litecore(machine_with_models())
        assert litecore is not None
        fields = litecore.memmap.fields()
        inside = fields.start_frame <= frame < fields.end_frame
        if not inside or not any(
            run.start <= frame < run.end and run.used for run in litecore.memmap.usage().runs()
        ):
            assert machine_with_models().call("free_frame", frame) == NONE

    @rule(kind=st.integers(0, 3), size=WORDS)
    def mem_has_space(self, kind: int, size: int) -> None:
        machine_with_models().call("mem_has_space", kind, size)

    def teardown(self) -> None:
        for address in self.live if hasattr(self, "live") else ():
            machine_with_models().call("kfree", address)
        for run in self.taken if hasattr(self, "taken") else ():
            assert machine_with_models().call("free_frames", *run) == 0


class DamageMachine(RuleBasedStateMachine):
    """A heap that something writes over: both sides must fail alike, and always come back."""

    @initialize()
    def boot(self) -> None:
        at_start().reset()
        self.addresses = [machine_with_models().call("kmalloc", size) for size in (8, 100, 24, 500, 8)]
        for address in self.addresses[1::2]:
            machine_with_models().call("kfree", address)

    @rule(
        offset=st.integers(0, 200),
        value=st.one_of(WORDS, st.integers(0, 1), st.integers(0x0010C000, 0x0010C400)),
    )
    def damage(self, offset: int, value: int) -> None:
        start = machine_with_models().memory.load_u32(
            machine_with_models().image.symbols["heap_start"].address
        )
        machine_with_models().memory.store_u32(start + 4 * offset, value)

    @rule(value=st.one_of(WORDS, st.integers(0x0010C000, 0x0010C400)))
    def damage_the_head(self, value: int) -> None:
        machine_with_models().memory.store_u32(
            machine_with_models().image.symbols["heap_free_list"].address, value
        )

    @rule(size=WORDS)
    def kmalloc(self, size: int) -> None:
        self.call("kmalloc", size)

    @rule(index=st.integers(0, 4))
    def kfree(self, index: int) -> None:
        self.call("kfree", self.addresses[index])

    @rule(size=WORDS)
    def mem_has_space(self, size: int) -> None:
        self.call("mem_has_space", 0, size)

    def call(self, name: str, *arguments: int) -> None:
        try:
            machine_with_models().call(name, *arguments)
        except GuestStopped as error:
            raise AssertionError(f"{name} did not come back: {error}") from error


PAGED_LAYERS = ("memmap", "heap", "paging", "vspace")
PAGE = 0x1000


@cache
def paged() -> Machine:
    machine = Machine(KernelImage.read(builtin.resolve("firmware:paging_demo")))
    attach_layers(machine, dict.fromkeys(PAGED_LAYERS, Mode.LOCKSTEP))
    machine.call("memory_init")
    assert machine.call("paging_init") == machine.call("paging_enable") == 0
    return machine


@cache
def with_paging() -> Snapshot:
    return paged().snapshot()


OWN_FRAMES = 6
PAGES = st.sampled_from(
    [base + PAGE * index for base in (0x4000_0000, 0x403F_E000, 0x8000_0000) for index in range(4)]
)
FLAGS = st.sampled_from([3, 3, 7, 1, 2, 0x41])


class PagingMachine(RuleBasedStateMachine):
    """LiteCore's page tables with paging on, each layer in any mode: the CPU sets bits in them, and uses what they say."""

    ranges = Bundle("ranges")
    areas = Bundle("areas")

    @initialize()
    def boot(self) -> None:
        with_paging().reset()
        self.mapped: dict[int, int] = {}
        self.writable: set[int] = set()
        first = paged().call("alloc_frames", OWN_FRAMES)
        self.frames = [PAGE * (first + index) for index in range(OWN_FRAMES)]

    @rule(layer=st.sampled_from(PAGED_LAYERS), mode=st.sampled_from(Mode))
    def switch(self, layer: str, mode: Mode) -> None:
        attach_layers(paged(), {layer: mode})

    @rule(frame=st.integers(0, OWN_FRAMES - 1), page=PAGES, flags=FLAGS)
    def map_page(self, frame: int, page: int, flags: int) -> None:
        wrong = not flags & 1 or bool(flags & ~7) or page in self.mapped
        result = paged().call("map_page", self.frames[frame], page, flags)
        assert result == (NONE if wrong else 0)
        if not wrong:
            self.mapped[page] = self.frames[frame]
            self.writable |= {page} if flags & 2 else set()

    @rule(page=PAGES)
    def unmap_page(self, page: int) -> None:
        assert paged().call("unmap_page", page) == (0 if page in self.mapped else NONE)
        self.mapped.pop(page, None)
        self.writable.discard(page)

    @rule(page=PAGES, offset=st.integers(0, PAGE - 1))
    def virt_to_phys(self, page: int, offset: int) -> None:
        expected = self.mapped[page] + offset if page in self.mapped else NONE
        assert paged().call("virt_to_phys", page + offset) == expected

    @rule(page=PAGES, byte=st.integers(0, 255))
    def use(self, page: int, byte: int) -> None:
        """The CPU goes by the tables as they are now, and marks what it has used."""
        if page in self.writable:
            paged().call("memset", page + 8, byte, 16)
            assert paged().memory.read(self.mapped[page] + 8, 16) == bytes([byte]) * 16
        assert paged().translate(page) == self.mapped.get(page)

    @rule(target=ranges, pages=st.one_of(st.integers(0, 5), WORDS))
    def vspace_alloc(self, pages: int) -> object:
        return paged().call("vspace_alloc", pages) or multiple()

    @rule(address=consumes(ranges))
    def vspace_free(self, address: int) -> None:
        assert paged().call("vspace_free", address) == 0

    @rule(target=areas, size=st.one_of(st.integers(0, 4 * PAGE), WORDS))
    def vmalloc(self, size: int) -> object:
        address = paged().call("vmalloc", size)
        if not address:
            return multiple()
        paged().call("memset", address, 0x5A, size)
        return address

    @rule(address=consumes(areas))
    def vfree(self, address: int) -> None:
        paged().call("vfree", address)

    @rule(address=st.one_of(WORDS, PAGES))
    def vfree_anything_else(self, address: int) -> None:
        paged().call("vfree", address)

    @rule(page=PAGES, instructions=st.integers(1, 200))
    def leave_a_call_in_its_middle(self, page: int, instructions: int) -> None:
        before = paged().snapshot()
        with suppress(BudgetUsedUp):
            paged().call("vmalloc", 3 * PAGE, max_instructions=instructions)
        middle = paged().snapshot()
        with suppress(BudgetUsedUp):
            paged().run(max_instructions=instructions)
        middle.reset()
        before.reset()
        before.discard()
        assert paged().call("virt_to_phys", page) == self.mapped.get(page, NONE)

    def teardown(self) -> None:
        for page in list(getattr(self, "mapped", ())):
            assert paged().call("unmap_page", page) == 0


TestLockstep = LockstepMachine.TestCase
TestLockstep.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestDamage = DamageMachine.TestCase
TestDamage.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestPaging = PagingMachine.TestCase
TestPaging.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
