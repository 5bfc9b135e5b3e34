"""Frees of what was not live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from emulator.check.area import MOST_ALIKE
from emulator.check.findings import Kind
from emulator.guest.symbolizer import Frame
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, Profile
from tests.helpers.traces import PROFILE, WHO, TraceBuilder
from tests.unit.check.checking import findings_of, messages_of

if TYPE_CHECKING:
    from pathlib import Path

A, B = 0x200008, 0x200048
OTHER = (Frame(0x101099, "other", 0x9),)


def test_what_is_right_has_no_findings(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kfree", A).call("kfree", 0)
    calls.call("kmalloc", 24, result=A).call("krealloc", A, 48, result=A).call("kfree", A)
    calls.call("alloc_frames", 4, result=0x201).call("free_frame", 0x202).call("free_frames", 0x203, 2)
    calls.call("free_frame", 0x201)
    calls.call("get_blk", 0x300000, 1, 24, out=B).call("rel_blk", 1, B)
    assert findings_of(calls, tmp_path) == []


def test_a_double_free_names_all_three_call_sites(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kfree", A, stack=OTHER).call("kfree", A)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.kind is Kind.DOUBLE_FREE
    assert finding.message == "double free of 0x00200008 (24 bytes)"
    assert finding.call_site is not None
    assert (finding.call_site.call, finding.call_site.event, finding.call_site.function) == (3, 5, "kfree")
    assert finding.call_site.backtrace == WHO
    assert finding.block is not None
    assert (finding.block.address, finding.block.size) == (A, 24)
    assert (finding.block.allocated.call, finding.block.allocated.event) == (1, 2)
    assert finding.block.freed is not None
    assert (finding.block.freed.call, finding.block.freed.event) == (2, 3)
    assert finding.block.freed.backtrace == OTHER


def test_the_latest_block_at_an_address_is_reported(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kfree", A)
    calls.call("kmalloc", 16, result=A).call("kfree", A).call("kfree", A)
    assert messages_of(calls, tmp_path) == ["double-free: double free of 0x00200008 (16 bytes)"]


def test_a_pointer_into_a_live_block_is_an_invalid_free(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kfree", A + 8).call("kfree", A)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.kind is Kind.INVALID_FREE
    assert finding.message == "invalid free of 0x00200010, 8 bytes inside block #1 of 24 bytes"
    assert finding.block is not None
    assert finding.block.freed is None  # that came later


def test_a_pointer_into_a_freed_block_is_reported(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kfree", A).call("kfree", A + 8)
    assert messages_of(calls, tmp_path) == [
        "invalid-free: invalid free of 0x00200010, 8 bytes inside the freed block #1 of 24 bytes"
    ]


def test_a_block_whose_memory_was_allocated_again_was_not_freed(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 64, result=A).call("kmalloc", 16, result=A).call("kfree", A)
    calls.call("kfree", A + 32)
    assert messages_of(calls, tmp_path)[1] == (
        "invalid-free: invalid free of 0x00200028, 32 bytes inside block #1 of 64 bytes"
    )


def test_an_address_that_is_now_inside_another_block_is_no_double_free(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=B).call("kfree", B)
    calls.call("kmalloc", 256, result=A).call("kfree", B)
    assert messages_of(calls, tmp_path) == [
        "invalid-free: invalid free of 0x00200048, 64 bytes inside block #3 of 256 bytes"
    ]


def test_a_pointer_that_was_never_allocated(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kfree", A + 24)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.kind is Kind.INVALID_FREE
    assert finding.message == "invalid free of 0x00200020, which was never allocated"
    assert finding.block is None


def test_a_refused_free_is_the_kernels_word_not_a_finding(tmp_path: Path) -> None:
    calls = TraceBuilder().call("get_blk", 0x300000, 1, 24, out=A).call("rel_blk", 1, A)
    calls.call("rel_blk", 1, A, result=0xFFFFFFDE).call("free_frame", 0x201, result=0xFFFFFFFF)
    assert findings_of(calls, tmp_path) == []


def test_a_free_that_a_kernel_accepts_wrongly_is_found(tmp_path: Path) -> None:
    calls = TraceBuilder().call("get_blk", 0x300000, 1, 24, out=A).call("rel_blk", 1, A).call("rel_blk", 1, A)
    assert messages_of(calls, tmp_path) == ["double-free: double free of 0x00200008 (24 bytes)"]


def test_a_block_that_a_reset_has_forgotten(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("heap_init").call("kfree", A)
    assert messages_of(calls, tmp_path) == [
        "invalid-free: invalid free of 0x00200008 (24 bytes), which heap_init has forgotten"
    ]


def test_frames_twice(tmp_path: Path) -> None:
    calls = TraceBuilder().call("alloc_frames", 4, result=0x201).call("free_frames", 0x201, 4)
    calls.call("free_frame", 0x202)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.kind is Kind.DOUBLE_FREE
    assert finding.message == "double free of 0x00202000 (16384 bytes)"


RESERVING = replace(
    PROFILE,
    functions=(
        *PROFILE.functions,
        TracedFunction("reserve", "frames", Role.OTHER, ("start", "end"), Result.NONE),
    ),
)


@pytest.mark.parametrize(("profile", "number"), [(RESERVING, 0), (PROFILE, 1)])
def test_reserved_frames_may_be_given_back(profile: Profile, number: int, tmp_path: Path) -> None:
    calls = TraceBuilder(profile)
    if profile is RESERVING:
        calls.call("reserve", 0x201800, 0x203001)
    calls.call("free_frames", 0x201, 3)
    assert len(findings_of(calls, tmp_path)) == number


def test_frames_beside_the_reserved_ones_may_not(tmp_path: Path) -> None:
    calls = TraceBuilder(RESERVING).call("reserve", 0x201000, 0x203000).call("free_frame", 0x203)
    assert len(findings_of(calls, tmp_path)) == 1


@pytest.mark.parametrize(
    ("function", "start", "end", "number"),
    [
        ("reserve", 0x300000, 0x400000, 0),
        ("reserve", 0x300800, 0x300800, 1),  # an empty range
        ("keep", 0x300000, 0x400000, 1),  # one of the heap
        ("free_frames", 0x300, 0x400, 2),  # no reservation, and itself wrong
    ],
)
def test_only_frames_that_were_reserved_before_may_be_given_back(
    function: str, start: int, end: int, number: int, tmp_path: Path
) -> None:
    keep = TracedFunction("keep", "heap", Role.OTHER, ("start", "end"), Result.NONE)
    profile = replace(RESERVING, functions=(*RESERVING.functions, keep))
    calls = TraceBuilder(profile).call("reserve", 0x100000, 0x200000).call(function, start, end)
    calls.call("free_frame", 0x300)
    calls.call("reserve", 0x300000, 0x400000)
    assert len(findings_of(calls, tmp_path)) == number


@pytest.mark.parametrize("step", [16, 4096, -4096])
@pytest.mark.parametrize("more", [0, 100])
def test_a_loop_that_gives_memory_to_the_allocator_is_right(step: int, more: int, tmp_path: Path) -> None:
    """As kernels fill their lists of free pages."""
    calls = TraceBuilder()
    for start in (0x300000, 0x400000):
        for index in range(MOST_ALIKE + more):
            calls.call("kfree", start + step * index).call("free_frame", start + index)
        calls.call("kmalloc", 24, result=start).call("kfree", start)
    assert findings_of(calls, tmp_path) == []


@pytest.mark.parametrize(
    ("count", "step", "place"),
    [
        (MOST_ALIKE - 1, 4096, WHO),
        (MOST_ALIKE, 0, WHO),
        (MOST_ALIKE, 4096, OTHER),  # two places, half each
    ],
)
def test_frees_that_are_no_such_loop_are_wrong(
    count: int, step: int, place: tuple[Frame, ...], tmp_path: Path
) -> None:
    calls = TraceBuilder()
    for index in range(count):
        calls.call("kfree", 0x300000 + step * index, stack=place if index % 2 else WHO)
    assert len(findings_of(calls, tmp_path)) == count


@pytest.mark.parametrize("block", [0x300000, 0x300FFF, 0x300000 + 4096 * (MOST_ALIKE - 1)])
def test_a_loop_that_frees_what_once_was_allocated_is_wrong(block: int, tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 8, result=block).call("kfree", block)
    for index in range(MOST_ALIKE):
        calls.call("kfree", 0x300000 + 4096 * index)
    wrong = [finding for finding in findings_of(calls, tmp_path) if finding.kind is not Kind.BAD_RESULT]
    assert len(wrong) == MOST_ALIKE


def test_a_flood_from_one_call_site_is_cut(tmp_path: Path) -> None:
    calls = TraceBuilder()
    for index in range(MOST_ALIKE + 5):
        calls.call("kfree", A + 16 * index**2)
    calls.call("kfree", A, stack=OTHER).call("kfree", A)
    findings = findings_of(calls, tmp_path)
    calls_found = [finding.call_site and finding.call_site.call for finding in findings]
    assert calls_found == [*range(1, MOST_ALIKE + 1), MOST_ALIKE + 6]
    line = f"the first {MOST_ALIKE} of {MOST_ALIKE + 6} such calls were looked at"
    assert [finding.details for finding in findings] == [(line,), *[()] * MOST_ALIKE]


PAGE_RUNS = Profile(
    "pages",
    (
        TracedFunction("get_pages", "runs", Role.ALLOC, ("pages",), Result.POINTER, 0),
        TracedFunction("put_pages", "runs", Role.FREE, ("ptr", "pages"), Result.NONE),
    ),
    {"runs": PAGES},
)


@pytest.mark.parametrize(
    ("alignment", "messages"),
    [
        (4096, ["invalid-free: invalid free of 0x00201008, 8 bytes inside block #1 of 4096 bytes"]),
        (16, ["invalid-free: invalid free of 0x00201008, 8 bytes inside block #1 of 4096 bytes"]),
        (8, []),
    ],
)
def test_an_address_inside_a_page_is_none_to_free(
    alignment: int, messages: list[str], tmp_path: Path
) -> None:
    """Unless the profile says that the allocator takes it."""
    profile = replace(PAGE_RUNS, rules={"runs": replace(PAGES, alignment=alignment)})
    calls = TraceBuilder(profile).call("get_pages", 2, result=0x200000).call("put_pages", 0x201008, 1)
    assert messages_of(calls.call("put_pages", 0x200000, 1), tmp_path) == messages
