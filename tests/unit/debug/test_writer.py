from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.debug.first_touch import go_to_first_touch
from emulator.debug.step.view_document import writer_document
from emulator.debug.step.view_text import writer_lines
from emulator.debug.writer import Writer, last_writer
from emulator.guest.locator import Locator
from emulator.report.text.style import Style
from kernel_model.audit import Location, LocationKind, variable
from tests.helpers.guest import FUNCTION, machine_of, symbol
from tests.helpers.timelines import call_number, go_after_return, timeline_of, timeline_on
from tests.unit.debug.test_timeline import TAKE

if TYPE_CHECKING:
    from emulator.debug.timeline import Timeline

PLAIN = Style(80, colour=False, unicode=False)


def writer_of(timeline: Timeline, address: int | str) -> Writer:
    if isinstance(address, str):
        address = timeline.machine.image.symbols[address].address
    where = timeline.debugger.moment
    writer = last_writer(timeline.debugger, Locator(timeline.machine), address)
    assert timeline.debugger.moment == where
    assert writer is not None
    return writer


def source_lines_of(writer: Writer) -> list[str]:
    return [str(frame) for frame in writer.backtrace]


def test_who_overflowed_a_block() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to_end()
    writer = writer_of(timeline, 0x10B020)
    assert writer.text.startswith("rep stosd")
    assert source_lines_of(writer) == [
        "memset+0x26 string.c:22",
        "kmain+0xa5 overflow.c:28",
        "_start+0x33 entry.S:47",
    ]
    assert (writer.before, writer.after) == ((40).to_bytes(4, "little"), b"AAAA")
    assert writer.event == timeline.calls.call(call_number(timeline, "kmalloc", 3)).left
    go_after_return(timeline, call_number(timeline, "kmalloc", 3))
    assert source_lines_of(writer_of(timeline, 0x10B020))[1:] == [
        "kmalloc+0x50 heap.c:178",
        "kmain+0x4d overflow.c:21",
        "_start+0x33 entry.S:47",
    ]


def test_who_wrote_to_a_freed_block() -> None:
    timeline = timeline_of("use_after_free")
    timeline.go_to(timeline.calls.call(call_number(timeline, "kmalloc", 4)).entered)
    message = timeline.calls.call(call_number(timeline, "kfree")).arguments[0]
    writer = writer_of(timeline, message)
    assert [frame.function for frame in writer.backtrace] == ["memcpy", "kmain", "_start"]
    assert writer.backtrace[1].line == 29
    assert writer.after == b"too "


def test_who_refused_the_second_free() -> None:
    timeline = timeline_of("double_free")
    timeline.go_to_end()
    writer = writer_of(timeline, "heap_error_count")
    assert writer.location == variable("heap_error_count", writer.address)
    assert [frame.function for frame in writer.backtrace][-3:] == ["kfree", "kmain", "_start"]
    assert writer.backtrace[-2].line == 46
    assert writer.after == (3).to_bytes(4, "little")


def test_who_wrote_a_word_of_a_kernel_with_paging() -> None:
    timeline = timeline_of("btron_pools_wait")
    timeline.go_to_end()
    by_linear = writer_of(timeline, "sys_tick")
    assert by_linear.backtrace[0].function == "tick_handle"
    assert "timer_interrupt" in [frame.function for frame in by_linear.backtrace]
    assert writer_of(timeline, by_linear.address) == by_linear


def test_what_was_never_written_has_no_writer() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to_end()
    assert last_writer(timeline.debugger, Locator(timeline.machine), 0x4FF000) is None
    timeline.go_to(0)
    assert last_writer(timeline.debugger, Locator(timeline.machine), 0x10B020) is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda timeline, address: last_writer(timeline.debugger, Locator(timeline.machine), address),
        go_to_first_touch,
    ],
)
def test_an_address_without_memory_is_refused(ask: object) -> None:
    timeline = timeline_of("overflow")
    with pytest.raises(ValueError, match=r"^there is no memory at 0x90000000$"):
        ask(timeline, 0x90000000)  # type: ignore[operator]


def test_an_address_that_is_not_mapped_is_refused() -> None:
    timeline = timeline_of("btron_demo")
    timeline.go_to_end()
    with pytest.raises(
        ValueError, match=r"^0x90000000 is not mapped here, and is no physical address of memory$"
    ):
        go_to_first_touch(timeline, 0x90000000)


def test_a_writer_is_shown_in_lines_and_as_a_document() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to_end()
    writer = writer_of(timeline, "heap_error_count")
    lines = list(writer_lines(writer, None, PLAIN))
    assert lines[0] == f"0x{writer.address:08x}  heap_error_count"
    assert lines[1] == f"0x00000001 became 0x00000002 after event {writer.event}"
    document = writer_document(writer)
    assert document["after"] == "02000000"
    assert document["stack"][-1]["function"] == "_start"


def test_hostile_names_are_shown_printable() -> None:
    evil = Location(LocationKind.STACK, "\x1b[2Jevil", 0, 4)
    timeline = timeline_of("overflow")
    timeline.go_to_end()
    writer = writer_of(timeline, "heap_error_count")._replace(location=evil, source="a\nb")
    assert not any("\x1b" in line or "\n" in line for line in writer_lines(writer, None, PLAIN))


def first_touch(timeline: Timeline, address: int | str) -> tuple[int, str]:
    if isinstance(address, str):
        address = timeline.machine.image.symbols[address].address
    go_to_first_touch(timeline, address)
    call = timeline.call_of(timeline.event)
    assert call is not None
    assert timeline.event == call.left
    return call.number, call.function


def test_the_first_call_that_touched_a_word_wrote_there_or_took_its_block() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to_end()
    assert first_touch(timeline, "heap_error_count") == (2, "mem_init")
    assert first_touch(timeline, "heap_free_list") == (2, "mem_init")
    assert first_touch(timeline, 0x10B008 + 20) == (5, "kmalloc")
    assert first_touch(timeline, 0x10B050) == (6, "kmalloc")


def test_what_no_call_touched_leaves_the_timeline_alone() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to(5)
    address = timeline.machine.image.symbols["failed_checks"].address
    with pytest.raises(ValueError, match=rf"^no call has touched 0x{address:08x}$"):
        go_to_first_touch(timeline, address)
    assert (timeline.event, timeline.is_at_event()) == (5, True)


WRITES = (
    FUNCTION
    + """
        movl    $40, %ebx
1:      movl    %ebx, word
        pushl   %ebx
        call    take
        addl    $4, %esp
        decl    %ebx
        jnz     1b
        exit    0
        function take
        cmpl    $7, %ebx
        jne     2f
        movl    %ebx, word
2:      movl    $0x300000, %eax
        ret
        ends    take
        .data
        .balign 4096
        .globl  word
word:   .long   0
        .text
"""
)


def test_writes_outside_of_calls_are_no_touch_of_a_call() -> None:
    machine = machine_of(WRITES.replace("$40", "$20"))
    timeline = timeline_on(machine, TAKE)
    timeline.record()
    assert first_touch(timeline, symbol(machine, "word")) == (14, "take")


def test_the_last_writer_is_the_last_one_at_every_event() -> None:
    machine = machine_of(WRITES)
    timeline = timeline_on(machine, TAKE)
    timeline.record()
    for event in (80, 66, 67, 68, 1, 40):
        timeline.go_to(event)
        writer = writer_of(timeline, symbol(machine, "word"))
        inside = event == 68
        assert writer.event == (67 if inside else (event - 1) // 2 * 2)
        assert int.from_bytes(writer.after, "little") == 40 - (event - 1) // 2
        assert writer.backtrace[0].function == ("take" if inside else "_start")
