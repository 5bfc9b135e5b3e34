"""The heap under random calls: the model against a list of segments; and what a broken heap may never do."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kernel_model.litecore.heap import Heap
from kernel_model.litecore.heap_layout import HeapAddresses
from kernel_model.memory import ByteMemory

GLOBALS = HeapAddresses(start=0x10, end=0x14, free_list=0x18, error_count=0x1C, lock=0x20)
BASE = 0x1000
GUARD = b"\xee" * 64


class Segment:
    """One block of the oracle: ``[start, end)`` with its header, and whether it is handed out."""

    def __init__(self, start: int, end: int, *, used: bool) -> None:
        self.start, self.end, self.used = start, end, used


class HeapMachine(RuleBasedStateMachine):
    """The oracle is the naive one: a list of segments, merged by reading all neighbours."""

    @initialize(shift=st.integers(0, 9), size=st.integers(0, 600))
    def boot(self, shift: int, size: int) -> None:
        self.memory = ByteMemory(0, 0x2000)
        self.memory.write(BASE - 64, GUARD * 16)
        self.lines: list[str] = []
        self.heap = Heap(self.memory, GLOBALS, self.lines.append)
        self.heap.init(BASE + shift, BASE + shift + size)
        self.start, self.end = self.heap.bounds()
        self.segments = [Segment(self.start, self.end, used=False)] if self.end > self.start else []
        self.errors = 0
        self.fill = 0
        self.bodies: dict[int, bytes] = {}
        self.untouched = self.metadata()

    def metadata(self) -> list[tuple[int, ...]]:
        """Return the globals and, for every block, header and link."""
        free = [self.memory.load_words(b.header, 2 if b.used else 3) for b in self.heap.blocks()]
        return [self.memory.load_words(GLOBALS.start, 3), *free]

    def expected_kmalloc(self, size: int) -> int:
        body = -(-size // 8) * 8
        for index, segment in enumerate(self.segments):
            room = segment.end - segment.start - 8
            if size and not segment.used and room >= body:
                if room - body >= 16:
                    rest = Segment(segment.start + 8 + body, segment.end, used=False)
                    self.segments.insert(index + 1, rest)
                    segment.end = rest.start
                segment.used = True
                return segment.start + 8
        return 0

    @rule(size=st.one_of(st.integers(0, 80), st.integers(0, 600), st.integers(0xFFFFFFE0, 0xFFFFFFFF)))
    def kmalloc(self, size: int) -> None:
        has_space = self.heap.has_space(size)
        expected = self.expected_kmalloc(size)
        pointer = self.heap.kmalloc(size)
        assert pointer == expected
        assert pointer % 8 == 0
        assert has_space == bool(pointer)
        if pointer:
            self.fill = self.fill + 1 & 0xFF
            self.bodies[pointer] = bytes((self.fill,)) * size
            self.memory.write(pointer, self.bodies[pointer])

    @rule(data=st.data())
    def kfree(self, data: st.DataObject) -> None:
        if not self.bodies:
            return
        pointer = data.draw(st.sampled_from(sorted(self.bodies)))
        assert self.memory.read(pointer, len(self.bodies[pointer])) == self.bodies.pop(pointer)
        self.heap.kfree(pointer)
        next(s for s in self.segments if s.start == pointer - 8).used = False
        merged: list[Segment] = []
        for segment in self.segments:
            if merged and not merged[-1].used and not segment.used:
                merged[-1].end = segment.end
            else:
                merged.append(segment)
        self.segments = merged

    @rule(pointer=st.one_of(st.integers(BASE - 16, BASE + 640), st.integers(1, 0xFFFFFFFF)))
    def kfree_of_anything_else(self, pointer: int) -> None:
        if pointer in self.bodies:
            return
        before = self.memory.read(0, 0x1C), self.memory.read(0x20, 0x1FE0)
        self.heap.kfree(pointer)
        assert (self.memory.read(0, 0x1C), self.memory.read(0x20, 0x1FE0)) == before
        self.errors += 1
        assert self.lines[-1] == f"kfree: not allocated: 0x{pointer:08x}\n"

    @rule()
    def kfree_of_null(self) -> None:
        self.heap.kfree(0)

    @rule()
    def free_everything(self) -> None:
        for pointer in sorted(self.bodies, key=lambda p: p * 2654435761 % 2**32):
            self.heap.kfree(pointer)
        self.bodies.clear()
        self.segments = [Segment(self.start, self.end, used=False)] if self.end > self.start else []
        assert self.metadata() == self.untouched

    @invariant()
    def blocks_are_the_segments(self) -> None:
        """No overlap and no gap: both lists tile the heap."""
        blocks = [(b.header, b.end, b.used) for b in self.heap.blocks()]
        assert blocks == [(s.start, s.end, s.used) for s in self.segments]

    @invariant()
    def the_heap_has_no_defects(self) -> None:
        assert self.heap.validate() == []

    @invariant()
    def bytes_are_conserved(self) -> None:
        usage = self.heap.usage()
        assert usage.used + usage.free + 8 * len(usage.blocks) == self.end - self.start

    @invariant()
    def errors_are_counted_and_bodies_and_surroundings_left_alone(self) -> None:
        assert self.memory.load_u32(GLOBALS.error_count) == self.errors == len(self.lines)
        assert self.memory.load_u32(GLOBALS.lock) == 0
        for pointer, body in self.bodies.items():
            assert self.memory.read(pointer, len(body)) == body
        assert self.memory.read(BASE - 64, 64) == GUARD
        assert self.memory.read(self.end, 64) == GUARD


TestHeap = HeapMachine.TestCase
TestHeap.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class CountingMemory(ByteMemory):
    """A memory that fails a call which loads more than a scan of this heap ever needs."""

    __slots__ = ("loads",)

    loads: int

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        self.loads += 1
        assert self.loads < 200, "the walk does not end"
        return super().load_words(address, count)


WORDS = 0x200 // 4
LIKELY_WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 8, 16, 24, 0xFFFFFFF8, 0xFFFFFFFF]),
    st.integers(0, WORDS // 2).map(lambda i: BASE + 8 * i),
    st.integers(0, 0x100),
    st.integers(0, 0xFFFFFFFF),
)
OVERRUNS = st.lists(st.tuples(st.integers(0, WORDS - 1), LIKELY_WORDS), min_size=1, max_size=12)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("kmalloc"), st.integers(0, 100)),
        st.tuples(st.just("kfree"), st.integers(0, WORDS).map(lambda i: BASE + 4 * i)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(overruns=OVERRUNS, head=st.one_of(st.none(), LIKELY_WORDS), calls=CALLS)
def test_a_broken_heap_ends_every_call_and_keeps_to_itself(
    overruns: list[tuple[int, int]], head: int | None, calls: list[tuple[str, int]]
) -> None:
    memory = CountingMemory(0, 0x2000)
    memory.loads = 0
    memory.write(BASE - 64, GUARD * 16)
    heap = Heap(memory, GLOBALS, lambda _: None)
    heap.init(BASE, BASE + 4 * WORDS)
    pointers = [heap.kmalloc(16) for _ in range(10)]
    for pointer in pointers[::2]:
        heap.kfree(pointer)
    for index, word in overruns:
        memory.store_u32(BASE + 4 * index, word)
    if head is not None:
        memory.store_u32(GLOBALS.free_list, head)
    for name, argument in calls:
        memory.loads = 0
        result = getattr(heap, name)(argument)
        assert result is None or result == 0 or BASE < result < BASE + 4 * WORDS
    memory.loads = 0
    defects = heap.validate()
    memory.loads = 0
    assert len(list(heap.blocks())) <= WORDS // 4
    assert len(defects) <= WORDS
    assert memory.load_words(GLOBALS.start, 2) == (BASE, BASE + 4 * WORDS)
    assert memory.load_u32(GLOBALS.lock) == 0
    assert memory.read(BASE - 64, 64) == GUARD
    assert memory.read(BASE + 4 * WORDS, 64) == GUARD
