"""One area of a trace: which calls go on in it, and which block lies where at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.check.area import Area
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def area(tmp_path: Path) -> Area:
    """The heap of a run: kmalloc from event 1 to 2, alloc_frame from 3 to 4, kmalloc from 5 on."""
    builder = TraceBuilder().call("kmalloc", 8, result=0x1000).call("alloc_frame", result=9)
    builder.enter("kmalloc", 8)
    return Area(builder.trace(tmp_path / "t"), "heap")


def test_a_call_goes_on_from_its_entry_to_its_return(area: Area) -> None:
    assert [area.any_call_open_at(event) for event in range(8)] == [False] * 6 + [True] * 2


def test_at_an_entry_what_held_before_still_holds(area: Area) -> None:
    assert [area.settled(event) for event in range(7)] == [0, 0, 2, 3, 4, 4, 6]


def test_a_block_covers_its_bytes(area: Area) -> None:
    for address, is_there in ((0xFFF, False), (0x1000, True), (0x1007, True), (0x1008, False)):
        block = area.live_block_at(address)
        assert (block is not None) is is_there
        assert block is None or (block.address, block.size, block.allocated.call) == (0x1000, 8, 1)
