"""Models that write inside of a watched call are noticed like the guest's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.hle.memory_views import WatchedMemory
from tests.helpers.guest import machine_of

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 0x00300000

WRITES: dict[str, Callable[[WatchedMemory], None]] = {
    "store_u8": lambda memory: memory.store_u8(PAGE + 8, 1),
    "store_u32": lambda memory: memory.store_u32(PAGE + 8, 1),
    "store_words": lambda memory: memory.store_words(PAGE + 8, (1, 2)),
    "write": lambda memory: memory.write(PAGE + 8, b"\1"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_notes_the_page_as_it_was(write: Callable[[WatchedMemory], None]) -> None:
    machine = machine_of("hlt")
    memory = WatchedMemory(machine)
    watch = machine.observers.note_written()
    write(memory)
    assert watch.take().pages == {PAGE: bytes(4096)}
    assert memory.load_u8(PAGE + 8) == 1


def test_a_write_across_two_pages_notes_both() -> None:
    machine = machine_of("hlt")
    watch = machine.observers.note_written()
    WatchedMemory(machine).store_words(PAGE + 0xFFC, (1, 2))
    assert sorted(watch.take().pages) == [PAGE, PAGE + 0x1000]


def test_outside_of_a_watched_call_nothing_is_noted() -> None:
    machine = machine_of("hlt")
    WatchedMemory(machine).store_u32(PAGE, 1)
    watch = machine.observers.note_written()
    assert watch.take().pages == {}
