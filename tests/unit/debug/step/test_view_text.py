from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.debug.fields import FieldChange
from emulator.debug.step.view import FIELDS_MAX, View, read_view
from emulator.debug.step.view_document import view_document
from emulator.debug.step.view_text import PANES, PaneLine, Tone, headline, value_text, view_lines
from emulator.errors import EmulatorError
from emulator.guest.locator import Locator
from emulator.loader.dwarf.c_types import Encoding
from emulator.report.text.style import Style
from emulator.run.ending import Ending, How
from kernel_model.audit import Location, LocationKind
from tests.helpers.timelines import call_number, go_after_return, timeline_of

if TYPE_CHECKING:
    from emulator.replay.timeline import Timeline

WIDE = Style(width=100, unicode=True)


def view_of(timeline: Timeline) -> View:
    return read_view(timeline, Locator(timeline.machine))


def pane(name: str, view: View, style: Style = WIDE) -> list[PaneLine]:
    return list(PANES[name][1](view, style))


def texts(name: str, view: View, style: Style = WIDE) -> list[str]:
    return [line.text for line in pane(name, view, style)]


@pytest.fixture(scope="module")
def view() -> View:
    timeline = timeline_of("overflow")
    go_after_return(timeline, call_number(timeline, "kmalloc"))
    return view_of(timeline)


def test_the_headline_says_where_the_machine_stands() -> None:
    timeline = timeline_of("overflow")
    lines = []
    for event in (0, 9, 10):
        timeline.go_to(event)
        lines.append(headline(view_of(timeline)))
    timeline.run_to_end()
    assert [*lines, headline(view_of(timeline))] == [
        "before the first instruction; 24 events",
        "event 9 of 24: #5 kmalloc is entered",
        "event 10 of 24: #5 kmalloc has returned",
        "the end of the run: the kernel exited with value 0",
    ]


def test_changes_are_shown_by_field(view: View) -> None:
    assert texts("changes", view) == [
        "heap_free_list               0x0010b000 → 0x0010b020",
        "heap block 0x0010b000 .size  65528 → 24",
        "heap block 0x0010b000 .used  0 → 1",
        "heap block 0x0010b020 .size  0 → 65496",
    ]
    first, *others = (line.address for line in pane("changes", view))
    assert first is not None
    assert 0x10A300 < first < 0x10B000  # heap_free_list
    assert others == [0x10B000, 0x10B004, 0x10B020]
    assert "->" in texts("changes", view, Style(80))[0]


def test_many_changed_bytes_are_cut(view: View) -> None:
    body = Location(LocationKind.BLOCK, "heap", 0x10B008, 0x10B030, item=0x10B000)
    field = FieldChange(body, 0x10B008, bytes(40), b"A" * 40, Encoding.BYTES)
    (line,) = texts("changes", view._replace(fields=(field,)))
    assert line.endswith("→ 41 41 41 41 41 41 41 41 'AAAAAAAA'  (40 bytes)")
    lines = texts("changes", view._replace(fields=(field,) * FIELDS_MAX, has_more_fields=True))
    assert (len(lines), lines[-1]) == (FIELDS_MAX + 1, "and more")


def test_without_changes_it_says_why(view: View) -> None:
    assert texts("changes", view._replace(fields=())) == ["nothing"]
    assert texts("changes", view._replace(fields=(), event=9)) == [
        "the call is only entered; n goes to its return"
    ]
    assert texts("changes", view._replace(fields=(), call=None)) == ["no call to look at"]


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        (b"\x18\0\0\0", Encoding.UNSIGNED, "24"),
        (b"\0\0\1\0", Encoding.UNSIGNED, "0x00010000"),
        (b"\x18\0\0\0", Encoding.POINTER, "0x00000018"),
        (b"\xff", Encoding.SIGNED, "-1"),
        (b"\xff\xff", Encoding.UNSIGNED, "65535"),
        (b"a\n", Encoding.BYTES, "61 0a 'a.'"),
        (b"abcdefghi", Encoding.BYTES, "61 62 63 64 65 66 67 68 'abcdefgh'"),
    ],
)
def test_values_are_read_by_their_type(data: bytes, encoding: Encoding, text: str) -> None:
    assert value_text(data, encoding) == text


def test_the_next_instruction_is_marked(view: View) -> None:
    (here,) = [line for line in pane("code", view) if line.tone is Tone.HERE]
    assert here.text == "▶ 0x0010103f  mov dword ptr [esp], 0x28"
    assert "             [esp] at 0x00109fc0 = 0x00000018" in texts("code", view)
    assert next(line.tone for line in pane("code", view) if "victim = kmalloc" in line.text) is Tone.TITLE


def test_registers_say_what_they_point_to(view: View) -> None:
    lines = texts("registers", view)
    assert "eax  0x0010b008  heap block 0x0010b000 body" in lines
    assert "esp  0x00109fc0  stack of kmain" in lines
    assert "eip  0x0010103f  kmain+0x3f overflow.c:21" in lines


def test_the_stack_begins_with_the_innermost_function(view: View) -> None:
    assert texts("stack", view) == ["0  kmain+0x3f overflow.c:21", "1  _start+0x33 entry.S:47"]


def test_memory_has_hex_dumps_blocks_and_what_is_damaged(view: View) -> None:
    lines = texts("memory", view)
    assert "0x0010b008 used       24" in lines
    assert any(line.startswith("Heap 0x0010b000-0x0011b000") for line in lines)
    assert any(line.startswith("Memory 0x00100000-0x00500000") for line in lines)
    timeline = timeline_of("overflow")
    timeline.run_to_end()
    assert texts("memory", view_of(timeline))[0].startswith("damaged: 0x0010b020 size = 0x41414141")


def test_the_console_shows_what_was_written_so_far(view: View) -> None:
    assert texts("console", view)[:3] == ["LiteCore overflow: eight bytes too many", "", "Three blocks"]
    assert texts("console", view._replace(console="a\tb\x1b[2J\r\nc")) == ["a       b\\x1b[2J", "c"]


def test_hostile_names_are_printable_everywhere(view: View) -> None:
    evil = "\x1b]0;evil\x07[bold]"
    nobody = Location(LocationKind.VARIABLE, evil, 0x10B000, 0x10B004, field=evil)
    call = view.call._replace(function=evil) if view.call else None
    hostile = view._replace(
        call=call,
        ending=Ending(How.STOPPED, error=EmulatorError(evil)),
        fields=tuple(field._replace(location=nobody) for field in view.fields),
        stack=tuple(level._replace(frame=level.frame._replace(function=evil)) for level in view.stack),
        pointers=dict.fromkeys(view.pointers, nobody),
        code=tuple(line._replace(text=evil) for line in view.code),
        console=evil,
    )
    shown = "".join((headline(hostile), *(text for name in PANES for text in texts(name, hostile))))
    assert shown.isprintable()
    assert "[bold]" in shown


@pytest.mark.parametrize("kernel", ["demo", "btron_demo", "btron_pools_wait"])
def test_every_view_can_be_printed(kernel: str) -> None:
    timeline = timeline_of(kernel)
    for event in range(0, timeline.event_count, timeline.event_count // 7):
        timeline.go_to(event)
        lines = list(view_lines(view_of(timeline), Style(80)))
        assert all(title in "\n".join(lines) for title, _ in PANES.values())


def test_a_view_is_a_document(view: View) -> None:
    document = view_document(view, ())
    assert (document["event"], document["events"]) == (10, 24)
    assert document["call"]["function"] == "kmalloc"
    assert document["changes"][1] == {
        "name": "heap block 0x0010b000 .size",
        "address": 0x10B000,
        "before": "f8ff0000",
        "after": "18000000",
    }
    assert document["registers"]["eax"] == 0x10B008
    assert [line["text"] for line in document["code"] if line["next"]] == ["mov dword ptr [esp], 0x28"]
