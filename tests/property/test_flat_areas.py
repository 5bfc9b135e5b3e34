"""The one pass over the calls of flat areas against the general analysis, which handles all areas."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.check.calls.checks import check_calls
from emulator.check.calls.results import KnownMemory
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, AreaRules, Profile
from emulator.trace import trace as trace_module
from emulator.trace.blocks import flat_areas as flat_areas_module
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.flat_areas import FlatHistories, flat_histories
from emulator.trace.blocks.history import area_history
from emulator.trace.blocks.overlaps import made_over_live
from emulator.trace.blocks.places import Places
from emulator.trace.queries.totals import peak_of, usage_of
from emulator.trace.table import CallTable
from emulator.trace.trace import Trace
from tests.helpers.traces import FAILURE, PROFILE, WHO, Row, TraceBuilder, random_trace

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.trace.blocks.history import FlatFacts
    from emulator.trace.table import Column

PAGE = 4096
BYTES = Profile(
    "bytes",
    (
        TracedFunction("get", "bytes", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("get_many", "bytes", Role.ALLOC, ("count", "size"), Result.POINTER, 0),
        TracedFunction("get_some", "bytes", Role.ALLOC, ("out", "size"), Result.ERROR),
        TracedFunction("put", "bytes", Role.FREE, ("ptr",), Result.NONE),
        TracedFunction("put_sized", "bytes", Role.FREE, ("ptr", "size"), Result.ERROR),
        TracedFunction("put_if", "bytes", Role.FREE, ("ptr", "when"), Result.NONE),
        TracedFunction("renew", "bytes", Role.REALLOC, ("ptr", "size"), Result.POINTER, 0),
        TracedFunction("open_heap", "bytes", Role.RESET, (), Result.NONE),
        TracedFunction("look", "bytes", Role.OTHER, ("ptr",), Result.VALUE),
        TracedFunction("take", "pool", Role.ALLOC, ("pool",), Result.POINTER, 0),
        TracedFunction("take_sized", "pool", Role.ALLOC, ("pool", "size"), Result.POINTER, 0),
        TracedFunction("take_any", "pool", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("give", "pool", Role.FREE, ("pool", "ptr"), Result.ERROR),
        TracedFunction("drop_pool", "pool", Role.RESET, ("pool",), Result.ERROR),
        TracedFunction("drop_pools", "pool", Role.RESET, (), Result.NONE),
    ),
    {"bytes": AreaRules(alignment=8)},
)
PAGED = Profile(
    "pages",
    (
        TracedFunction("get_frame", "frames", Role.ALLOC, (), Result.FRAME, FAILURE),
        TracedFunction("get_frames", "frames", Role.ALLOC, ("pages",), Result.FRAME, FAILURE),
        TracedFunction("get_run", "frames", Role.ALLOC, ("order",), Result.POINTER, 0),
        TracedFunction("put_frame", "frames", Role.FREE, ("frame",), Result.ERROR),
        TracedFunction("put_frames", "frames", Role.FREE, ("frame", "pages"), Result.ERROR),
        TracedFunction("put_run", "frames", Role.FREE, ("ptr",), Result.NONE),
        TracedFunction("get_page", "cache", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("put_page", "cache", Role.FREE, ("ptr",), Result.NONE),
    ),
    {"frames": PAGES},
)
MEMORY = KnownMemory(((0, 0xA0000), (0x100000, 0x500000)), ((0x1000, 0x1800),))
ADDRESSES = st.sampled_from([*range(0x1000, 0x3000, 0x400), 0x2004, 0x200000, 0, 0x10, FAILURE, 0xFFFF_FF00])
FRAMES = st.sampled_from([*range(1, 12), (1 << 20) - 1, 1 << 20, FAILURE])
RESULTS = {
    Result.POINTER: ADDRESSES,
    Result.FRAME: FRAMES,
    Result.ERROR: st.sampled_from([0, 0, 0, FAILURE]),
    Result.NONE: st.just(7),
    Result.VALUE: st.just(7),
}
SIZES = st.sampled_from([1, 16, 0x400, 0x404, 0x800, PAGE + 1])
ARGUMENTS = {
    "ptr": ADDRESSES,
    "frame": FRAMES,
    "count": st.sampled_from([1, 1, 2, FAILURE]),
    "pages": st.sampled_from([1, 1, 1, 2, 3]),
    "order": st.sampled_from([0, 0, 1, 2]),
    "pool": st.sampled_from([1, 2]),
    "when": st.sampled_from([0, 1]),
    "out": st.just(0x9000),
}


class Tasks:
    """Draws calls of tasks that take turns. Mostly they are about memory as allocators that work are."""

    def __init__(self, draw: st.DrawFn, profile: Profile, inside: int, sizes: st.SearchStrategy[int]) -> None:
        self.builder = TraceBuilder(profile)
        self.builder.stacks[WHO] = 1
        self._draw, self._functions, self._inside = draw, profile.functions, inside
        self._opened: list[Row] = []
        self._blocks: dict[str, list[tuple[int, int]]] = {}  # by area: address and size of those that live
        self._freed: list[int] = []
        self._arguments = ARGUMENTS | {"size": sizes}
        self._top = draw(st.sampled_from([0x10000, 0x10008, 0xFFFF_E000]))
        leaves, self._at_once = draw(
            st.sampled_from([(5, 7), (2, 1)])
        )  # tenths: the last one opens many calls
        for _ in range(draw(st.integers(0, 60))):
            if self._opened and self._chance(leaves):
                self._leave(draw(st.integers(0, len(self._opened) - 1)))
            else:
                self._enter()
        while self._opened and self._chance(9):
            self._leave(-1)

    def _chance(self, tenths: int) -> bool:
        return bool(self._draw(st.integers(0, 9)) < tenths)

    def _enter(self) -> None:
        builder, opened = self.builder, self._opened
        code = self._draw(st.integers(0, len(self._functions) - 1))
        function = self._functions[code]
        if function.role is Role.RESET and builder.rows and self._chance(7 if function.area == "pool" else 9):
            return
        parent = builder.rows.index(opened[-1]) + 1 if opened and self._chance(self._inside) else 0
        words = {name: self._draw(self._arguments.get(name, st.just(0))) for name in function.parameters}
        if function.role is Role.REALLOC and self._chance(3):
            words["size"] = 0
        if function.role.names_block and self._chance(9):
            blocks = self._blocks.get(function.area)
            if not blocks:
                return
            address, size = blocks.pop(self._draw(st.integers(0, len(blocks) - 1)))
            self._freed.append(address)
            if "frame" in words and "pages" not in words and size > PAGE:
                return
            exact = {"ptr": address, "frame": address // PAGE}
            if function.role is Role.FREE and self._chance(7):
                exact |= {"size": size, "pages": size // PAGE}
            words |= {name: value for name, value in exact.items() if name in words}
        if parent and self._chance(6):
            words |= self._named_around(function, parent)
        builder.events += 1
        opened.append(Row(code, builder.events, parent, arguments=tuple(words.values()), stack=1))
        builder.rows.append(opened[-1])
        if self._chance(self._at_once):
            self._leave(-1)
        elif self._chance(1):
            opened.pop()  # it never returns

    def _named_around(self, function: TracedFunction, parent: int) -> dict[str, int]:
        """Return the block that the call around names, for one that it has made for that."""
        outer = self.builder.rows[parent - 1]
        around = self._functions[outer.function]
        if function.area != around.area or not (function.role.names_block and around.role.names_block):
            return {}
        words = dict(zip(around.parameters, outer.arguments, strict=True))
        return {
            name: words[name] for name in ("ptr", "frame") if name in words and name in function.parameters
        }

    def _made_inside(self, row: Row) -> list[int]:
        """Return what calls inside of one have made in its area."""
        area, call = self._functions[row.function].area, self.builder.rows.index(row) + 1
        inner = [
            (each, self._functions[each.function])
            for each in self.builder.rows
            if each.parent == call and each.left
        ]
        made = [
            (each, function)
            for each, function in inner
            if function.area == area and function.role.makes_block
        ]
        return [
            each.out
            if function.stores_block
            else each.result * PAGE
            if function.result is Result.FRAME
            else each.result
            for each, function in made
        ]

    def _leave(self, position: int) -> None:
        row = self._opened.pop(position)
        function, draw = self._functions[row.function], self._draw
        words = dict(zip(function.parameters, row.arguments, strict=True))
        self.builder.events += 1
        row.left, row.result = self.builder.events, draw(RESULTS[function.result])
        row.out = draw(ADDRESSES) if function.stores_block else 0
        size = words.get("size", PAGE * words.get("pages", 1 << words.get("order", 0)))
        blocks = self._blocks.setdefault(function.area, [])
        if function.role.makes_block and self._chance(9):
            address = self._top
            self._top = (self._top + 4 * PAGE) % (1 << 32)
            if blocks and self._chance(1):
                address = blocks[-1][0]  # handed out twice
            elif self._freed and self._chance(3):
                address = self._freed.pop()
            inside = self._made_inside(row)
            if inside and self._chance(8):
                address = inside[-1] & 0xFFFF_FFFF  # it wraps that call
            blocks.append((address, size))
            row.out, row.result = address, address // PAGE if function.result is Result.FRAME else address
        if function.role.makes_block and function.result is Result.ERROR:
            row.result = 0
        if function.role is Role.REALLOC and words["size"] == 0:
            row.result = 0  # it has freed the block


@st.composite
def tasks(
    draw: st.DrawFn, profile: Profile, *, inside: int = 0, sizes: st.SearchStrategy[int] = SIZES
) -> TraceBuilder:
    """Draw such calls; *inside*: tenths of them are made inside of one that is open."""
    return Tasks(draw, profile, inside, sizes).builder


def table(builder: TraceBuilder, rows: int) -> CallTable:
    return CallTable([chunk for chunk, _ in builder.chunks(rows)], builder.profile)


def facts_alone(calls: CallTable) -> dict[str, FlatFacts]:
    """Return the same facts of the pass that works out the life of no block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat_areas_module, "_FEW", -1)
        histories = flat_histories(calls, each_block=False)
    assert not histories.blocks
    return histories.facts


def check_columns(found: tuple[Column, ...], expected: tuple[Column, ...]) -> None:
    for mine, other in zip(found, expected, strict=True):
        assert mine.dtype == other.dtype
        assert mine.tolist() == other.tolist()


def check_area(calls: CallTable, area: str) -> None:
    """Compare the histories of an area that is flat."""
    general, histories = area_history(calls, area), flat_histories(calls)
    check_columns(histories.blocks[area], general.blocks)
    over = made_over_live(general.blocks, calls.last_event, 0, pages=calls.profile.pages(area))[0]
    both = histories.facts[area], facts_alone(calls)[area]
    assert len({(facts.may_overlap, facts.pools_fit, facts.sizes_fit) for facts in both}) == 1
    for facts in both:
        check_columns((facts.failed, facts.stray), (general.failed, general.stray))
        check_columns(facts.places, Places.of(general.blocks))
        check_columns(facts.live, general.blocks.live_after(NEVER - 1))
        assert facts.peak == peak_of(usage_of(general.blocks))
        assert facts.may_overlap or not over


many_examples = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("profile", [BYTES, PAGED, PROFILE], ids=attrgetter("name"))
@many_examples
@given(st.data())
def test_histories_are_those_of_the_general_analysis(profile: Profile, data: st.DataObject) -> None:
    inside, least = data.draw(st.sampled_from([(0, 1), (0, 0), (3, 1)]))
    sizes = SIZES if least else SIZES | st.just(0)
    calls = table(data.draw(tasks(profile, inside=inside, sizes=sizes)), data.draw(st.integers(1, 9)))
    flat = flat_histories(calls)
    assert flat.facts.keys() == flat.blocks.keys() == facts_alone(calls).keys()
    for area in flat.facts:
        check_area(calls, area)


def nested() -> TraceBuilder:
    builder = TraceBuilder()
    builder.enter("kmalloc", 8)
    builder.call("kmalloc", 8, result=0x2000)
    builder.leave(0x3000)
    return builder


def refused_inside() -> TraceBuilder:
    builder = TraceBuilder().call("kmalloc", 8, result=0x2000)
    builder.enter("kfree", 0x2000)
    builder.call("kmalloc", 8, result=0)
    builder.leave()
    return builder


def wrapped() -> TraceBuilder:
    """Each call is made for one around it, which does the same."""
    builder = TraceBuilder()
    builder.enter("kmalloc", 16)
    builder.enter("kmalloc", 24)
    builder.call("kmalloc", 32, result=0x2000)
    builder.call("kmalloc", 32, result=0)
    builder.leave(0x2000)
    builder.leave(0x2008)
    builder.enter("kfree", 0x2008)
    builder.call("kfree", 0x2008)
    builder.call("kfree", 0)
    builder.leave()
    return builder


ENDS = {
    "given back in part": TraceBuilder().call("alloc_frames", 3, result=0x10).call("free_frames", 0x10, 1),
    "inner page given back": TraceBuilder().call("alloc_frames", 3, result=0x10).call("free_frame", 0x11),
    "first page given back": TraceBuilder().call("alloc_frames", 3, result=0x10).call("free_frame", 0x10),
    "given back twice": TraceBuilder()
    .call("alloc_frame", result=0x10)
    .call("free_frame", 0x10)
    .call("free_frame", 0x10),
    "over a live one": TraceBuilder().call("alloc_frames", 2, result=0x10).call("alloc_frame", result=0x11),
    "shared": TraceBuilder().call("alloc_frame", result=0x10).call("share_frames", 0x10, 1),
    "of no bytes, answered again": TraceBuilder()
    .call("kmalloc", 0, result=0x2000)
    .call("kmalloc", 0, result=0x2000),
    "of no bytes, answered again when it was forgotten": TraceBuilder()
    .call("kmalloc", 0, result=0x2000)
    .call("heap_init")
    .call("kmalloc", 0, result=0x2000),
    "of no bytes, and given back before": TraceBuilder().call("kfree", 0x10).call("kmalloc", 0, result=0x10),
    "of no bytes, and then of some": TraceBuilder()
    .call("kmalloc", 0, result=0x10)
    .call("kmalloc", 8, result=0x10),
    "inside of another": nested(),
    "refused inside of a free": refused_inside(),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_flat_area(name: str) -> None:
    areas = {PROFILE.functions[row.function].area for row in ENDS[name].rows}
    assert not areas & flat_histories(table(ENDS[name], 1 << 16)).facts.keys()


def test_wrappers_end_none() -> None:
    calls = table(wrapped(), 1 << 16)
    blocks = flat_histories(calls).blocks["heap"]
    assert blocks.address.tolist() == [0x2008]
    assert blocks.size.tolist() == [16]
    check_area(calls, "heap")


def test_blocks_that_are_forgotten_together_end_none() -> None:
    builder = TraceBuilder().call("kmalloc", 8, result=0x2000).call("heap_init").call("kfree", 0x2000)
    for pool, address in ((1, 0x3000), (2, 0x4000), (1, 0x5000)):
        builder.call("get_blk", 0x9000, pool, 8, out=address)
    builder.call("del_pool", 2, result=FAILURE).call("del_pool", 1)
    builder.call("get_blk", 0x9000, 1, 8, out=0x3000).call("rel_blk", 1, 0x5000)
    calls = table(builder, 1 << 16)
    flat = flat_histories(calls)
    assert (flat.blocks["heap"].died_call.tolist(), flat.facts["heap"].stray.tolist()) == ([2], [3])
    assert flat.blocks["pools"].died_call.tolist() == [8, 0, 8, 0]
    assert flat.facts["pools"].stray.tolist() == [10]
    for area in ("heap", "pools"):
        check_area(calls, area)


def test_an_area_whose_blocks_are_forgotten_all_the_time_is_none() -> None:
    """Each time all places are looked at, of which there are a thousand at least."""
    builder = TraceBuilder()
    for _ in range((1 << 16) + 1):
        builder.call("kmalloc", 8, result=0x2000).call("heap_init")
    assert "heap" not in flat_histories(table(builder, 1 << 18)).facts


def test_runs_that_are_given_back_as_a_whole_end_none() -> None:
    builder = TraceBuilder().call("alloc_frames", 3, result=0x10).call("free_frames", 0x10, 3)
    builder.call("alloc_frames", 2, result=0x11).call("free_frames", 0x11, 2).call("heap_init")
    assert {"frames", "heap"} <= flat_histories(table(builder, 1 << 16)).facts.keys()


def test_blocks_of_no_bytes_end_none() -> None:
    builder = TraceBuilder().call("kmalloc", 0, result=0x2000).call("kfree", 0x2000)
    builder.call("kmalloc", 0, result=0x2000)
    builder.call("kmalloc", 0, result=0x10).call("kmalloc", 0, result=0x10).call("kfree", 0x10)
    builder.call("kmalloc", 8, result=0x3000).call("kmalloc", 0, result=0x3000)
    calls = table(builder, 1 << 16)
    assert flat_histories(calls).blocks["heap"].address.tolist() == [0x2000, 0x2000, 0x3000, 0x3000]
    check_area(calls, "heap")


def test_blocks_that_touch_do_not_overlap() -> None:
    """The second one begins where less than sixteen bytes after a border are; the last one lies in the first, which was there before."""
    builder = TraceBuilder().call("kmalloc", 20, result=0x2000).call("kmalloc", 4, result=0x2014)
    assert not flat_histories(table(builder, 1 << 16)).facts["heap"].may_overlap
    builder.call("kmalloc", 4, result=0x2008)
    assert flat_histories(table(builder, 1 << 16)).facts["heap"].may_overlap


def test_blocks_at_thousands_of_places(tmp_path: Path) -> None:
    """So that the table of places grows; each of them is handed out again and again."""
    calls = Trace.read(random_trace(tmp_path / "many.kmt", 60_000, 1)).calls
    found = flat_histories(calls).facts
    for area in ("heap", "frames"):
        check_area(calls, area)
        assert not found[area].may_overlap
        assert len(found[area].places.address) > 2000


@many_examples
@given(tasks(BYTES))
def test_calls_outside_of_each_other_are_flat(builder: TraceBuilder) -> None:
    """So the comparison is not one of nothing."""
    assert flat_histories(table(builder, 1 << 16)).facts.keys() == {"bytes", "pool"}


@many_examples
@given(st.data())
def test_findings_are_those_of_the_general_analysis(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "flat.kmt"
    builder = data.draw(st.sampled_from([BYTES, PAGED]).flatmap(tasks))
    found = check_calls(builder.trace(path, chunk=7), MEMORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat_areas_module, "_FEW", -1)
        assert check_calls(builder.trace(path, chunk=7), MEMORY) == found
        patch.setattr(trace_module, "flat_histories", lambda *_, **_each_block: FlatHistories({}, {}))
        assert check_calls(builder.trace(path, chunk=7), MEMORY) == found
