"""LiteCore's virtual memory under random calls, on model and firmware, while frames and heap run out.

The oracle knows sets and dicts only: which frames are free, which page shows which frame, which tables there are, which ranges are
in use. After each call the bytes in guest memory must say the same; a call that fails must have changed nothing, so whatever half of it
was done is undone: no mapping, no table, no frame and no record is left. In the end everything is given back, in any order, and memory
must be what it was after ``paging_init``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emulator import boot
from kernel_model.address_space import AddressSpace
from tests.conformance.conftest import LOCKS, ModelSubject
from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.machine import Machine
    from kernel_model.memory import Memory

PAGE: Final = 4096
SLOT: Final = 1 << 22  # what one table covers
NONE = 0xFFFFFFFF
PRESENT, RW, USER = 1, 2, 4
HEAP, WINDOW = 0x20_0000, 0x40_0000
BASE, SPACE_END = 0xC03F_D000, 0xC040_4000  # seven pages: three of one table, four of the next
VMALLOC = 1

PAGES: Final = st.sampled_from(
    [
        *(0, 0x1000, 0x1F_F000, HEAP, HEAP + 0x1000, 0x30_0000, WINDOW - PAGE, WINDOW, WINDOW + 0x40_0000),
        *(
            0x8000_0000,
            0x8000_1000,
            0x803F_F000,
            0x8040_0000,
            BASE,
            BASE + 2 * PAGE,
            BASE + 3 * PAGE,
            0xFFFF_F000,
        ),
    ]
)
FRAMES: Final = st.sampled_from([0, 0xB_8000, WINDOW, WINDOW + PAGE, 0xFEE0_0000, 0xFFFF_F000])
FLAGS: Final = st.sampled_from(
    [0, PRESENT, PRESENT, PRESENT | RW, PRESENT | USER, PRESENT | RW | USER, RW, PRESENT | 8]
)
OFFSETS: Final = st.sampled_from([0, 0, 0, 0, 4, 0x800])


class Caller(Protocol):
    """Something whose functions can be called."""

    @property
    def memory(self) -> Memory:
        """Guest memory."""

    @property
    def symbols(self) -> Mapping[str, int]:
        """Addresses of the C names."""

    def call(self, name: str, *arguments: int) -> int:
        """Call a function; the result is unsigned."""


@cache
def booted() -> tuple[Machine, Snapshot]:
    machine = boot("firmware:paging_demo")
    machine.run(until="every call of the virtual memory")
    return machine, machine.snapshot()


class Firmware:
    """The C code, held to all that a caller counts on: registers, IF, DF."""

    def __init__(self) -> None:
        self.machine, start = booted()
        start.reset()
        self.memory: Memory = self.machine.memory
        self.symbols = {name: symbol.address for name, symbol in self.machine.image.symbols.items()}
        self._interrupts = False

    def call(self, name: str, *arguments: int) -> int:
        self._interrupts = not self._interrupts
        return strict_call(self.machine, name, *arguments, interrupts=self._interrupts)


class VirtualMemory(RuleBasedStateMachine):
    """The rules, for either implementation."""

    subject: Caller

    def new_subject(self) -> Caller:
        raise NotImplementedError

    # What there is at first.

    @initialize(frames=st.integers(3, 14), heap=st.sampled_from([16, 24, 48, 96, 400]), enabled=st.booleans())
    def start(self, frames: int, heap: int, enabled: bool) -> None:
        self.subject = self.new_subject()
        self.call("memmap_init", WINDOW, WINDOW + frames * PAGE)
        self.call("mem_init", HEAP, HEAP + heap)
        for name, value in (("vspace_start", BASE), ("vspace_end", SPACE_END)):
            self.subject.memory.store_u32(self.subject.symbols[name], value)
        assert self.call("paging_init") == 0
        if enabled and isinstance(self.subject, Firmware):
            assert self.call("paging_enable") == 0
        first = WINDOW // PAGE
        self.free = set(range(first + 3, first + frames))
        self.tables = {0: first + 1, WINDOW // SLOT: first + 2}
        self.window = range(WINDOW, WINDOW + frames * PAGE, PAGE)
        self.kernel = range(PAGE, HEAP + heap, PAGE)
        self.pages: dict[int, tuple[int, int]] = {}
        self.ranges: dict[int, tuple[int, int]] = {}
        self.held_frames: list[int] = []
        self.held_blocks: list[int] = []
        self.errors = 0
        self.untouched = self.bytes_of_everything()

    def call(self, name: str, *arguments: int) -> int:
        return self.subject.call(name, *arguments)

    def word(self, name: str) -> int:
        return self.subject.memory.load_u32(self.subject.symbols[name])

    def bytes_of_everything(self) -> object:
        """Return bitmap, directory and tables without the bits that a CPU sets, and the heap's free list and headers."""
        memory, directory = self.subject.memory, self.word("page_directory")
        tables = [memory.view(frame * PAGE, PAGE).cast("I").tolist() for frame in self.tables.values()]
        tables.append(memory.view(directory, PAGE).cast("I").tolist())
        bitmap = memory.read((self.subject.symbols["__end"] + 3) & ~3, 4)
        entries = [[entry & ~0x60 for entry in table] for table in tables]
        return bitmap, entries, self.heap_blocks(), self.word("heap_free_list")

    def heap_blocks(self) -> list[tuple[int, int, int]]:
        blocks = []
        header = HEAP
        while header < self.word("heap_end"):
            size, used = self.subject.memory.load_words(header, 2)
            blocks.append((header, size, used))
            header += 8 + size
        return blocks

    # What the oracle would do.

    def take_frame(self) -> int | None:
        frame = min(self.free, default=None)
        if frame is not None:
            self.free.remove(frame)
        return frame

    def show(self, virtual: int, physical: int, flags: int) -> bool:
        slot = virtual // SLOT
        if virtual in self.pages or virtual in self.kernel or virtual in self.window:
            return False
        if slot not in self.tables:
            table = self.take_frame()
            if table is None:
                return False
            self.tables[slot] = table
        self.pages[virtual] = physical, flags
        return True

    def hide(self, virtual: int) -> bool:
        if self.pages.pop(virtual, None) is None:
            return False
        slot = virtual // SLOT
        if slot not in {0, WINDOW // SLOT} and not any(page // SLOT == slot for page in self.pages):
            self.free.add(self.tables.pop(slot))
        return True

    def gap(self, pages: int) -> int:
        at = BASE
        for start in sorted(self.ranges):
            if start - at >= pages * PAGE:
                break
            at = start + self.ranges[start][0] * PAGE
        return at if pages and SPACE_END - at >= pages * PAGE else 0

    def fill(self, start: int, pages: int) -> int:
        """Put frames under a range. Returns how many pages have one; all of it is undone unless that is all."""
        for done in range(pages):
            frame = self.take_frame()
            if frame is None or not self.show(start + done * PAGE, frame * PAGE, PRESENT | RW):
                self.free.update(set() if frame is None else {frame})
                self.empty(start, done)
                return done
        return pages

    def empty(self, start: int, pages: int) -> None:
        for virtual in range(start, start + pages * PAGE, PAGE):
            physical = self.pages.get(virtual, (None, 0))[0]
            if (
                self.hide(virtual)
                and physical is not None
                and physical // PAGE in range(self.window.start // PAGE, self.window.stop // PAGE)
            ):
                self.free.add(physical // PAGE)

    # Calls.

    @rule(virtual=PAGES, physical=FRAMES, flags=FLAGS, odd=OFFSETS, odd_physical=OFFSETS)
    def map_page(self, virtual: int, physical: int, flags: int, odd: int, odd_physical: int) -> None:
        good = flags & PRESENT and flags < 8 and not odd and not odd_physical
        expected = bool(good) and self.show(virtual, physical, flags)
        assert self.call("map_page", physical + odd_physical, virtual + odd, flags) == (
            0 if expected else NONE
        )

    @rule(virtual=PAGES, odd=OFFSETS)
    def unmap_page(self, virtual: int, odd: int) -> None:
        if any(
            start <= virtual < start + pages * PAGE
            for start, (pages, owner) in self.ranges.items()
            if owner == VMALLOC
        ):
            return  # whoever unmaps what vmalloc mapped has its frame; tested elsewhere
        expected = not odd and self.hide(virtual)
        assert self.call("unmap_page", virtual + odd) == (0 if expected else NONE)

    @rule(virtual=PAGES, offset=st.integers(0, PAGE - 1))
    def translate(self, virtual: int, offset: int) -> None:
        shown = self.pages.get(virtual, (virtual, 0))[0]
        mapped = virtual in self.pages or virtual in self.kernel or virtual in self.window
        assert self.call("virt_to_phys", virtual + offset) == (shown + offset if mapped else NONE)

    @rule(pages=st.sampled_from([0, 1, 1, 2, 3, 7, 8, 0x100000, NONE]))
    def vspace_alloc(self, pages: int) -> None:
        has_record = self.call("mem_has_space", 0, 16) & 0xFF
        expected = self.gap(pages) if has_record else 0
        assert self.call("vspace_alloc", pages) == expected
        if expected:
            self.ranges[expected] = pages, 0

    @rule(address=st.sampled_from([0, 4, *range(BASE, SPACE_END, PAGE), NONE]))
    def vspace_free(self, address: int) -> None:
        expected = self.ranges.get(address, (0, VMALLOC))[1] == 0
        assert self.call("vspace_free", address) == (0 if expected else NONE)
        if expected:
            del self.ranges[address]

    @rule(
        size=st.sampled_from(
            [0, 1, PAGE, PAGE + 1, 3 * PAGE, 5 * PAGE, 7 * PAGE, 8 * PAGE, 0x8000_0000, NONE]
        )
    )
    def vmalloc(self, size: int) -> None:
        pages = -(-size // PAGE)
        start = self.gap(pages) if self.call("mem_has_space", 0, 16) & 0xFF else 0
        expected = start if start and self.fill(start, pages) == pages else 0
        assert self.call("vmalloc", size) == expected
        if expected:
            self.ranges[expected] = pages, VMALLOC

    @rule(pointer=st.sampled_from([0, 4, *range(BASE, SPACE_END, PAGE), BASE + 8, NONE]))
    def vfree(self, pointer: int) -> None:
        pages, owner = self.ranges.get(pointer, (0, 0))
        self.call("vfree", pointer)
        if owner == VMALLOC:
            self.empty(pointer, pages)
            del self.ranges[pointer]
        elif pointer:
            self.errors += 1

    @rule(count=st.integers(1, 6))
    def hold_frames(self, count: int) -> None:
        for _ in range(count):
            frame = self.take_frame()
            assert self.call("alloc_frame") == (NONE if frame is None else frame)
            self.held_frames += [] if frame is None else [frame]

    @precondition(lambda self: self.held_frames)
    @rule(data=st.data())
    def give_frame(self, data: st.DataObject) -> None:
        frame = data.draw(st.sampled_from(self.held_frames))
        self.held_frames.remove(frame)
        assert self.call("free_frame", frame) == 0
        self.free.add(frame)

    @rule(size=st.sampled_from([8, 16, 40]))
    def hold_block(self, size: int) -> None:
        block = self.call("kmalloc", size)
        self.held_blocks += [block] if block else []

    @precondition(lambda self: self.held_blocks)
    @rule(data=st.data())
    def give_block(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(self.held_blocks))
        self.held_blocks.remove(block)
        self.call("kfree", block)

    @rule(seed=st.integers(1, 1 << 20))
    def give_everything(self, seed: int) -> None:
        calls = [("unmap_page", virtual) for virtual in self.pages if not BASE <= virtual < SPACE_END]
        calls += [("vfree" if owner else "vspace_free", start) for start, (_, owner) in self.ranges.items()]
        calls += [("free_frame", frame) for frame in self.held_frames]
        calls += [("kfree", block) for block in self.held_blocks]
        for name, argument in sorted(calls, key=lambda each: each[1] * seed * 2654435761 % (1 << 32)):
            self.call(name, argument)
        for start, (pages, owner) in self.ranges.items():
            if owner == VMALLOC:
                self.empty(start, pages)
        by_hand = [virtual for virtual in self.pages if BASE <= virtual < SPACE_END]
        for virtual in by_hand:
            assert self.call("unmap_page", virtual) == 0
        for virtual in list(self.pages):
            self.hide(virtual)
        self.free.update(self.held_frames)
        self.ranges, self.held_frames, self.held_blocks = {}, [], []
        assert self.bytes_of_everything() == self.untouched

    # What holds after each of them.

    @invariant()
    def no_lock_is_held(self) -> None:
        assert [self.word(name) for name in LOCKS] == [0, 0, 0, 0]

    @invariant()
    def the_tables_are_the_oracles(self) -> None:
        space = AddressSpace(self.subject.memory, self.word("page_directory"), pse=False)
        mapped = {
            each.linear: (each.physical, PRESENT | RW * each.writable | USER * each.user)
            for each in space.mappings()
            if each.linear not in self.kernel and each.linear not in self.window
        }
        assert mapped == self.pages
        users = {virtual // SLOT for virtual, (_, flags) in self.pages.items() if flags & USER}
        directory = self.subject.memory.view(self.word("page_directory"), PAGE).cast("I").tolist()
        assert {slot: entry & ~0x60 for slot, entry in enumerate(directory) if entry} == {
            slot: frame * PAGE | PRESENT | RW | USER * (slot in users) for slot, frame in self.tables.items()
        }

    @invariant()
    def no_frame_is_lost(self) -> None:
        assert self.call("memmap_free_count") == len(self.free)

    @invariant()
    def no_record_is_lost(self) -> None:
        records, at = [], self.word("vspace_ranges")
        while at:
            start, pages, owner, at = self.subject.memory.load_words(at, 4)
            records.append((start, (pages, owner)))
        assert records == sorted(self.ranges.items())
        used = sum(block[2] for block in self.heap_blocks())
        assert used == len(self.ranges) + len(self.held_blocks)
        assert (self.word("vspace_error_count"), self.word("heap_error_count")) == (self.errors, 0)


class ModelMemory(VirtualMemory):
    """On the model."""

    def new_subject(self) -> Caller:
        return ModelSubject()


class FirmwareMemory(VirtualMemory):
    """On the C code, with paging on in some runs; interrupts are on in every second call."""

    def new_subject(self) -> Caller:
        return Firmware()


TestModel = ModelMemory.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFirmware = FirmwareMemory.TestCase
TestFirmware.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
