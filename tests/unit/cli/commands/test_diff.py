from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from emulator.guest.symbolizer import Frame
from tests.helpers import trace_examples
from tests.helpers.traces import WHO, TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done

LOAD = trace_examples.LOAD


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    """Return two traces: in the second one kmain takes less, and load more."""
    before = TraceBuilder().call("kmalloc", 1024, result=0x20_0000).call("kmalloc", 100, result=0x20_1000)
    moved = tuple(frame._replace(address=frame.address + 64, offset=frame.offset + 64) for frame in LOAD)
    after = (
        TraceBuilder()
        .call("kmalloc", 612, result=0x20_0000)
        .call("kmalloc", 2048, result=0x20_1000, stack=moved)
    )
    return str(before.write(tmp_path / "old.kmt")), str(after.write(tmp_path / "new.kmt"))


def test_the_greatest_difference_comes_first(kmemu: Callable[..., Done], two: tuple[str, str]) -> None:
    done = kmemu("diff", *two, "--area", "heap")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[1:] == [
        "  difference     before      after  live bytes at the peak",
        "    +1.5 KiB    1.1 KiB    2.6 KiB  heap in all",
        "  difference     before      after  by callers",
        "      +2 KiB        0 B      2 KiB  load load.c:7 < kmain demo.c:31 < start",
        "      -512 B    1.1 KiB      612 B  kmain demo.c:31 < start",
    ]


def test_top(kmemu: Callable[..., Done], two: tuple[str, str]) -> None:
    done = kmemu("diff", *two, "--area", "heap", "--top", "1")
    assert done.out.splitlines()[-1] == "and 1 more stack (--top shows more)"
    assert "-512" not in done.out


def test_several_areas_are_distinguished(kmemu: Callable[..., Done], two: tuple[str, str]) -> None:
    assert "  heap: load load.c:7 <" in kmemu("diff", *two).out


def test_a_narrow_terminal_cuts_the_callers_off_and_a_pipe_does_not(
    kmemu: Callable[..., Done], two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    whole = [
        line for line in kmemu("diff", *two).out.splitlines() if line.startswith("      +2 KiB        0 B")
    ]
    assert len(whole[0]) > 50
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    lines = kmemu("diff", *two).out.splitlines()
    assert whole[0][:48] + ".." in lines
    assert max(map(len, lines[1:])) <= 50  # the names of the files stay whole


def test_addresses_do_not_count(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    moved = tuple(frame._replace(address=frame.address + 64, offset=1) for frame in WHO)
    names = [
        str(TraceBuilder().call("kmalloc", 8, result=0x20_0000, stack=stack).write(tmp_path / name))
        for name, stack in (("a", WHO), ("b", moved))
    ]
    done = kmemu("diff", *names)
    assert done.out.splitlines()[-1] == "no caller takes more or less"


@pytest.mark.parametrize(
    ("by", "total"), [("calls", [2, 2, 0]), ("allocated", [1124, 2660, 1536]), ("end", [1124, 2660, 1536])]
)
def test_measures(kmemu: Callable[..., Done], two: tuple[str, str], by: str, total: list[int]) -> None:
    document = json.loads(kmemu("diff", *two, "--by", by, "--json").out)
    assert document["measure"] == by
    assert document["unit"] == ("calls" if by == "calls" else "bytes")
    heap = document["areas"][0]
    assert [heap["before"], heap["after"], heap["difference"]] == total


def test_json(kmemu: Callable[..., Done], two: tuple[str, str]) -> None:
    document = json.loads(kmemu("diff", *two, "--area", "heap", "--json", "--top", "1").out)
    assert document == {
        "version": 1,
        "before": two[0],
        "after": two[1],
        "measure": "peak",
        "unit": "bytes",
        "areas": [{"area": "heap", "before": 1124, "after": 2660, "difference": 1536}],
        "stacks": [
            {
                "area": "heap",
                "before": 0,
                "after": 2048,
                "difference": 2048,
                "callers": [
                    {"function": "load", "file": "src/load.c", "line": 7},
                    {"function": "kmain", "file": "firmware/scenarios/demo.c", "line": 31},
                    {"function": "start", "file": "", "line": 0},
                ],
            }
        ],
    }


def test_fail_if_more(kmemu: Callable[..., Done], two: tuple[str, str]) -> None:
    assert kmemu("diff", *two, "--fail-if-more").status == 1
    assert kmemu("diff", *reversed(two), "--fail-if-more").status == 0
    assert kmemu("diff", *two, "--by", "calls", "--fail-if-more").status == 0
    assert kmemu("diff", *two, "--area", "frames", "--fail-if-more").status == 0


def test_an_area_that_is_not_there(kmemu: Callable[..., Done], two: tuple[str, str]) -> None:
    assert kmemu("diff", *two, "--area", "x") == (
        2,
        "",
        "kmemu: neither trace has an area 'x'; there are: heap, frames, pools\n",
    )


def test_hostile_names(kmemu: Callable[..., Done], two: tuple[str, str], tmp_path: Path) -> None:
    hostile = str(trace_examples.hostile().write(tmp_path / "x.kmt"))
    lines = kmemu("diff", two[0], hostile, "--by", "calls").out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert any("a;b\\n\\x1b]0;x" in line for line in lines)


def test_frames_of_which_nothing_is_known_are_alike(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    names = [
        str(
            TraceBuilder()
            .call("kmalloc", 8, result=0x20_0000, stack=(Frame(address),))
            .write(tmp_path / f"{address}")
        )
        for address in (0x100, 0x200)
    ]
    assert "no caller takes more or less" in kmemu("diff", *names).out
