"""The rules by which calls become blocks, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.trace.blocks.blocks import NEVER
from tests.helpers.traces import FAILURE, TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.trace.trace import Trace

A, B, OTHER = 0x10A008, 0x10B010, 0x20_0000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.kmt"


def blocks(trace: Trace, area: str = "heap") -> list[tuple[int, ...]]:
    """Return address, size, birth and death of all blocks."""
    address, size, born, _, died, *_ = (column.tolist() for column in trace.blocks(area))
    return list(zip(address, size, born, died, strict=True))


def test_a_block_lives_from_the_return_to_the_entry_of_its_free(path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 64, result=A).call("kfree", A).trace(path)
    assert blocks(trace) == [(A, 64, 2, 3)]
    assert [column.tolist() for column in trace.blocks("heap")] == [[A], [64], [2], [1], [3], [2], [1]]


def test_a_block_that_is_not_freed(path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 64, result=A).call("kfree", B).trace(path)
    assert blocks(trace) == [(A, 64, 2, NEVER)]
    assert trace.blocks("heap").died_call.tolist() == [0]
    assert trace.stray_frees("heap").tolist() == [2]


def test_count_multiplies_size(path: Path) -> None:
    builder = TraceBuilder().call("kcalloc", 3, 32, result=A).call("kcalloc", 0x10000, 0x10001, result=B)
    assert [block[1] for block in blocks(builder.trace(path))] == [96, 0xFFFF_FFFF]


def test_a_failed_call_makes_no_block(path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 64, result=0).call("alloc_frame", result=FAILURE)
    builder.call("get_blk", 0x5000, 1, 64, result=FAILURE, out=A)
    trace = builder.trace(path)
    assert [blocks(trace, area) for area in trace.areas] == [[], [], []]
    assert [trace.failed(area).tolist() for area in trace.areas] == [[1], [2], [3]]


def test_a_call_that_did_not_return_has_neither_made_a_block_nor_failed(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kmalloc", 64)
    trace = builder.trace(path)
    assert blocks(trace) == []
    assert trace.failed("heap").tolist() == []


def test_a_free_that_did_not_return_has_freed(path: Path) -> None:
    builder = TraceBuilder().call("alloc_frame", result=0x200)
    builder.enter("free_frame", 0x200)
    assert blocks(builder.trace(path), "frames") == [(0x200000, 4096, 2, 3)]


def test_a_free_that_was_refused_frees_nothing_and_is_not_stray(path: Path) -> None:
    builder = TraceBuilder().call("alloc_frame", result=0x200)
    builder.call("free_frame", 0x200, result=FAILURE).call("free_frame", 0x201, result=FAILURE)
    trace = builder.trace(path)
    assert blocks(trace, "frames") == [(0x200000, 4096, 2, NEVER)]
    assert trace.stray_frees("frames").tolist() == []


def test_a_null_pointer_is_no_stray_free(path: Path) -> None:
    assert TraceBuilder().call("kfree", 0).trace(path).stray_frees("heap").tolist() == []


def test_a_nested_allocation_counts_once(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kcalloc", 2, 32)
    builder.enter("tick", 1)
    builder.enter("kmemalign", 8, 72)
    builder.call("alloc_frame", result=0x10A)
    builder.leave(A)
    builder.leave()
    builder.leave(A + 8)
    trace = builder.trace(path)
    assert blocks(trace) == [(A + 8, 64, 8, NEVER)]
    assert blocks(trace, "frames") == [(0x10A000, 4096, 5, NEVER)]


def test_a_record_that_is_taken_beside_a_block_is_a_block_of_its_own(path: Path) -> None:
    """It lives from the end of the inner call, and is freed by its own free, inside another or not."""
    builder = TraceBuilder()
    for block, record in ((A, B), (A + 64, B + 16)):
        builder.enter("kmalloc", 64)
        builder.call("kmalloc", 16, result=record)
        builder.leave(block)
    builder.enter("kfree", A)
    builder.call("kfree", B)
    builder.leave()
    builder.call("kfree", A + 64).call("kfree", B + 16).call("kfree", B + 16)
    trace = builder.trace(path)
    assert blocks(trace) == [(B, 16, 3, 10), (A, 64, 4, 9), (B + 16, 16, 7, 15), (A + 64, 64, 8, 13)]
    assert trace.stray_frees("heap").tolist() == [9]


def test_a_record_is_freed_before_the_block_is_returned(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kmalloc", 64)
    builder.call("kmalloc", 16, result=B).call("kfree", B)
    builder.leave(A)
    assert blocks(builder.trace(path)) == [(B, 16, 3, 4), (A, 64, 6, NEVER)]


def test_a_record_that_a_failed_call_leaves_behind(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kmalloc", 64)
    builder.call("kmalloc", 16, result=B).call("kmalloc", 80, result=0)
    builder.leave(0)
    trace = builder.trace(path)
    assert blocks(trace) == [(B, 16, 3, NEVER)]
    assert trace.failed("heap").tolist() == [1]


def test_a_record_whose_own_wrapper_is_inside_the_call(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kmalloc", 64)
    builder.enter("kcalloc", 1, 16)
    builder.call("kmalloc", 16, result=B)
    builder.leave(B)
    builder.leave(A)
    assert blocks(builder.trace(path)) == [(B, 16, 5, NEVER), (A, 64, 6, NEVER)]


def test_a_block_of_a_call_that_did_not_return_belongs_to_the_inner_one(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kcalloc", 1, 64)
    builder.call("kmalloc", 64, result=A)
    assert blocks(builder.trace(path)) == [(A, 64, 3, NEVER)]


def test_a_block_that_makes_the_heap_grow_is_none_of_the_callers(path: Path) -> None:
    """Neither where the block that was asked for lies in it, nor where only later ones do."""
    builder = TraceBuilder()
    for first, later in ((A + 16, A + 64), (OTHER, A + 0x1010)):
        builder.enter("kmalloc", 32)
        builder.call("kmalloc", 4096, result=later & ~0xFFF | 8)
        builder.leave(first)
        builder.call("kmalloc", 32, result=later)
    trace = builder.trace(path)
    assert [block[:2] for block in blocks(trace)] == [
        (A + 16, 32),
        (A + 64, 32),
        (OTHER, 32),
        (A + 0x1010, 32),
    ]


def test_blocks_that_fill_a_list_are_blocks_when_they_are_handed_out(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kcalloc", 1, 32)
    for block in (A, A + 32, A + 64):
        builder.call("kmalloc", 32, result=block)
    builder.leave(A)
    builder.call("kcalloc", 1, 32, result=A + 64).call("kcalloc", 1, 24, result=A + 32).call("kfree", A + 64)
    trace = builder.trace(path)
    assert blocks(trace) == [(A, 32, 8, NEVER), (A + 64, 32, 10, 13), (A + 32, 24, 12, NEVER)]


def test_pages_that_fill_a_list(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("alloc_frame")
    builder.call("alloc_frames", 4, result=0x200).call("alloc_frame", result=0x300)
    builder.leave(0x100)
    builder.call("alloc_frame", result=0x202)
    trace = builder.trace(path)
    assert blocks(trace, "frames") == [
        (0x300000, 4096, 5, NEVER),
        (0x100000, 4096, 6, NEVER),
        (0x202000, 4096, 8, NEVER),
    ]


def test_an_overlap_with_a_record_is_no_list_of_blocks(path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kmalloc", 64)
    builder.call("kmalloc", 16, result=B)
    builder.leave(A)
    builder.call("kmalloc", 64, result=B - 56)
    assert [block[:2] for block in blocks(builder.trace(path))] == [(B, 16), (A, 64), (B - 56, 64)]


def test_an_inner_block_of_unknown_size_may_hold_the_outer_one(tmp_path: Path) -> None:
    profile = Profile(
        "unknown sizes",
        (
            TracedFunction("get", "heap", Role.ALLOC, (), Result.POINTER, 0),
            TracedFunction("get_aligned", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),
        ),
    )
    builder = TraceBuilder(profile)
    builder.enter("get_aligned", 32)
    builder.call("get", result=A)
    builder.leave(A + 24)
    builder.enter("get_aligned", 32)
    builder.call("get", result=B + 64)
    builder.leave(B)
    assert [block[:2] for block in blocks(builder.trace(tmp_path / "a.kmt"))] == [
        (A + 24, 32),
        (B + 64, 0),
        (B, 32),
    ]


def test_a_free_that_is_done_by_an_inner_one_takes_one_owner(path: Path) -> None:
    builder = TraceBuilder().call("get_blk", 0x5000, 1, 64, out=A).call("share_blk", A)
    builder.enter("rel_blk", 1, A)
    builder.call("rel_blk", 1, A)
    builder.leave()
    builder.call("rel_blk", 1, A)
    trace = builder.trace(path)
    assert blocks(trace, "pools") == [(A, 64, 2, 9)]
    assert trace.stray_frees("pools").tolist() == []


def test_a_free_that_fails_leaves_the_block_to_the_one_inside(path: Path) -> None:
    builder = TraceBuilder().call("get_blk", 0x5000, 1, 64, out=A)
    builder.enter("rel_blk", 1, A)
    builder.call("rel_blk", 1, A)
    builder.leave(FAILURE)
    assert blocks(builder.trace(path), "pools") == [(A, 64, 2, 4)]


def test_a_block_that_is_shared_inside_an_allocation_has_two_owners(path: Path) -> None:
    """Unless it is the one that the allocation returns."""
    builder = TraceBuilder().call("get_blk", 0x5000, 1, 64, out=A)
    builder.enter("get_blk", 0x5000, 1, 32)
    builder.call("share_blk", A).call("share_blk", B)
    builder.leave(out=B)
    builder.call("rel_blk", 1, A).call("rel_blk", 1, A).call("rel_blk", 1, B).call("rel_blk", 1, B)
    trace = builder.trace(path)
    assert blocks(trace, "pools") == [(A, 64, 2, 11), (B, 32, 8, 13)]
    assert trace.stray_frees("pools").tolist() == [8]


def test_a_nested_free_frees_but_is_never_stray(path: Path) -> None:
    """To make room, or what it got too much."""
    builder = TraceBuilder().call("kmalloc", 64, result=A)
    builder.enter("kmalloc", 128)
    builder.call("kfree", A).call("kfree", B)
    builder.leave(A)
    trace = builder.trace(path)
    assert blocks(trace) == [(A, 64, 2, 4), (A, 128, 8, NEVER)]
    assert trace.stray_frees("heap").tolist() == []


def test_realloc_frees_at_its_entry_and_makes_a_block_at_its_return(path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 64, result=A)
    builder.enter("krealloc", A, 128)
    builder.call("kmalloc", 128, result=B).call("kfree", A)
    builder.leave(B)
    trace = builder.trace(path)
    assert blocks(trace) == [(A, 64, 2, 3), (B, 128, 8, NEVER)]
    assert trace.stray_frees("heap").tolist() == []


@pytest.mark.parametrize(
    ("size", "died", "failed"),
    [(128, NEVER, [2]), (0, 3, [])],
    ids=["no memory", "freed by asking for nothing"],
)
def test_realloc_that_returns_nothing(path: Path, size: int, died: int, failed: list[int]) -> None:
    trace = TraceBuilder().call("kmalloc", 64, result=A).call("krealloc", A, size).trace(path)
    assert blocks(trace) == [(A, 64, 2, died)]
    assert trace.failed("heap").tolist() == failed


def test_realloc_of_nothing_is_an_allocation(path: Path) -> None:
    trace = TraceBuilder().call("krealloc", 0, 64, result=A).trace(path)
    assert blocks(trace) == [(A, 64, 2, NEVER)]
    assert trace.stray_frees("heap").tolist() == []


def test_a_shared_block_dies_with_its_last_owner(path: Path) -> None:
    builder = TraceBuilder().call("get_blk", 0x5000, 1, 64, out=A).call("share_blk", A).call("share_blk", A)
    for _ in range(4):
        builder.call("rel_blk", 1, A)
    trace = builder.trace(path)
    assert blocks(trace, "pools") == [(A, 64, 2, 11)]
    assert trace.stray_frees("pools").tolist() == [7]


def test_an_address_that_is_handed_out_again_ends_the_old_block(path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 64, result=A).call("kmalloc", 32, result=A).call("kfree", A)
    trace = builder.trace(path)
    assert blocks(trace) == [(A, 64, 2, 4), (A, 32, 4, 5)]
    assert trace.blocks("heap").died_call.tolist() == [0, 3]
    assert trace.usage("heap").bytes.tolist() == [0, 64, 32, 0]


def test_a_reset_forgets_all_blocks(path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 64, result=A).call("kmalloc", 32, result=B).call("heap_init")
    builder.call("kfree", A).call("kmalloc", 16, result=B)
    trace = builder.trace(path)
    assert blocks(trace) == [(A, 64, 2, 5), (B, 32, 4, 5), (B, 16, 10, NEVER)]
    assert trace.stray_frees("heap").tolist() == [4]


def test_a_reset_of_a_pool_forgets_its_blocks(path: Path) -> None:
    builder = TraceBuilder().call("get_blk", 0x5000, 1, 64, out=A).call("get_blk", 0x5000, 2, 32, out=B)
    builder.call("del_pool", 3).call("del_pool", 2, result=FAILURE).call("del_pool", 1)
    assert blocks(builder.trace(path), "pools") == [(A, 64, 2, 9), (B, 32, 4, NEVER)]


def test_a_part_of_a_run_is_given_back(path: Path) -> None:
    builder = TraceBuilder().call("alloc_frames", 5, result=0x200).call("free_frames", 0x201, 2)
    builder.call("free_frame", 0x204)
    assert blocks(builder.trace(path), "frames") == [
        (0x200000, 4096, 2, NEVER),
        (0x201000, 8192, 2, 3),
        (0x203000, 4096, 2, NEVER),
        (0x204000, 4096, 2, 5),
    ]


def test_runs_are_given_back_together(path: Path) -> None:
    builder = TraceBuilder().call("alloc_frame", result=0x200).call("alloc_frames", 2, result=0x201)
    builder.call("free_frames", 0x1FF, 9)
    trace = builder.trace(path)
    assert blocks(trace, "frames") == [(0x200000, 4096, 2, 5), (0x201000, 8192, 4, 5)]
    assert trace.stray_frees("frames").tolist() == []


def test_a_part_of_a_run_is_shared(path: Path) -> None:
    builder = TraceBuilder().call("alloc_frames", 3, result=0x200).call("share_frames", 0x201, 1)
    builder.call("free_frames", 0x200, 3).call("free_frame", 0x201)
    assert blocks(builder.trace(path), "frames") == [
        (0x200000, 4096, 2, 5),
        (0x201000, 4096, 2, 7),
        (0x202000, 4096, 2, 5),
    ]


def test_frames_that_cannot_be(path: Path) -> None:
    """A free of nonsense is stray; a run never reaches beyond 4 GiB."""
    builder = TraceBuilder().call("free_frame", 1 << 20).call("free_frames", FAILURE, FAILURE)
    builder.call("alloc_frame", result=1 << 20).call("alloc_frames", FAILURE, result=0xFFFFF)
    trace = builder.trace(path)
    assert blocks(trace, "frames") == [(0xFFFF_F000, 4096, 8, NEVER)]
    assert trace.stray_frees("frames").tolist() == [1, 2]
    assert trace.failed("frames").tolist() == [3]


def test_huge_runs_over_small_ones_do_not_take_memory(path: Path) -> None:
    """Cut at all borders these runs would have some hundred million pieces."""
    builder = TraceBuilder()
    for index in range(20_000):
        builder.call("alloc_frames", 1, result=2 * index)
        builder.call("alloc_frames", 1 << 16, result=index % 7)
    trace = builder.trace(path)
    found = trace.blocks("frames")
    assert found.born_call[found.died == NEVER].max() == 40_000
    assert int(trace.live(None, "frames").size.sum()) == (1 << 28) + 6 * 4096


@pytest.mark.parametrize("empty", [16, 0x0010_4000])
def test_one_address_for_all_requests_of_no_bytes_is_no_block(empty: int, tmp_path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 0, result=empty).call("kmalloc", 0, result=empty)
    builder.call("kmalloc", 24, result=0x20_0000).call("krealloc", empty, 40, result=0x20_1000)
    builder.call("krealloc", 0x20_0000, 0, result=empty)
    for _ in range(3):
        builder.call("kfree", empty)
    trace = builder.trace(tmp_path / "t")
    assert trace.blocks("heap").address.tolist() == [0x20_0000, 0x20_1000]
    assert trace.stray_frees("heap").tolist() == []
    assert trace.live(None, "heap").address.tolist() == [0x20_1000]


def test_blocks_of_no_bytes_at_addresses_of_their_own_are_blocks(tmp_path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 0, result=0x20_0000).call("kmalloc", 0, result=0x20_0010)
    builder.call("kfree", 0x20_0000).call("kmalloc", 0, result=0x20_0000).call("kfree", 0x20_0000)
    trace = builder.call("kfree", 0x20_0000).trace(tmp_path / "t")
    assert trace.blocks("heap").address.tolist() == [0x20_0000, 0x20_0010, 0x20_0000]
    assert trace.stray_frees("heap").tolist() == [6]


def test_an_address_in_the_first_page_that_nobody_answered_is_no_empty_block(tmp_path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 0, result=16).call("kfree", 24).trace(tmp_path / "t")
    assert trace.stray_frees("heap").tolist() == [2]
