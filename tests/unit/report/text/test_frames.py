from __future__ import annotations

import pytest

from emulator.guest.symbolizer import Frame
from emulator.report.text.frames import (
    backtrace_text,
    call_trace_text,
    callers_text,
    frame_text,
    frame_text_after,
)
from emulator.report.text.style import Style

KMAIN = Frame(0x101042, "kmain", 0x42, "firmware/scenarios/demo.c", 31)
UNKNOWN = Frame(0x101042)


def test_a_frame_has_a_short_and_a_long_form() -> None:
    assert frame_text(KMAIN) == "kmain+0x42 demo.c:31"
    assert call_trace_text(KMAIN) == "kmain+0x42 (firmware/scenarios/demo.c:31)"
    assert call_trace_text(KMAIN._replace(line=0)) == "kmain+0x42 (firmware/scenarios/demo.c)"
    assert frame_text(UNKNOWN) == call_trace_text(UNKNOWN) == UNKNOWN.name == "0x00101042"


@pytest.mark.parametrize(
    ("taken", "text"),
    [(0, "kmain+0x42 demo.c:31"), (22, "kmain+… demo.c:31"), (30, "kmain+0x42…")],
)
def test_at_the_end_of_a_line_the_offset_goes_first(taken: int, text: str) -> None:
    assert frame_text_after(KMAIN, taken, Style(unicode=True, room=41)) == text


def test_a_backtrace_is_one_line() -> None:
    assert backtrace_text([KMAIN, UNKNOWN]) == "kmain+0x42 demo.c:31 < 0x00101042"
    assert callers_text([Frame(0, "kmain", 0, "a/demo.c", 31), Frame(0)]) == (
        "kmain demo.c:31 < (unknown function)"
    )
    assert backtrace_text([]) == callers_text([]) == "(unknown caller)"


def test_names_of_the_guest_are_printable() -> None:
    evil = Frame(1, "\x1b[2J", 0, "\n", 1)
    assert all(
        text.isprintable() for text in (frame_text(evil), call_trace_text(evil), backtrace_text([evil]))
    )
