"""What calls say of blocks: which one they made or name, its size, and whether they failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.trace.blocks.function_calls import NOWHERE, FunctionCalls, by_function, call_blocks
from tests.helpers.traces import FAILURE, TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, FunctionCalls]:
    builder = TraceBuilder().call("kmalloc", 64, result=0x1008).call("kmalloc", 8, result=0)
    builder.call("kcalloc", 1 << 16, 1 << 16, result=0x2008)
    builder.call("alloc_frames", 3, result=0x10C).call("alloc_frames", 3, result=FAILURE)
    builder.call("free_frame", 0x10C).call("free_frame", 1 << 20, result=1)
    builder.call("get_blk", 0x9000, 2, 16, out=0x3000).call("get_blk", 0x9000, 2, 16, result=7, out=0x3000)
    builder.enter("kfree", 0x1008)
    table = builder.stay().trace(tmp_path / "a.kmt").calls
    return {each.function.name: each for each in by_function(table)}


def test_only_functions_with_calls_come(calls: dict[str, FunctionCalls]) -> None:
    assert list(calls) == ["kmalloc", "kcalloc", "kfree", "alloc_frames", "free_frame", "get_blk"]


def test_calls_of_one_area(tmp_path: Path) -> None:
    table = TraceBuilder().call("kmalloc", 8).call("alloc_frame").trace(tmp_path / "a.kmt").calls
    assert [each.function.name for each in by_function(table, "frames")] == ["alloc_frame"]


@pytest.mark.parametrize(
    ("function", "made"),
    [
        ("kmalloc", [(0x1008, True), (0, False)]),
        ("alloc_frames", [(0x10C000, True), (0xFFFFF000, False)]),
        ("get_blk", [(0x3000, True), (0x3000, False)]),
    ],
)
def test_a_block_is_made_unless_the_call_fails(
    calls: dict[str, FunctionCalls], function: str, made: list[tuple[int, bool]]
) -> None:
    address, good = calls[function].made()
    assert list(zip(address.tolist(), good.tolist(), strict=True)) == made


def test_a_block_is_named_by_its_address_or_its_frame(calls: dict[str, FunctionCalls]) -> None:
    assert calls["kfree"].named().tolist() == [0x1008]
    assert calls["free_frame"].named().tolist() == [0x10C000, NOWHERE]


def test_sizes_are_bytes_and_never_wrap(calls: dict[str, FunctionCalls]) -> None:
    assert calls["kmalloc"].size().tolist() == [64, 8]
    assert calls["kcalloc"].size().tolist() == [0xFFFF_FFFF]
    assert calls["alloc_frames"].size().tolist() == [3 * 4096, 3 * 4096]
    assert calls["free_frame"].size().tolist() == [4096, 4096]
    assert (calls["free_frame"].asked_size(), calls["kfree"].size().tolist()) == (None, [0])


def test_what_failed(calls: dict[str, FunctionCalls]) -> None:
    assert calls["kmalloc"].failed.tolist() == [False, True]
    assert calls["alloc_frames"].failed.tolist() == [False, True]
    assert calls["get_blk"].failed.tolist() == calls["get_blk"].refused.tolist() == [False, True]
    assert calls["kfree"].failed.tolist() == [False]
    assert calls["kmalloc"].refused.tolist() == [False, False]  # it has no error as its result
    assert calls["kfree"].returned.tolist() == [False]


def test_each_call_is_about_one_block(tmp_path: Path) -> None:
    builder = TraceBuilder().call("krealloc", 0x1008, 32, result=0x2008).call("kfree", 0x2008).call("tick", 1)
    address, end = call_blocks(builder.trace(tmp_path / "a.kmt").calls)
    assert address.tolist() == [0x2008, 0x2008, 0]
    assert end.tolist()[:2] == [0x2028, 0x2009]


def test_several_results_that_say_no_block(tmp_path: Path) -> None:
    get = TracedFunction(
        "get", "heap", Role.ALLOC, ("size",), Result.POINTER, 0, other_failures=((0xFFFF_F001, FAILURE),)
    )
    builder = TraceBuilder(Profile("errors", (get,)))
    for result in (0, 0xFFFF_F000, 0xFFFF_F001, 0xFFFF_FFF4, 0x1000):
        builder.call("get", 8, result=result)
    trace = builder.trace(tmp_path / "a.kmt")
    (calls,) = by_function(trace.calls)
    assert calls.failed.tolist() == [True, False, True, True, False]
    assert calls.made()[1].tolist() == [False, True, False, False, True]
    assert trace.failed("heap").tolist() == [1, 3, 4]
    assert trace.blocks("heap").address.tolist() == [0xFFFF_F000, 0x1000]
