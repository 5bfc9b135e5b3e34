"""Which bytes between blocks are free, and how fragmented they are."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.profile.model import AreaRules
from emulator.trace.queries.gaps import GapMeasure, Gaps, taken_sizes
from tests.helpers.gaps import free_gaps
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from emulator.trace.trace import Trace

BASE, HEADER, UNIT = 0x200000, 8, 16


def gaps(trace: Trace, event: int | None = None) -> Gaps:
    return measure(trace).gaps(trace.live(event, "heap"))


def measure(trace: Trace) -> GapMeasure:
    return GapMeasure(trace.blocks("heap"), trace.profile.area("heap"))


def side_by_side(sizes: list[int]) -> tuple[TraceBuilder, list[int]]:
    """Return allocations of blocks one after another, with headers and rounded up, and where they lie."""
    calls, addresses, at = TraceBuilder(), [], BASE
    for size in sizes:
        addresses.append(at + HEADER)
        calls.call("kmalloc", size, result=at + HEADER)
        at += -(-(size + HEADER) // UNIT) * UNIT
    return calls, addresses


def test_headers_and_rounding_are_no_gaps(tmp_path: Path) -> None:
    trace = side_by_side([20 + number for number in range(22)])[0].trace(tmp_path / "t")
    assert gaps(trace) == (0, 0)
    assert gaps(trace).fragmentation == 0


def test_blocks_that_were_freed_leave_gaps(tmp_path: Path) -> None:
    calls, addresses = side_by_side([24] * 8)
    for number in (1, 4, 5):
        calls.call("kfree", addresses[number])
    found = gaps(calls.trace(tmp_path / "t"))
    assert found == (32 + 64, 64)  # with the headers of the blocks that were freed
    assert found.fragmentation == pytest.approx(32 / 96)


def test_a_checkerboard(tmp_path: Path) -> None:
    calls, addresses = side_by_side([24] * 22)
    for address in addresses[1::2]:
        calls.call("kfree", address)
    found = gaps(calls.trace(tmp_path / "t"))
    assert found == (11 * 32, 32)
    assert found.fragmentation == pytest.approx(1 - 1 / 11)


@pytest.mark.parametrize("times", [1, 40])
def test_blocks_that_come_back_to_the_same_places_leave_the_same_gaps(tmp_path: Path, times: int) -> None:
    """Where there are many for the room that they have, they are not sorted."""
    sizes = [20, 24, 40, 24, 56, 24, 20, 8]
    calls, addresses = side_by_side(sizes)
    for _ in range(times - 1):
        for address in addresses[::-1]:
            calls.call("kfree", address)
        for size, address in zip(sizes, addresses, strict=True):
            calls.call("kmalloc", size, result=address)
    for number in (1, 4, 6):
        calls.call("kfree", addresses[number])
    trace = calls.trace(tmp_path / "t")
    assert gaps(trace) == (32 + 64 + 32, 64)
    assert measure(trace).taken.taken.tolist() == [32, 32, 32, 48, 64]


def test_what_was_used_once_is_one_gap_at_the_end(tmp_path: Path) -> None:
    calls, addresses = side_by_side([24] * 22)
    for address in addresses[1:]:
        calls.call("kfree", address)
    found = gaps(calls.trace(tmp_path / "t"))
    assert found == (21 * 32, 21 * 32)
    assert found.fragmentation == 0


def test_headers_and_rounding_are_no_gaps_where_smaller_blocks_have_lain(tmp_path: Path) -> None:
    """Each block of about 600 bytes is rounded up to 1,024; before, the same pages were cut into pieces of 16."""
    calls = TraceBuilder()
    for number in range(22 * 64):
        calls.call("kmalloc", 16, result=BASE + 16 * number)
    for number in range(22 * 64):
        calls.call("kfree", BASE + 16 * number)
    for number in range(22):
        calls.call("kmalloc", 580 + 2 * number, result=BASE + 1024 * number)
    assert gaps(calls.trace(tmp_path / "t")) == (
        1024 - 624,
        1024 - 624,
    )  # at the top, where nothing followed the block


def test_what_a_block_takes_does_not_depend_on_the_peak(tmp_path: Path) -> None:
    """One large block is the peak; then 22 small ones lie side by side where smaller ones did."""
    calls = TraceBuilder().call("kmalloc", 1 << 20, result=BASE + HEADER).call("kfree", BASE + HEADER)
    for size in (1, 24):
        for number in range(22):
            calls.call("kmalloc", size, result=BASE + HEADER + (16 if size == 1 else 48) * number)
        for number in range(22 * (size == 1)):
            calls.call("kfree", BASE + HEADER + 16 * number)
    found = gaps(calls.trace(tmp_path / "t"))
    assert found.fragmentation == 0
    assert found.size == (1 << 20) - 21 * 48 - 24


def test_free_memory_behind_a_block_is_not_taken_by_it(tmp_path: Path) -> None:
    """No block followed the large one closely while it lived: it would have to be rounded up to more than twice its size."""
    calls, addresses = side_by_side([24] * 40)
    for address in addresses[:39]:
        calls.call("kfree", address)
    found = gaps(calls.call("kmalloc", 100, result=addresses[0]).trace(tmp_path / "t"))
    assert found == (39 * 32 - 108, 39 * 32 - 108)


@pytest.mark.parametrize(
    ("header", "alignment", "taken"), [(0, 4, 24), (8, 4, 32), (8, 16, 32), (16, 32, 64)]
)
def test_header_and_alignment_of_the_profile_are_taken_where_no_neighbours_are_known(
    header: int, alignment: int, taken: int, tmp_path: Path
) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=BASE).call("kfree", BASE)
    blocks = calls.trace(tmp_path / "t").blocks("heap")
    rules = AreaRules(header=header, alignment=alignment)
    assert taken_sizes(blocks, rules).taken.tolist() == [taken]
    far = calls.call("kmalloc", 24, result=BASE).call("kmalloc", 24, result=BASE + (1 << 20))
    blocks = far.trace(tmp_path / "far").blocks("heap")
    assert taken_sizes(blocks, rules).taken.tolist() == [taken]
    near = far.call("kmalloc", 24, result=BASE + 40).trace(tmp_path / "near").blocks("heap")
    assert taken_sizes(near, rules).taken.tolist() == [40]  # measured


def test_two_arenas_have_no_gap_between_them(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=BASE).call("kmalloc", 24, result=BASE + 32)
    calls.call("kmalloc", 24, result=BASE + (1 << 30)).call("kfree", BASE + 32)
    assert gaps(calls.trace(tmp_path / "t")) == (32, 32)


def test_the_slots_of_a_slab_are_full_whatever_they_hold(tmp_path: Path) -> None:
    calls = TraceBuilder()
    for number, size in enumerate([128, 65, 70, 128, 99, 16, 128, 65]):
        calls.call("kmalloc", size, result=BASE + 128 * number)
    assert gaps(calls.trace(tmp_path / "t")) == (0, 0)


def test_pages_side_by_side_have_no_room_between_them(tmp_path: Path) -> None:
    calls = TraceBuilder().call("alloc_frames", 2, result=0x200).call("alloc_frame", result=0x202)
    calls.call("alloc_frame", result=0x203).call("free_frame", 0x202, result=0)
    trace = calls.trace(tmp_path / "t")
    found = GapMeasure(trace.blocks("frames"), trace.profile.area("frames"))
    assert found.taken.taken.tolist() == found.taken.sizes.tolist() == [4096, 8192]
    assert found.gaps(trace.live(None, "frames")) == (4096, 4096)


def test_a_gap_that_no_block_fits_into_with_its_header(tmp_path: Path) -> None:
    calls, addresses = side_by_side([8, 24, 8])
    calls.call("kfree", addresses[0]).call("kfree", addresses[1]).call("kmalloc", 20, result=addresses[0])
    trace = calls.trace(
        tmp_path / "t"
    )  # where a block of 24 began, 20 bytes of a live one end: 4 bytes further
    assert measure(trace).taken.taken.tolist()[-1] == 32
    assert gaps(trace) == (0, 0)


def test_a_gap_without_room_for_the_header_of_the_next_block(tmp_path: Path) -> None:
    calls, addresses = side_by_side([24] * 3)
    calls.call("kfree", addresses[1]).call("kfree", addresses[2]).call("kmalloc", 24, result=addresses[2] - 8)
    trace = calls.trace(tmp_path / "t")
    assert measure(trace).taken.taken.tolist()[-1] == 32
    assert gaps(trace) == (0, 0)


def test_blocks_of_unknown_size_do_not_count(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 0, result=BASE).call("kmalloc", 24, result=BASE + 64)
    calls.call("kmalloc", 24, result=BASE + 128).call("kmalloc", 0, result=BASE + 512).call(
        "kfree", BASE + 64
    )
    assert gaps(calls.trace(tmp_path / "t")) == (64, 64)


def test_nothing_ever_lived(tmp_path: Path) -> None:
    assert gaps(TraceBuilder().trace(tmp_path / "t")) == (0, 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), st.booleans()), max_size=25))
def test_going_through_all_blocks_gives_the_same(steps: list[tuple[int, int, bool]]) -> None:
    calls = TraceBuilder()
    for address, size, frees in steps:
        if frees:
            calls.call("kfree", BASE + 4 * address)
        else:
            calls.call("kmalloc", 4 * size, result=BASE + 4 * address)
    with TemporaryDirectory() as folder:
        trace = calls.trace(Path(folder) / "t")
    for event in range(trace.event_count + 1):
        expected = free_gaps(trace, "heap", event)
        assert gaps(trace, event) == (sum(expected), max(expected, default=0))
