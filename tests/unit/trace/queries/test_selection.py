from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.trace.queries.selection import Bounds, Selection, select
from tests.helpers import trace_examples
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.trace.trace import Trace


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Return: 1 kmalloc(100), 2 kmalloc(300) around 3 alloc_frames(2), 4 kfree of 1, 5 kmalloc fails, 6 stray kfree, 7 stays."""
    return trace_examples.small().trace(tmp_path / "t")


def numbers(trace: Trace, **what: object) -> list[int]:
    return (np.flatnonzero(select(trace, Selection(**what))) + 1).tolist()  # type: ignore[arg-type]


def test_everything(trace: Trace) -> None:
    assert numbers(trace) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("patterns", "calls"),
    [
        (["kfree"], [4, 6]),
        (["alloc*", "kfree"], [3, 4, 6]),
        (["k?lloc"], []),
        (["KFREE"], []),
        (["k[mf]*"], [1, 2, 4, 5, 6, 7]),
    ],
)
def test_functions(trace: Trace, patterns: list[str], calls: list[int]) -> None:
    assert numbers(trace, functions=patterns) == calls


def test_callers_anywhere_in_the_stack(trace: Trace) -> None:
    assert numbers(trace, callers=["load"]) == [2, 3]
    assert numbers(trace, callers=["st?rt"]) == [1, 2, 3, 4, 5, 6]
    assert numbers(trace, callers=["none", "load"]) == [2, 3]


@pytest.mark.parametrize(
    ("address", "calls"),
    [
        (Bounds(0x20_0000, 0x20_0000), [1, 4]),
        (Bounds(0x20_0063, 0x20_0063), [1, 4]),
        (Bounds(0x20_0064, 0x20_00FF), []),
        (Bounds(0x20_0064, None), [2, 3, 6]),
        (Bounds(0, 0x20_0100), [1, 2, 4]),
        (Bounds(0x20_0100, 0x20_0200), [2]),
        (Bounds(0x30_1FFF, 0x30_1FFF), [3]),
        (Bounds(0x30_2000, 0x30_2000), []),
        (Bounds(0xDEAD_BEE0, 0xDEAD_BEE0), [6]),
        (Bounds(1 << 70, None), []),
    ],
)
def test_addresses(trace: Trace, address: Bounds, calls: list[int]) -> None:
    assert numbers(trace, address=address) == calls


def test_addresses_of_frames_and_of_what_out_points_to(tmp_path: Path) -> None:
    builder = TraceBuilder().call("free_frame", 0x300).call("get_blk", 0x9000, 1, 8, out=0x20_0000)
    builder.call("get_blk", 0x9000, 1, 8, result=0xFFFF_FFDF, out=0x20_0000)
    trace = builder.trace(tmp_path / "more")
    assert numbers(trace, address=Bounds(0x30_0800, 0x30_0800)) == [1]
    assert numbers(trace, address=Bounds(0, 0x30_0000)) == [1, 2]
    assert numbers(trace, address=Bounds(0x20_0000, 0x20_0000)) == [2]
    assert numbers(trace, address=Bounds(0x20_0004, 0x20_0004)) == [2]
    assert numbers(trace, address=Bounds(0x9000, 0x9000)) == []


def test_an_out_parameter_without_an_error_counts_whatever_eax_is(tmp_path: Path) -> None:
    take = TracedFunction("take", "pools", Role.ALLOC, ("out",), Result.NONE)
    builder = TraceBuilder(Profile("mine", (take,))).call("take", 0x9000, result=7, out=0x20_0000)
    trace = builder.call("take", 0x9000, result=7, out=0).trace(tmp_path / "out")
    assert numbers(trace, address=Bounds(0x20_0000, 0x20_0000)) == [1]
    assert numbers(trace, address=Bounds(0, 0)) == []


def test_a_block_of_unknown_size_covers_its_address_only(tmp_path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 0, result=0x20_0000).trace(tmp_path / "more")
    assert numbers(trace, address=Bounds(0x20_0000, 0x20_0000)) == [1]
    assert numbers(trace, address=Bounds(0x20_0001, None)) == []


@pytest.mark.parametrize(
    ("size", "calls"),
    [
        (Bounds(100, 100), [1, 4]),
        (Bounds(101, None), [2, 3, 5]),
        (Bounds(8192, 8192), [3]),
        (Bounds(0, 8), [7]),
    ],
)
def test_sizes_of_calls_and_of_their_blocks(trace: Trace, size: Bounds, calls: list[int]) -> None:
    assert numbers(trace, size=size) == calls


def test_sizes_are_products_that_do_not_wrap(tmp_path: Path) -> None:
    builder = TraceBuilder().call("kcalloc", 3, 5).call("kcalloc", 1 << 31, 1 << 31)
    builder.call("alloc_frames", 1 << 31, result=0xFFFF_FFFF)
    trace = builder.call("alloc_frame", result=0x300).trace(tmp_path / "more")
    assert numbers(trace, size=Bounds(15, 15)) == [1]
    assert numbers(trace, size=Bounds(0xFFFF_FFFF, None)) == [2, 3]
    assert numbers(trace, size=Bounds(4096, 4096)) == [4]


def test_events(trace: Trace) -> None:
    assert numbers(trace, events=Bounds(4, 6)) == [2, 3]
    assert numbers(trace, events=Bounds(6, 7)) == [2, 4]
    assert numbers(trace, events=Bounds(0, 0)) == []
    assert numbers(trace, events=Bounds(13, None)) == [7]


def test_calls(trace: Trace) -> None:
    assert numbers(trace, calls=Bounds(3, 5)) == [3, 4, 5]
    assert numbers(trace, calls=Bounds(6, None)) == [6, 7]


def test_what_is_given_together_must_all_be_met(trace: Trace) -> None:
    assert numbers(trace, functions=["kmalloc"], calls=Bounds(2, None), callers=["kmain"]) == [2, 5]


def test_no_calls(tmp_path: Path) -> None:
    everything = Selection(["*"], ["*"], *[Bounds(0, None)] * 4)
    assert select(TraceBuilder().trace(tmp_path / "none"), everything).tolist() == []
