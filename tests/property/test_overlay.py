"""A model on an overlay writes exactly what it writes on the memory itself: this is what lockstep rests on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_model.litecore.abi import LiteCore
from kernel_model.litecore.symbols import LAYER_SYMBOLS
from kernel_model.memory import ByteMemory, Overlay

SYMBOLS = {name: 0x1000 + 32 * index for index, name in enumerate(LAYER_SYMBOLS["heap"])} | {"__end": 0x1200}
SIZE = 0x2000

WORD = st.integers(0, 0xFFFFFFFF)
FRAME = st.integers(0, 50)
SIZES = st.integers(0, 300)
CALLS = st.one_of(
    st.tuples(st.just("memmap_init"), st.integers(0, 0x8000), st.integers(0, 0x40000)),
    st.tuples(st.just("memmap_reserve"), st.integers(0, 0x40000), st.integers(0, 0x40000)),
    st.tuples(st.just("alloc_frame")),
    st.tuples(st.just("alloc_frames"), st.integers(0, 12)),
    st.tuples(st.just("free_frame"), FRAME),
    st.tuples(st.just("free_frames"), FRAME, st.integers(0, 6)),
    st.tuples(st.just("mem_init"), st.integers(0x1300, 0x1310), st.integers(0x1300, 0x1E00)),
    st.tuples(st.just("kmalloc"), SIZES),
    st.tuples(st.just("kfree"), st.integers(0x1300 // 8, 0x1500 // 8).map(lambda i: 8 * i)),
    st.tuples(st.just("mem_has_space"), st.integers(0, 2), WORD),
)


def listing(memory: ByteMemory) -> dict[int, int]:
    return dict(enumerate(memory.read(0, SIZE)))


@settings(max_examples=100, deadline=None)
@given(calls=st.lists(CALLS, min_size=1, max_size=30))
def test_the_changes_of_an_overlay_are_the_writes_of_the_call(
    calls: list[tuple[str, *tuple[int, ...]]],
) -> None:
    base = ByteMemory(0, SIZE)
    overlay = Overlay(base)
    beside, direct = LiteCore(overlay, SYMBOLS, lambda _: None), LiteCore(base, SYMBOLS, lambda _: None)
    for name, *arguments in [("memmap_init", 0x1000, 0x28000), ("mem_init", 0x1300, 0x1500), *calls]:
        before = listing(base)
        overlay.clear()
        result = beside.functions[name].call(*arguments)
        assert listing(base) == before
        assert direct.functions[name].call(*arguments) == result
        assert listing(base) == before | overlay.changes()
        assert 0 <= result <= 0xFFFFFFFF
