from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.debug import Debugger
from emulator.debug import debugger as new_debugger
from emulator.debug.gdb.accesses import last_write, undo_newest_access
from tests.helpers.guest import machine_of, symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = """
        movl    $7, word
        .globl  same
same:   movl    $7, word
        nop
        movb    $1, word + 2
        nop
        exit    0
        .data
        .balign 16
        .globl  word
word:   .long   0
"""


@pytest.fixture
def debugger() -> Iterator[Debugger]:
    with Debugger(machine_of(SOURCE)) as debugger:
        yield debugger


def test_the_last_write_is_found_and_the_machine_stays(debugger: Debugger) -> None:
    word = symbol(debugger.machine, "word")
    debugger.break_at(symbol(debugger.machine, "same"))
    debugger.go_to(6)
    points = [(each, each.enabled) for each in debugger.points]
    found = last_write(debugger, word, 4)
    assert found is not None
    assert (found.moment.instructions, found.access.before, found.access.after) == (
        4,
        b"\7\0\0\0",
        b"\7\0\1\0",
    )
    assert found.text == f"mov byte ptr [0x{word + 2:x}], 1"
    assert debugger.moment.instructions == 6
    assert [(each, each.enabled) for each in debugger.points] == points


def test_the_very_instruction_before_counts_and_one_that_changes_nothing(debugger: Debugger) -> None:
    debugger.go_to(3)
    found = last_write(debugger, symbol(debugger.machine, "word"), 4)
    assert found is not None
    assert found.moment.instructions == 2
    assert found.backtrace[0].address == symbol(debugger.machine, "same")
    assert debugger.moment.instructions == 3


def test_only_the_bytes_asked_for_count(debugger: Debugger) -> None:
    debugger.go_to(6)
    found = last_write(debugger, symbol(debugger.machine, "word"), 2)
    assert found is not None
    assert found.moment.instructions == 2


def test_what_nobody_has_written_has_no_last_write(debugger: Debugger) -> None:
    debugger.go_to(6)
    assert last_write(debugger, symbol(debugger.machine, "word") + 4, 4) is None
    assert debugger.moment.instructions == 6
    debugger.go_to(0)
    assert last_write(debugger, symbol(debugger.machine, "word"), 4) is None
    assert debugger.moment.instructions == 0


def test_what_is_no_memory_is_refused(debugger: Debugger) -> None:
    with pytest.raises(ValueError, match=r"^there is no RAM at 0xf0000000$"):
        last_write(debugger, 0xF000_0000, 4)


def test_a_machine_that_stands_at_an_event_stays_there() -> None:
    with new_debugger("firmware:demo") as debugger:
        debugger.go_to_event(89)
        here = debugger.moment
        assert here.entered
        debugger.watch(symbol(debugger.machine, "heap_free_list"), 4)
        assert undo_newest_access(debugger) is None
        assert (debugger.moment, debugger.event) == (here, 89)
