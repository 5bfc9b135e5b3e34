from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.debug.fields import FieldChange, changed_fields
from emulator.guest.backtrace import backtrace
from emulator.guest.locator import Locator
from emulator.replay.changes import Change
from kernel_model.text import location_or_address
from tests.helpers.guest import machine_of, symbol
from tests.helpers.timelines import call_number, first_success, go_after_return, timeline_of

if TYPE_CHECKING:
    from emulator.debug.timeline import Timeline
    from emulator.machine.machine import Machine


def named(timeline: Timeline) -> dict[str, tuple[bytes, bytes]]:
    machine = timeline.machine
    changes = timeline.changes()
    fields = changed_fields(changes, Locator(machine), machine.memory, backtrace(machine))
    return {name_of(field): (field.before, field.after) for field in fields}


def name_of(field: FieldChange) -> str:
    return location_or_address(field.address, field.location)


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def test_fields_of_variables_have_the_names_of_the_source() -> None:
    timeline = timeline_of("overflow")
    go_after_return(timeline, call_number(timeline, "memmap_init"))
    fields = named(timeline)
    assert list(fields) == [
        f"memmap.{each}" for each in ("start_addr", "end_addr", "start_frame", "max_frames", "bitmap")
    ]
    assert [number(after) for _, after in fields.values()][:4] == [0x100000, 0x500000, 0x100, 0x400]


def test_headers_of_the_heap_are_named_by_their_blocks() -> None:
    timeline = timeline_of("overflow")
    go_after_return(timeline, call_number(timeline, "kmalloc"))
    fields = {name: tuple(map(number, values)) for name, values in named(timeline).items()}
    assert fields == {
        "heap_free_list": (0x10B000, 0x10B020),
        "heap block 0x0010b000 .size": (65528, 24),
        "heap block 0x0010b000 .used": (0, 1),
        "heap block 0x0010b020 .size": (0, 65496),
    }


def test_bytes_of_a_bitmap_are_one_field() -> None:
    timeline = timeline_of("overflow")
    go_after_return(timeline, call_number(timeline, "memmap_reserve"))
    assert named(timeline) == {"bitmap bytes 1..3 (frames 264..287)": (b"\0\0\0", b"\xf8\xff\x07")}


def test_tables_of_btron_and_blocks_of_its_pools_have_names() -> None:
    timeline = timeline_of("btron_demo")
    go_after_return(timeline, call_number(timeline, "pmem_alloc"))
    assert any(name.startswith("pmem_table[0x") for name in named(timeline))
    go_after_return(timeline, first_success(timeline, "cre_mpl"))
    assert any(name.startswith("mpl_table[") for name in named(timeline))


def test_a_word_that_a_call_returns_on_the_stack_is_its_owners() -> None:
    timeline = timeline_of("btron_demo")
    go_after_return(timeline, first_success(timeline, "get_blk"))
    assert any(name.startswith("stack of ") for name in named(timeline))


@pytest.fixture
def machine() -> Machine:
    return machine_of(
        """
        nop
        .data
        .type   table, @object
        .size   table, 10
table:  .skip   10
        .type   word, @object
        .size   word, 4
word:   .skip   4
        .text
        """
    )


def fields_of(machine: Machine, *changes: Change) -> list[tuple[str, int, bytes, bytes]]:
    for change in changes:
        machine.memory.write(change.address, change.after)
    return [
        (name_of(field), *field[1:4])
        for field in changed_fields(changes, Locator(machine), machine.memory, ())
    ]


def test_without_debug_information_a_field_is_symbol_and_offset(machine: Machine) -> None:
    table, word = symbol(machine, "table"), symbol(machine, "word")
    assert fields_of(
        machine,
        Change(table + 1, b"\0", b"\1"),
        Change(table + 3, b"\0", b"\2"),
        Change(table + 7, b"\0" * 7, b"abcdefg"),
    ) == [
        ("table+0x0", table, bytes(4), b"\0\1\0\2"),
        ("table+0x4", table + 4, bytes(4), b"\0\0\0a"),
        ("table+0x8", table + 8, bytes(2), b"bc"),
        ("word", word, bytes(4), b"defg"),
    ]


def test_memory_without_a_name_is_named_by_its_address(machine: Machine) -> None:
    assert fields_of(machine, Change(0x300005, b"\0\0", b"xy")) == [("0x00300005", 0x300005, b"\0\0", b"xy")]
