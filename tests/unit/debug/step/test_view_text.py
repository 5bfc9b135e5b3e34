from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.debug.dumps import FREED
from emulator.debug.fields import FieldChange
from emulator.debug.step.variable_lines import scopes_and_structures
from emulator.debug.step.view import FIELDS_MAX, View, ViewReader, Wanted
from emulator.debug.step.view_document import view_document
from emulator.debug.step.view_text import PANES, PaneLine, Tone, headline, value_text, view_lines
from emulator.errors import EmulatorError
from emulator.loader.dwarf.c_types import Encoding
from emulator.report.text.style import Style
from emulator.run.ending import Ending, How
from kernel_model.audit import Location, LocationKind
from tests.helpers.timelines import call_number, go_after_return, timeline_of

if TYPE_CHECKING:
    from emulator.debug.timeline import Timeline

WIDE = Style(width=100, unicode=True)


def view_of(timeline: Timeline) -> View:
    return ViewReader(timeline).read()


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
    timeline.go_to_end()
    assert [*lines, headline(view_of(timeline))] == [
        "before the first instruction; 24 events",
        "event 9 of 24: #5 kmalloc is entered",
        "event 10 of 24: #5 kmalloc has returned",
        "the end of the run: the kernel exited with value 0",
    ]


def test_blocks_are_shown_by_area_with_who_made_them(view: View) -> None:
    lines = pane("blocks", view)
    assert [line.text for line in lines] == [
        "heap: 1 live block, 24 bytes",
        "0x0010b008        24  #5  kmain+0x3f overflow.c:20",
        "frames: 0 live blocks, 0 bytes",
    ]
    assert [line.tone for line in lines] == [Tone.TITLE, Tone.HERE, Tone.TITLE]
    assert lines[1].address == 0x10B008


def test_a_block_that_was_made_before_does_not_stand_out() -> None:
    timeline = timeline_of("overflow")
    go_after_return(timeline, call_number(timeline, "kfree"))
    view = view_of(timeline)
    assert [line.tone for line in pane("blocks", view) if line.address] == [Tone.PLAIN] * len(
        view.areas[0].blocks
    )


def test_bytes_of_a_block_are_shown_with_what_they_are(view: View) -> None:
    lines = pane("bytes", view)
    rows = {line.address: line.text for line in lines if line.address}
    assert list(rows) == list(range(0x10AFE0, 0x10B040, 16))
    assert rows[0x10B000][61:77] == " " * 8 + "." * 8  # behind its header
    assert rows[0x10B010][61:] == "." * 16 + "  " + rows[0x10B010][-16:]
    assert rows[0x10B020][61:77].strip() == ""
    assert lines[-1].text == "each byte: . in a live block, F freed"
    assert max(map(len, texts("bytes", view, Style(width=80)))) == 77
    narrow = [line.text for line in pane("bytes", view, Style(width=50)) if line.address == 0x10B008]
    assert narrow == ["0x0010b008: 00 00 00 00 00 00 00 00  ........"]


def test_bytes_of_a_freed_block_are_signed_so() -> None:
    timeline = timeline_of("overflow")
    go_after_return(timeline, call_number(timeline, "kfree"))
    [call] = [timeline.call_of(timeline.event)]
    assert call is not None
    view = view_of(timeline)
    row = next(each for each in view.dump if call.arguments[0] in range(each.address, each.address + 16))
    assert row.states[call.arguments[0] % 16] == FREED
    assert view_document(view, ())["bytes"][2]["states"][call.arguments[0] % 16] == "freed"


def test_all_bytes_of_a_freed_block_are_shown() -> None:
    timeline = timeline_of("use_after_free")
    number = call_number(timeline, "kfree")
    go_after_return(timeline, number)
    address = timeline.calls.call(number).arguments[0]
    [made] = [each for each in timeline.calls if each.function == "kmalloc" and each.result == address][:1]
    assert made.arguments[0] > 3 * 16  # more than what is shown around a word
    freed = [
        row.address + at
        for row in view_of(timeline).dump
        for at, state in enumerate(row.states)
        if state == FREED
    ]
    assert freed == list(range(address, address + made.arguments[0]))


def test_bytes_at_an_address_that_was_asked_for() -> None:
    timeline = timeline_of("overflow")
    view = ViewReader(timeline).read(Wanted(dump_at=0x100000))
    assert [row.address for row in view.dump] == list(range(0xFFFE0, 0x100030, 16))
    assert view.dump[2].data == timeline.machine.memory.read(0x100000, 16)
    assert view_of(timeline).dump == ()
    assert texts("bytes", view_of(timeline)) == ["no block to look at; x shows the bytes at an address"]


def test_the_document_has_live_blocks(view: View) -> None:
    [heap, frames] = view_document(view, ())["areas"]
    assert (heap["name"], heap["blocks"], heap["bytes"]) == ("heap", 1, 24)
    assert heap["live"][0]["owner"]["function"] == "kmain"
    assert frames == {"name": "frames", "blocks": 0, "bytes": 0, "live": []}


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


def test_variables_have_values_and_types() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to(timeline.calls.call(call_number(timeline, "kmalloc")).entered)
    view = view_of(timeline)
    lines = pane("variables", view)
    assert [line.text for line in lines[:2]] == ["▾ Arguments", "    size = 24  (uint32_t)"]
    assert lines[1].address == view.registers.esp + 4
    assert "  ▸ heap_lock = {locked = 0}  (spinlock_t)" in texts("variables", view)
    assert all(text.isascii() for text in texts("variables", view, Style(80)))
    found = view_document(view, ())["variables"]
    assert found[0] == {
        "path": ["Arguments", "size"],
        "type": "uint32_t",
        "value": "24",
        "address": lines[1].address,
    }
    opened = ViewReader(timeline).read(Wanted(opens=scopes_and_structures))
    assert ["Globals of its file", "heap_lock", "locked"] in [
        each["path"] for each in view_document(opened, ())["variables"]
    ]


def test_where_no_variable_is_known_that_is_said(view: View) -> None:
    assert texts("variables", view._replace(variables=())) == ["the kernel's file does not name any here"]


def test_a_kernel_without_known_tasks_has_none(view: View) -> None:
    assert texts("tasks", view) == [
        "address space: paging is off",
        "no tasks are known; a profile can say where they are",
    ]
    assert view_document(view, ())["tasks"] == []


def test_tasks_are_shown_with_where_they_go_on() -> None:
    timeline = timeline_of("btron_pools_wait")
    timeline.go_to(190)
    view = view_of(timeline)
    lines = pane("tasks", view)
    assert lines[0].text == f"address space: CR3 0x{view.registers.cr3:08x}"
    [running] = [line for line in lines if line.tone is Tone.HERE]
    assert running.text.startswith("▶ task 6: running, priority 10  ")
    assert "  task 2: waits for memory pool 1, priority 10  dispatch+0x5f dispatch.c:78" in texts(
        "tasks", view
    )
    [document] = [each for each in view_document(view, ())["tasks"] if each["running"]]
    assert (document["number"], document["name"], document["frames"]) == (6, "task 6", [])


def test_memory_has_hex_dumps_blocks_and_what_is_damaged(view: View) -> None:
    lines = texts("memory", view)
    assert "0x0010b008 used       24" in lines
    assert any(line.startswith("Heap 0x0010b000-0x0011b000") for line in lines)
    assert any(line.startswith("Memory 0x00100000-0x00500000") for line in lines)
    timeline = timeline_of("overflow")
    timeline.go_to_end()
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
