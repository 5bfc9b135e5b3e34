"""The vectorised analysis against the obvious one: a dictionary of what is live, changed event by event."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, Profile
from emulator.trace.blocks import operations, page_runs
from emulator.trace.blocks.blocks import NEVER
from tests.helpers.traces import FAILURE, PROFILE, TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.trace.trace import Trace

PAGE = 4096
WHOLE_RUNS = Profile(
    "runs freed by address",
    (
        TracedFunction("get_pages", "runs", Role.ALLOC, ("order",), Result.POINTER, 0),
        TracedFunction("put_pages", "runs", Role.FREE, ("ptr",), Result.NONE),
        TracedFunction("put_some", "runs", Role.FREE, ("ptr", "size"), Result.NONE),
        TracedFunction("share_page", "runs", Role.SHARE, ("frame",), Result.NONE),
        TracedFunction("share_run", "runs", Role.SHARE, ("ptr",), Result.NONE),
        TracedFunction("resize", "runs", Role.REALLOC, ("ptr", "pages"), Result.POINTER, 0),
        TracedFunction("renew", "runs", Role.RESET, (), Result.NONE),
        TracedFunction("get_bytes", "bytes", Role.ALLOC, ("out", "size"), Result.NONE),
        TracedFunction("resize_bytes", "bytes", Role.REALLOC, ("frame", "size"), Result.FRAME, FAILURE),
        TracedFunction("share_bytes", "bytes", Role.SHARE, ("ptr",), Result.ERROR),
        TracedFunction("put_bytes", "bytes", Role.FREE, ("ptr",), Result.ERROR),
    ),
    {"runs": PAGES},
)
ADDRESSES = st.sampled_from([0, 0x10, *range(0x1000, 0x7000, 0x1000), 0xFFFF_F000, FAILURE])
FRAMES = st.sampled_from([*range(6), (1 << 20) - 1, 1 << 20, FAILURE])
RESULTS = {Result.POINTER: ADDRESSES, Result.FRAME: FRAMES, Result.ERROR: st.sampled_from([0, 0, 0, FAILURE])}
ARGUMENTS = {
    "ptr": ADDRESSES,
    "frame": FRAMES,
    "size": st.sampled_from([0, 1, 64, PAGE, PAGE + 1, 3 * PAGE, 0x12345]),
    "pages": st.sampled_from([0, 1, 1, 2, 3, 4, 5, 70]),
    "order": st.sampled_from([0, 0, 1, 2, 5]),
    "count": st.sampled_from([0, 1, 3, FAILURE]),
    "pool": st.sampled_from([1, 2, FAILURE]),
}


class Live(NamedTuple):
    born: int
    call: int
    size: int
    pool: int | None
    owners: int


class Reference:
    """What is live at each key: an address, or in an area of pages the number of a page.

    Attributes:
        stock: Calls inside others that turn out to have made what the allocator hands out.
        births: Addresses, events and sizes of blocks that were made.
        frees: Addresses and events of what was given back.
    """

    def __init__(
        self,
        builder: TraceBuilder,
        area: str,
        known_stock: frozenset[int] = frozenset(),
        empty: frozenset[int] = frozenset(),
    ) -> None:
        self.rows, self.area = builder.rows, area
        self.functions = builder.profile.functions
        self.pages = builder.profile.pages(area)
        self.known_stock, self.stock = known_stock, set(known_stock)
        self.empty = empty
        self.births: list[tuple[int, int, int]] = []
        self.frees: list[tuple[int, int]] = []
        self.live: dict[int, Live] = {}
        self.lives: list[tuple[int, int, int, int, int, int]] = []  # birth, key, size, call, death, its call
        self.failed: list[int] = []
        self.stray: list[int] = []
        self.stops: dict[int, int] = {}  # of the latest run that began at a page
        events = [(row.entered, number, False) for number, row in enumerate(self.rows, 1)]
        events += [(row.left, number, True) for number, row in enumerate(self.rows, 1) if row.left]
        for event, number, left in sorted(events):
            if self.function(number).area == area:
                (self.leave if left else self.enter)(event, number)
        for key in list(self.live):
            self.die(key, NEVER, 0)

    def function(self, number: int) -> TracedFunction:
        return self.functions[self.rows[number - 1].function]

    @classmethod
    def of(cls, builder: TraceBuilder, area: str) -> Reference:
        found = cls(builder, area)
        empty = frozenset() if found.pages else frozenset(found.standing_for_no_bytes())
        if empty:
            found = cls(builder, area, empty=empty)
        while found.stock != found.known_stock:
            found = cls(builder, area, frozenset(found.stock), empty)
        return found

    def standing_for_no_bytes(self) -> Iterator[int]:
        """Yield the addresses that are no memory: an allocator answers them whenever it is asked for no bytes.

        Such an address is in the page of the null pointer, or was answered again with no free between; and never for any bytes.
        """
        for address in {address for address, _, _ in self.births}:
            sizes = {size for at, _, size in self.births if at == address}
            happened = [(event, True) for at, event, _ in self.births if at == address]
            happened += [(event, False) for at, event in self.frees if at == address]
            is_birth = [birth for _, birth in sorted(happened)]
            is_answered_again = any(pair == (True, True) for pair in pairwise(is_birth))
            if sizes == {0} and (address < PAGE or is_answered_again):
                yield address

    def around(self, number: int) -> Iterator[int]:
        """Yield the calls around a call that change the area."""
        while number := self.rows[number - 1].parent:
            if self.function(number).area == self.area and self.function(number).role is not Role.OTHER:
                yield number

    def roles_around(self, number: int) -> set[Role]:
        return {self.function(outer).role for outer in self.around(number)}

    def overlaps_one_around(self, span: range | None, spans: Iterator[range | None]) -> bool:
        return span is not None and any(
            outer is not None and span.start < outer.stop and outer.start < span.stop for outer in spans
        )

    def span(self, address: int, size: int | None, unknown: int) -> range:
        if self.pages:
            return range(address & -PAGE, (address & -PAGE) + (size or PAGE))
        return range(address, address + (size or unknown))

    def made(self, number: int, unknown: int = 1 << 32) -> range | None:
        """Return the memory of the block that a call made."""
        row = self.rows[number - 1]
        if not self.function(number).role.makes_block or not row.left:
            return None
        address = self.address_of(number)
        return None if address is None else self.span(address, self.size(number), unknown)

    def given(self, number: int, role: Role) -> range | None:
        """Return the memory that a call frees, or shares."""
        function, row = self.function(number), self.rows[number - 1]
        refused = row.left and function.result is Result.ERROR and row.result != 0
        size = self.size(number)
        if function.role is Role.REALLOC and role is Role.FREE:
            if not row.left or (self.address_of(number) is None and size != 0):
                return None
            size = None
        elif function.role is not role or refused or (role is Role.SHARE and not row.left):
            return None
        if self.word(number, "ptr") == 0 or (self.pages and size == 0):
            return None
        address, frame = self.word(number, "ptr"), self.word(number, "frame")
        if address is None:
            assert frame is not None
            address = frame * PAGE if frame < 1 << 20 else FAILURE
        return self.span(address, size, 1)

    def word(self, number: int, name: str) -> int | None:
        names = self.function(number).parameters
        return self.rows[number - 1].arguments[names.index(name)] if name in names else None

    def size(self, number: int) -> int | None:
        size, pages, order = (self.word(number, name) for name in ("size", "pages", "order"))
        count = self.word(number, "count")
        if size is not None:
            size *= 1 if count is None else count
        elif pages is not None:
            size = pages * PAGE
        elif order is not None:
            size = PAGE << min(order, 20)
        elif self.word(number, "frame") is not None or self.function(number).result is Result.FRAME:
            size = PAGE
        return None if size is None else min(size, FAILURE)

    def enter(self, event: int, number: int) -> None:
        function, row = self.function(number), self.rows[number - 1]
        refused = row.left and function.result is Result.ERROR and row.result != 0
        if function.role is Role.RESET and not refused:
            for key, live in list(self.live.items()):
                pool = self.word(number, "pool")
                if pool is None or pool == live.pool:
                    self.die(key, event, number)
        if function.role is Role.FREE and not refused:
            self.free(event, number, self.size(number))
        if (
            function.role is Role.REALLOC
            and row.left
            and (self.address_of(number) is not None or self.size(number) == 0)
        ):
            self.free(event, number, None)

    def named(self, number: int, size: int | None) -> list[int] | None:
        """Return the addresses that a call names; None: it names nothing at all."""
        address, frame = self.word(number, "ptr"), self.word(number, "frame")
        if address == 0 or (self.pages and size == 0):
            return None
        if address == FAILURE or (frame is not None and frame >= 1 << 20):
            return []
        key = address if frame is None else frame * PAGE
        assert key is not None
        if not self.pages:
            return [key]
        start = key // PAGE
        if size is None:
            return list(range(start, self.stops.get(start, start + 1)))
        return list(range(start, min(start + -(-size // PAGE), 1 << 20)))

    def free(self, event: int, number: int, size: int | None) -> None:
        keys = self.named(number, size)
        if keys is None or self.overlaps_one_around(
            self.given(number, Role.FREE), (self.given(outer, Role.FREE) for outer in self.around(number))
        ):
            return
        if not self.pages:
            self.frees += [(key, event) for key in keys]
            if self.empty.intersection(keys):
                return
        found = [key for key in keys if key in self.live]
        for key in found:
            live = self.live[key]
            if live.owners > 1:
                self.live[key] = live._replace(owners=live.owners - 1)
            else:
                self.die(key, event, number)
        if not found and not self.roles_around(number):
            self.stray.append(number)

    def address_of(self, number: int) -> int | None:
        """Return the address of the block that a call made."""
        function, row = self.function(number), self.rows[number - 1]
        if function.out is not None:
            failed = row.result != 0 if function.result is Result.ERROR else row.out == 0
            return None if failed or row.out == FAILURE else row.out
        if row.result in {function.failure, FAILURE} or (
            function.result is Result.FRAME and row.result >= 1 << 20
        ):
            return None
        return row.result * PAGE if function.result is Result.FRAME else row.result

    def leave(self, event: int, number: int) -> None:
        function = self.function(number)
        around = self.roles_around(number)
        shared = self.given(number, Role.SHARE)
        if shared is not None and not self.overlaps_one_around(
            shared,
            (
                span
                for outer in self.around(number)
                for span in (self.made(outer), self.given(outer, Role.SHARE))
            ),
        ):
            for key in self.named(number, self.size(number)) or []:
                if key in self.live:
                    self.live[key] = self.live[key]._replace(owners=self.live[key].owners + 1)
        if function.role in {Role.ALLOC, Role.REALLOC}:
            address = self.address_of(number)
            if address is not None:
                if not self.overlaps_one_around(
                    self.made(number), (self.made(outer) for outer in self.around(number))
                ):
                    self.births.append((address, event, self.size(number) or 0))
                    if number not in self.stock and address not in self.empty:
                        self.make(address, event, number)
            elif around & {Role.ALLOC, Role.REALLOC}:
                pass
            elif function.role is Role.ALLOC or self.size(number) != 0:
                self.failed.append(number)

    def make(self, address: int, event: int, number: int) -> None:
        size, keys = self.size(number) or 0, [address]
        if self.pages:
            start = address // PAGE
            keys = list(range(start, min(start + max(-(-size // PAGE), 1), 1 << 20)))
            self.stops[start] = start + len(keys)
            size = PAGE
        self.find_stock(keys[0], number)
        for key in keys:
            if key in self.live:
                self.die(key, event, 0)
            self.live[key] = Live(event, number, size, self.word(number, "pool"), 1)

    def find_stock(self, key: int, number: int) -> None:
        """Note the inner call in whose live block one is made, by the block that begins last before it."""
        inner = {key: live for key, live in self.live.items() if set(self.around(live.call))}
        near = max((each for each in inner if each <= key), default=None)
        if near is None or (self.pages and near != key):
            return
        outer, new = self.made(inner[near].call, 1), self.made(number, 1)
        if outer is not None and new is not None and new.start < outer.stop and new.stop <= outer.stop:
            self.stock.add(inner[near].call)

    def die(self, key: int, event: int, number: int) -> None:
        live = self.live.pop(key)
        self.lives.append((live.born, key, live.size, live.call, event, number))

    def blocks(self) -> list[tuple[int, ...]]:
        """Return address, size, birth, its call, death, its call of all blocks."""
        rows: list[list[int]] = []
        for born, key, size, call, died, died_call in sorted(self.lives):
            address = key * PAGE if self.pages else key
            row = [address, size, born, call, died, died_call]
            if self.pages and rows and rows[-1][2:] == row[2:] and sum(rows[-1][:2]) == address:
                rows[-1][1] += size
            else:
                rows.append(row)
        return [(row[0], min(row[1], FAILURE), *row[2:]) for row in rows]


@st.composite
def traces(draw: st.DrawFn, profile: Profile) -> TraceBuilder:
    builder = TraceBuilder(profile)
    open_calls: list[tuple[TracedFunction, dict[str, int]]] = []
    for_no_bytes = draw(st.sampled_from([None, 0x10, 0x5000]))  # the address that such an allocator has

    def leave() -> None:
        function, words = open_calls.pop()
        asks_for_nothing = 0 in (words.get("size"), words.get("count"))
        addresses = ADDRESSES if for_no_bytes is None or not asks_for_nothing else st.just(for_no_bytes)
        results = RESULTS | {Result.POINTER: addresses}
        result = draw(results.get(function.result, st.just(7)))
        builder.leave(result, out=0 if function.out is None else draw(addresses))

    for _ in range(draw(st.integers(0, 40))):
        action = draw(st.sampled_from(["call", "call", "call", "call", "enter", "leave", "stay"]))
        if action in {"call", "enter"}:
            function = draw(st.sampled_from(profile.functions))
            words = {name: draw(ARGUMENTS.get(name, st.just(0))) for name in function.parameters}
            builder.enter(function.name, *words.values())
            open_calls.append((function, words))
        if open_calls and action in {"call", "leave"}:
            leave()
        if open_calls and action == "stay" and draw(st.integers(0, 4)) == 0:
            builder.stay()
            open_calls.pop()
    while open_calls:
        leave()
    return builder


def check(builder: TraceBuilder, path: Path) -> None:
    trace = builder.trace(path, chunk=7)
    for area in trace.areas:
        expected = Reference.of(builder, area)
        blocks = trace.blocks(area)
        assert list(zip(*(column.tolist() for column in blocks[:6]), strict=True)) == expected.blocks()
        assert (blocks.stack == trace.calls.stack[blocks.born_call - 1]).all()
        assert trace.failed(area).tolist() == sorted(expected.failed)
        assert trace.stray_frees(area).tolist() == sorted(expected.stray)
        check_totals(trace, area)


def check_totals(trace: Trace, area: str) -> None:
    blocks, usage = trace.blocks(area), trace.usage(area)
    steps = dict(
        zip(usage.events.tolist(), zip(usage.bytes.tolist(), usage.blocks.tolist(), strict=True), strict=True)
    )
    now = (0, 0)
    for event in range(trace.event_count + 1):
        now = steps.get(event, now)
        live = trace.live(event, area)
        assert now == (int(live.size.sum(dtype=np.int64)), len(live.born))
    assert now[1] == len(trace.live(None, area).born)
    peak = trace.peak(area)
    assert peak.bytes == usage.bytes.max()
    assert steps.get(peak.event) == (peak.bytes, peak.blocks)
    totals = trace.by_stack(area)
    assert sum(total.bytes_allocated for total in totals) == int(blocks.size.sum(dtype=np.int64))
    assert sum(total.calls for total in totals) == len(set(blocks.born_call.tolist()))
    assert (sum(each.peak_bytes for each in totals), sum(each.peak_blocks for each in totals)) == peak[1:]
    assert (sum(each.end_bytes for each in totals), sum(each.end_blocks for each in totals)) == now


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces") / "random.kmt"


many_examples = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@many_examples
@given(traces(PROFILE))
def test_blocks_are_those_of_the_reference(path: Path, builder: TraceBuilder) -> None:
    check(builder, path)


@many_examples
@given(traces(PROFILE), st.sampled_from([0, 1, 32]))
def test_calls_of_areas_with_few(path: Path, builder: TraceBuilder, levels: int) -> None:
    """The calls around theirs are looked up one by one, up to so many levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "_MANY", 1)
        patch.setattr(operations, "_LEVELS", levels)
        check(builder, path)


@many_examples
@given(traces(WHOLE_RUNS))
def test_runs_freed_by_address(path: Path, builder: TraceBuilder) -> None:
    check(builder, path)


@many_examples
@given(st.data())
def test_following_calls_one_by_one_says_the_same(path: Path, data: st.DataObject) -> None:
    builder = data.draw(st.sampled_from([PROFILE, WHOLE_RUNS]).flatmap(traces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_runs, "_PIECES", -1 << 40)
        check(builder, path)
