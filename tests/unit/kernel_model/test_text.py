from __future__ import annotations

import pytest

from kernel_model.audit import Location, LocationKind, table_entry
from kernel_model.text import location_or_address, location_text

VARIABLE = LocationKind.VARIABLE


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (Location(VARIABLE, "word", 0, 4), "word"),
        (Location(VARIABLE, "table", 4, 8, byte=4), "table+0x4"),
        (Location(VARIABLE, "tcb_table", 0, 4, item=3, field="wercd"), "tcb_table[3].wercd"),
        (Location(VARIABLE, "boot", 0, 4, field="modules[3].start"), "boot.modules[3].start"),
        (Location(VARIABLE, "grid", 0, 4, item=1, field="[2].x"), "grid[1][2].x"),
        (Location(LocationKind.PADDING, "boot", 0, 1, field="inner"), "boot.inner (padding)"),
        (Location(LocationKind.STACK, "kmain", 0, 64), "stack of kmain"),
        (table_entry(0xC0001000, 0x5004), "page table entry of 0xc0001000"),
        (table_entry(0x400000, 0x5004, 3, of_directory=True), "page directory entry of 0x00400000 (task 3)"),
    ],
)
def test_a_location_in_words(location: Location, text: str) -> None:
    assert location_text(location) == text
    assert location_or_address(0x1000, location) == text


def test_where_nothing_is_known_there_is_the_address() -> None:
    assert location_or_address(0x1000, None) == "0x00001000"
