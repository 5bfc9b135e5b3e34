"""Frees with a size or a pool that is not the block's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.findings import Kind
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, Profile
from tests.helpers.traces import TraceBuilder
from tests.unit.check.checking import findings_of, messages_of

if TYPE_CHECKING:
    from pathlib import Path

A, B = 0x200008, 0x200048
SIZED = Profile(
    "sized",
    (
        TracedFunction("kmem_alloc", "kmem", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("kmem_free", "kmem", Role.FREE, ("ptr", "size"), Result.ERROR),
        TracedFunction("pmem_alloc", "pmem", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("pmem_free", "pmem", Role.FREE, ("ptr", "size"), Result.ERROR),
        TracedFunction("get_blf", "mpf", Role.ALLOC, ("out", "pool"), Result.ERROR),
        TracedFunction("get_any", "mpf", Role.ALLOC, (), Result.POINTER, 0),
        TracedFunction("rel_blf", "mpf", Role.FREE, ("pool", "ptr", "size"), Result.ERROR),
    ),
    {"pmem": PAGES},
)


def test_a_wrong_size(tmp_path: Path) -> None:
    calls = TraceBuilder(SIZED).call("kmem_alloc", 24, result=A).call("kmem_free", A, 32)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.kind is Kind.WRONG_SIZE
    assert finding.message == "free of 0x00200008 as 32 bytes, but it has 24 bytes"
    assert finding.call_site is not None
    assert finding.call_site.call == 2
    assert finding.block is not None
    assert finding.block.allocated.call == 1


def test_each_block_has_its_own_size(tmp_path: Path) -> None:
    calls = TraceBuilder(SIZED).call("kmem_alloc", 24, result=A).call("kmem_alloc", 8, result=B)
    calls.call("kmem_free", B, 1).call("kmem_free", A, 24)
    assert messages_of(calls, tmp_path) == [
        "wrong-size-free: free of 0x00200048 as 1 byte, but it has 8 bytes"
    ]


def test_a_refused_wrong_size_is_no_finding(tmp_path: Path) -> None:
    calls = TraceBuilder(SIZED).call("kmem_alloc", 24, result=A).call("kmem_free", A, 32, result=0xFFFFFFDF)
    assert findings_of(calls, tmp_path) == []


def test_pages_may_be_given_back_in_parts(tmp_path: Path) -> None:
    calls = TraceBuilder(SIZED).call("pmem_alloc", 0x4000, result=0x200000)
    calls.call("pmem_free", 0x201000, 0x1000).call("pmem_free", 0x200000, 0x1000)
    assert findings_of(calls, tmp_path) == []


def test_blocks_of_unknown_size_fit_any(tmp_path: Path) -> None:
    calls = TraceBuilder(SIZED).call("get_blf", 0x300000, 1, out=A).call("rel_blf", 1, A, 64)
    assert findings_of(calls, tmp_path) == []


def test_a_pool_may_have_the_number_0(tmp_path: Path) -> None:
    calls = TraceBuilder().call("get_blk", 0x300000, 0, 24, out=A).call("rel_blk", 2, A)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.message == "release of 0x00200008 to pool 2, but it is from pool 0"


def test_the_wrong_pool(tmp_path: Path) -> None:
    calls = TraceBuilder().call("get_blk", 0x300000, 1, 24, out=A).call("get_blk", 0x300000, 2, 8, out=B)
    calls.call("rel_blk", 2, A).call("rel_blk", 2, B)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.kind is Kind.WRONG_POOL
    assert finding.message == "release of 0x00200008 to pool 2, but it is from pool 1"
    assert finding.call_site is not None
    assert finding.call_site.call == 3


def test_a_block_of_no_known_pool_fits_any(tmp_path: Path) -> None:
    calls = TraceBuilder(SIZED).call("get_blf", 0x300000, 1, out=B).call("get_any", result=A)
    calls.call("rel_blf", 2, A, 0)
    assert findings_of(calls, tmp_path) == []
