"""What findings say of the life of a block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.check.call_sites import CallSites
from emulator.check.structures.corruption import block_near
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.findings import CallSite

A, B = 0x200008, 0x200100


def allocated() -> TraceBuilder:
    return TraceBuilder().call("kmalloc", 64, result=A).call("kmalloc", 64, result=B)


def named(call_site: CallSite | None) -> tuple[int, int, str] | None:
    return None if call_site is None else (call_site.call, call_site.event, call_site.function)


def test_an_event_is_the_entry_or_the_return_of_a_call(tmp_path: Path) -> None:
    builder = allocated()
    builder.enter("kmalloc", 64)
    call_sites = CallSites(builder.trace(tmp_path / "run.kmt"))
    assert [named(call_sites.at(event)) for event in range(7)] == [
        None,
        *((call, event, "kmalloc") for call, event in ((1, 1), (1, 2), (2, 3), (2, 4), (3, 5))),
        None,
    ]


@pytest.mark.parametrize(
    ("end", "freed"),
    [
        (allocated(), None),
        (allocated().call("kfree", A), (3, 5, "kfree")),
        (allocated().call("heap_init"), (3, 5, "heap_init")),
        (allocated().call("krealloc", A, 99, result=B + 512), (3, 5, "krealloc")),
        (allocated().call("krealloc", A, 99, result=A), (3, 5, "krealloc")),
        (allocated().call("krealloc", B, 99, result=A), None),
        (allocated().call("kmalloc", 16, result=A), None),
        (allocated().call("kmalloc", 16, result=A).call("kfree", A), None),
    ],
    ids=["live", "freed", "forgotten", "moved", "grown", "replaced by another", "handed out", "and freed"],
)
def test_who_freed_a_block(end: TraceBuilder, freed: tuple[int, int, str] | None, tmp_path: Path) -> None:
    trace = end.trace(tmp_path / "run.kmt")
    call_sites, blocks = CallSites(trace), trace.blocks("heap")
    history = call_sites.history(blocks, 0)
    assert (history.address, history.size, named(history.allocated)) == (A, 64, (1, 2, "kmalloc"))
    assert named(history.freed) == freed
    assert call_sites.history(blocks, 0, 4).freed is None


@pytest.mark.parametrize("freed_first", [False, True])
def test_a_block_whose_memory_was_allocated_again_is_no_freed_one(
    *, freed_first: bool, tmp_path: Path
) -> None:
    trace = allocated().call("kmalloc", 16, result=A).trace(tmp_path / "run.kmt")
    history = block_near(trace, "heap", A + 32, 6, freed_first=freed_first)
    assert history is not None
    assert (history.address, history.size, history.freed) == (A, 16, None)
