"""Blocks that are allocated over live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from emulator.check.findings import Kind
from emulator.machine.core.lives import Lives, find_overlaps
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from tests.helpers.traces import TraceBuilder
from tests.unit.check.checking import findings_of, messages_of

if TYPE_CHECKING:
    from pathlib import Path

A = 0x200008


@pytest.mark.parametrize("start", [A, A - 8, A + 8, A + 23, A - 23])
def test_a_block_over_a_live_one(start: int, tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kmalloc", 24, result=start)
    (finding,) = [each for each in findings_of(calls, tmp_path) if each.kind is Kind.OVERLAP]
    assert finding.message == (
        f"overlapping blocks: 0x{start:08x} (24 bytes) was allocated over the live block #1 of 24 bytes at 0x00200008"
    )
    assert finding.call_site is not None
    assert (finding.call_site.call, finding.call_site.event) == (2, 4)
    assert finding.block is not None
    assert finding.block.address == A
    assert finding.block.freed is None


@pytest.mark.parametrize("start", [A - 24, A + 24])
def test_neighbours_do_not_overlap(start: int, tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kmalloc", 24, result=start)
    assert findings_of(calls, tmp_path) == []


def test_memory_may_be_used_again(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 64, result=A).call("kfree", A)
    calls.call("kmalloc", 8, result=A + 8).call("kfree", A + 8).call("kmalloc", 64, result=A)
    calls.call("heap_init").call("kmalloc", 64, result=A + 32)
    assert findings_of(calls, tmp_path) == []


def test_a_block_of_no_bytes_matters_where_it_is_given_back_by_its_address(tmp_path: Path) -> None:
    arena = Profile(
        "arena",
        (
            TracedFunction("take", "arena", Role.ALLOC, ("size",), Result.POINTER, 0),
            TracedFunction("renew", "arena", Role.RESET, (), Result.NONE),
        ),
    )
    calls = (
        TraceBuilder(arena)
        .call("take", 0, result=A)
        .call("take", 16, result=A)
        .call("take", 0, result=A + 16)
    )
    calls.call("take", 8, result=A + 16).call("take", 8, result=A + 20)
    (finding,) = [each for each in findings_of(calls, tmp_path) if each.kind is Kind.OVERLAP]
    assert finding.call_site is not None
    assert finding.call_site.call == 5
    assert finding.block is not None
    assert finding.block.size == 8
    heap = TraceBuilder().call("kmalloc", 0, result=A).call("kmalloc", 16, result=A)
    assert [each.kind for each in findings_of(heap, tmp_path)] == [Kind.OVERLAP]


def test_who_overlaps_does_not_make_others_do_so(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 16, result=A).call("kmalloc", 64, result=A + 8)
    calls.call("kmalloc", 16, result=A + 32)
    assert [each.call_site and each.call_site.call for each in findings_of(calls, tmp_path)] == [2]


def test_frames_overlap_by_pages(tmp_path: Path) -> None:
    calls = TraceBuilder().call("alloc_frames", 4, result=0x201).call("alloc_frame", result=0x203)
    assert messages_of(calls, tmp_path) == [
        (
            "overlapping-blocks: overlapping blocks: 0x00203000 (4096 bytes) was allocated over the live"
            " block #1 of 4096 bytes at 0x00203000"
        )
    ]


def test_overlaps_are_those_that_a_slow_search_finds() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        count = 200
        first = rng.integers(0, 3000, count).astype(np.uint32)
        last = (first + rng.integers(0, 130, count)).astype(np.uint32)
        born = np.sort(rng.choice(2000, count, replace=False)).astype(np.uint32)
        died = np.where(rng.random(count) < 0.8, born + rng.integers(1, 60, count), 0xFFFFFFFF).astype(
            np.uint32
        )
        live: list[int] = []
        expected = []
        for new in range(count):
            live = [each for each in live if died[each] >= born[new]]
            if any(first[new] <= last[each] and last[new] >= first[each] for each in live):
                expected.append(new)
            else:
                live.append(new)
        lives = Lives(first.data, last.data, born.data, died.data)
        assert find_overlaps(lives, 2100, count) == (len(expected), expected)
        assert find_overlaps(lives, 2100, 3) == (len(expected), expected[:3])


def test_no_blocks_do_not_overlap() -> None:
    none = np.empty(0, np.uint32).data
    assert find_overlaps(Lives(none, none, none, none), 0, 1) == (0, [])


def test_more_blocks_that_overlap_than_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.check.calls.overlaps._MOST_OVERLAPS", 3)
    calls = TraceBuilder().call("kmalloc", 24, result=A)
    for _ in range(5):
        calls.call("kmalloc", 24, result=A + 8)
    findings = findings_of(calls, tmp_path)
    assert [finding.details for finding in findings] == [
        ("the first 3 of 5 blocks that overlap were looked at",),
        (),
        (),
    ]
