from __future__ import annotations

import pytest

from emulator.errors import EmulatorError
from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.report.run_record import RunRecord
from emulator.report.text.run import screen_box, summary_lines
from emulator.report.text.style import Style, rule
from emulator.run.ending import Ending, How
from tests.unit.report.examples import RAM, REGIONS, defect, frames, heap, memory_map

LAYERS = {"memmap": "native", "heap": "model"}


def text_below_the_memory_maps(record: RunRecord, width: int = 80) -> list[str]:
    lines = list(summary_lines(record, Style(width)))
    return lines[len(lines) - lines[::-1].index("") :]


def ended(ending: Ending, seconds: float = 0.25) -> list[str]:
    return list(summary_lines(RunRecord("k.elf", ending, seconds=seconds), Style(80)))[2:]


def test_the_whole_summary() -> None:
    record = RunRecord("k.elf", Ending(How.EXIT, 0), RAM, 0.0123, LAYERS, memory_map=memory_map())
    assert list(summary_lines(record, Style(60))) == [
        "",
        "-- k.elf ---------------------------------------------------",
        "Memory 0x00100000-0x00140000, 256 KiB; a cell is 4 KiB",
        "0x00100000 IIBHH##.........#...............",
        "0x00120000 ................................",
        "",
        "I    image     0x00100000-0x00102800    10 KiB",
        "B    bitmap    0x00102800-0x00102808       8 B",
        "H    heap      0x00103000-0x00105000     8 KiB",
        "R    reserved  0x00102808-0x00103000     2 KiB",
        "-+*# allocated 3 frames                 12 KiB",
        ".    free      56 frames               224 KiB",
        "",
        "Heap 0x00103000-0x00105000, 8 KiB; a cell is 128 B",
        "0x00103000 ################################",
        "0x00104000 ####............................",
        "",
        "Frames    8 of 64 in use (32 KiB), 56 free; largest free run",
        "          47 (188 KiB), fragmentation 16 %",
        "Heap      2 blocks in use (4592 bytes), 3576 bytes free;",
        "          largest free block 3576, fragmentation 0 %",
        "Layers    memmap native, heap model",
        "Ended     the kernel exited with value 0 (success)",
        "Took      0.012 s",
    ]


@pytest.mark.parametrize("width", range(40, 121, 10))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    record = RunRecord(
        "k.elf", Ending(How.STOPPED, error=EmulatorError("x " * 500)), layers=LAYERS, memory_map=memory_map()
    )
    assert max(len(line) for line in summary_lines(record, Style(width, room=width))) <= width


def test_a_long_name_stays_whole() -> None:
    long_name = "a/very/long/path/" * 10
    assert long_name in next(
        line for line in summary_lines(RunRecord(long_name, Ending(How.HALTED)), Style(40, room=40)) if line
    )


def test_what_cannot_be_read_is_noted() -> None:
    record = RunRecord(
        "k.elf", Ending(How.HALTED), memory_map=MemoryMap(RAM, REGIONS[:1], notes=("not \x1b set up",))
    )
    assert text_below_the_memory_maps(record)[0] == r"Note      not \x1b set up"


def test_damage_of_the_heap_is_listed() -> None:
    bad = tuple(defect(f"defect {number}") for number in range(7))
    memory_map = MemoryMap(RAM, REGIONS, frames(0x100, "#."), heap(refused=1), defects=bad)
    record = RunRecord("k.elf", Ending(How.EXIT, 0), memory_map=memory_map)
    lines = text_below_the_memory_maps(record, 120)
    assert lines[1] == (
        "Heap      2 blocks in use (4592 bytes), 3576 bytes free; largest free block 3576, fragmentation 0 %; kfree refused 1"
    )
    assert lines[2:9] == [
        "          call",
        *(f"          damaged: defect {number}" for number in range(5)),
        "          and 2 more defects",
    ]


def test_five_defects_are_listed_without_more() -> None:
    bad = (defect("defect"),) * 5
    lines = text_below_the_memory_maps(
        RunRecord("k.elf", Ending(How.EXIT, 0), memory_map=MemoryMap(RAM, (), heap=heap(), defects=bad))
    )
    assert lines[-3:] == [
        "          damaged: defect",
        "Ended     the kernel exited with value 0 (success)",
        "Took      0.000 s",
    ]


@pytest.mark.parametrize(
    ("ending", "lines"),
    [
        (Ending(How.EXIT, 3), ["the kernel exited with value 3 (exit code 7 in QEMU)", "0.250 s"]),
        (
            Ending(How.HALTED, location="idle+0x4 (k.c:9)", instructions=7),
            ["the kernel halted at idle+0x4 (k.c:9)", "0.250 s for 7 instructions"],
        ),
        (Ending(How.INTERRUPTED), ["interrupted by Ctrl-C", "0.250 s"]),
        (
            Ending(How.DIVERGED, error=EmulatorError("lockstep divergence in f\n  result")),
            ["lockstep divergence in f", "0.250 s"],
        ),
        (
            Ending(How.STOPPED, error=EmulatorError("fault at e\x1bvil+0x0")),
            [r"fault at e\x1bvil+0x0", "0.250 s"],
        ),
    ],
    ids=lambda value: value.how.name if isinstance(value, Ending) else "",
)
def test_how_the_run_ended(ending: Ending, lines: list[str]) -> None:
    assert ended(ending) == [f"Ended     {lines[0]}", f"Took      {lines[1]}"]


def test_the_screen_has_a_frame() -> None:
    lines = ["hello", "", "  world, this is long", *[""] * 22]
    assert list(screen_box(lines, Style())) == [
        "+- screen ------------+",
        "|hello                |",
        "|                     |",
        "|  world, this is long|",
        "+---------------------+",
    ]
    assert list(screen_box(["hi"], Style(unicode=True))) == ["┌─ screen ┐", "│hi       │", "└─────────┘"]


def test_a_blank_screen_says_so() -> None:
    assert list(screen_box([""] * 25, Style())) == ["the screen is blank"]


def test_the_rule_is_as_wide_as_the_terminal() -> None:
    assert rule("x", Style(40, colour=True, unicode=True)) == "\x1b[1m── x " + "─" * 35 + "\x1b[0m"
