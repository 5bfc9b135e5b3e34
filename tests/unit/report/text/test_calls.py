from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from emulator.guest.symbolizer import Frame
from emulator.hle.kernels import error_names
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.report.text.calls import (
    CallLayout,
    argument_text,
    argument_texts,
    call_lines,
    result_text,
)
from emulator.report.text.style import Style
from emulator.trace.table import Call
from tests.helpers import trace_examples

if TYPE_CHECKING:
    from pathlib import Path

KMALLOC = TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0)
KFREE = TracedFunction("kfree", "heap", Role.FREE, ("ptr",), Result.NONE)
ALLOC_FRAMES = TracedFunction("alloc_frames", "frames", Role.ALLOC, ("pages",), Result.FRAME, 0xFFFF_FFFF)
GET_BLK = TracedFunction("get_blk", "mpl", Role.ALLOC, ("out", "pool", "size"), Result.ERROR)
COUNT = TracedFunction("count", "heap", Role.OTHER, (), Result.VALUE)
FUNCTIONS = {each.name: each for each in (KMALLOC, KFREE, ALLOC_FRAMES, GET_BLK, COUNT)}
BTRON = error_names("BTRON/386")
STACK = (Frame(0x100042, "kmain", 0x42, "src/demo.c", 31), Frame(0x100009, "start", 9))


def call(function: str, *arguments: int, result: int | None = 0, **more: int) -> Call:
    fields = {"number": 17, "parent": 0, "depth": 0, "out": 0, "stack": 1} | more
    left = None if result is None else 35
    return Call(
        fields["number"],
        fields["parent"],
        fields["depth"],
        function,
        arguments,
        34,
        left,
        0,
        left,
        result,
        None if result is None else fields["out"],
        0x9000,
        fields["stack"],
    )


def line(each: Call, style: Style | None = None, last: int = 17) -> str:
    stacks = {0: (), 1: STACK, 2: (Frame(0x100042, "a\x1b[31m\nb", 0x42, "x.c", 1),)}
    return CallLayout(FUNCTIONS, stacks.__getitem__, last, style or Style(), BTRON).line(each)


def test_a_call_has_a_number_a_result_and_a_call_site() -> None:
    text = line(call("kmalloc", 128, result=0x10A008))
    assert text == "#17  kmalloc(128) = 0x0010a008                     kmain+0x42 demo.c:31"


def test_call_sites_are_aligned() -> None:
    lines = [
        line(call("kmalloc", 128, result=0x10A008), last=1000),
        line(call("kfree", 0x10A008, number=1000), last=1000),
        line(call("kmalloc", 1, result=None, depth=2), last=1000),
    ]
    assert {each.index("kmain+") for each in lines} == {51}


@pytest.mark.parametrize(
    ("each", "text"),
    [
        (call("kfree", 0x10A008), "kfree(0x0010a008)"),
        (call("kfree", 0), "kfree(0)"),
        (call("kmalloc", 70000), "kmalloc(70000) = 0 (no block)"),
        (call("kmalloc", 8, result=None), "kmalloc(8) = ?  (did not return)"),
        (call("kfree", 8, result=None), "kfree(0x00000008) = ?  (did not return)"),
        (call("alloc_frames", 4, result=0x105), "alloc_frames(4) = 0x105"),
        (call("alloc_frames", 4, result=0), "alloc_frames(4) = 0x0"),
        (call("alloc_frames", 4, result=0xFFFF_FFFF), "alloc_frames(4) = 0xffffffff (no block)"),
        (call("get_blk", 0x9000, 3, 64, out=0x10A008), "get_blk([0x0010a008], 3, 64) = E_OK"),
        (call("get_blk", 0x9000, 3, 64, result=0xFFFF_FFDF), "get_blk(0x00009000, 3, 64) = E_PAR"),
        (call("get_blk", 0x9000, 3, 64, result=0xFFFF_FFFF), "get_blk(0x00009000, 3, 64) = -1"),
        (call("count", result=65535), "count() = 65535"),
        (call("count", result=65536), "count() = 0x00010000"),
        (call("kmalloc", 8, result=8, depth=1), "  kmalloc(8) = 0x00000008"),
    ],
)
def test_a_line_without_a_call_site(each: Call, text: str) -> None:
    assert line(each._replace(stack=0)) == f"#17  {text}"


def test_errors_of_other_kernels_are_numbers() -> None:
    assert result_text(GET_BLK, 0xFFFF_FFDF, None, error_names("LiteCore")) == ("-33", True)
    assert result_text(GET_BLK, 0, None, error_names("LiteCore")) == ("0", False)


@pytest.mark.parametrize(
    ("parameter", "value", "text"),
    [
        ("size", 0xFFFF_FFFF, "4294967295"),
        ("count", 70000, "70000"),
        ("order", 3, "3"),
        ("align", 4096, "4096"),
        ("frame", 0x105, "0x105"),
        ("address", 0x10, "0x00000010"),
        ("flags", 0x10, "16"),
        ("flags", 0x8000_0000, "0x80000000"),
    ],
)
def test_arguments(parameter: str, value: int, text: str) -> None:
    assert argument_text(parameter, value) == text


def test_words_beyond_the_parameters_are_not_arguments() -> None:
    assert argument_texts(KMALLOC, (8, 9, 10), None) == ["8"]


def terminal(width: int, *, unicode: bool = False) -> Style:
    return Style(width=width, unicode=unicode, room=width)


def test_a_narrow_terminal_cuts_only_the_call_site_and_marks_that() -> None:
    each = call("kmalloc", 128, result=0x10A008)
    assert line(each, terminal(60)).endswith(" kmain+0x42 demo.c:31")
    assert line(each, terminal(53)) == "#17  kmalloc(128) = 0x0010a008    kmain+.. demo.c:31"
    assert line(each, terminal(40)) == "#17  kmalloc(128) = 0x0010a008 kmain+0.."
    assert line(each, terminal(40, unicode=True)).endswith(" kmain+0x…")
    assert line(call("get_blk", 0x9000, 3, 64, result=0xFFFF_FFDF), terminal(40)) == (
        "#17  get_blk(0x00009000, 3, 64) = E_PAR .."
    )
    assert (
        line(call("get_blk", 0x9000, 3, 64, result=None), terminal(40))
        == "#17  get_blk(0x00009000, 3, 64) = ?  (did not return) .."
    )


def test_a_pipe_gets_all_of_it() -> None:
    each = call("kmalloc", 128, result=0x10A008)
    assert line(each, Style(width=40)) == "#17  kmalloc(128) = 0x0010a008 kmain+0x42 demo.c:31"


def test_deep_calls_stay_on_the_line() -> None:
    text = line(call("kmalloc", 8, result=8, depth=255))
    assert "kmalloc(8)" in text
    assert len(text) <= 80


def test_colours() -> None:
    text = line(call("kmalloc", 8), Style(colour=True))
    assert text.startswith("#17  \x1b[1mkmalloc\x1b[0m(8)\x1b[31m = 0 (no block)\x1b[0m ")
    assert "\x1b[31m" not in line(call("kmalloc", 8, result=8), Style(colour=True))
    assert "\x1b[31m = ?  (did not return)\x1b[0m" in line(call("kfree", 8, result=None), Style(colour=True))


def test_a_hostile_name_cannot_command_the_terminal() -> None:
    text = line(call("kmalloc", 8, result=8, stack=2))
    assert text.isprintable()
    assert text.endswith("a\\x1b[31m\\nb+0x42 x.c:1")


def test_the_calls_of_a_trace(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    assert list(call_lines(trace, np.isin(trace.calls.number, [2, 3, 7]), Style())) == [
        "#2  kmalloc(300) = 0x00200100                     load+0x20 load.c:7",
        "#3    alloc_frames(2) = 0x300                     load+0x20 load.c:7",
        "#7  kmalloc(8) = ?  (did not return)",
    ]
