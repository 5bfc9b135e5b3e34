from __future__ import annotations

import json
import webbrowser
from typing import TYPE_CHECKING

import pytest

from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return TraceBuilder().call("kmalloc", 100, result=0x1000).write(tmp_path / "run.kmt")


def test_the_page_stands_beside_the_trace(kmemu: Callable[..., Done], trace: Path) -> None:
    page = trace.with_suffix(".html")
    assert kmemu("report", str(trace)) == (0, f"wrote {page}\n", "")
    assert page.read_bytes().startswith(b"<!DOCTYPE html>\n")
    assert sorted(each.name for each in trace.parent.iterdir()) == ["run.html", "run.kmt"]


def test_another_name_for_the_page(kmemu: Callable[..., Done], trace: Path) -> None:
    page = trace.with_name("other.html")
    assert kmemu("report", str(trace), "-o", str(page)).out == f"wrote {page}\n"
    assert page.exists()


def test_an_incomplete_trace_says_so(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 8, result=0x1000).write(tmp_path / "cut.kmt", complete=False)
    done = kmemu("report", str(trace))
    assert (done.status, done.out) == (0, f"wrote {tmp_path / 'cut.html'}; the trace is incomplete\n")


def test_the_trace_is_not_overwritten(kmemu: Callable[..., Done], trace: Path) -> None:
    before = trace.read_bytes()
    done = kmemu("report", str(trace), "-o", str(trace))
    assert done == (2, "", f"kmemu: {trace} is the trace itself\n")
    assert trace.read_bytes() == before


def test_a_page_that_cannot_be_written(kmemu: Callable[..., Done], trace: Path) -> None:
    page = trace.parent / "no" / "page.html"
    done = kmemu("report", str(trace), "-o", str(page))
    assert done == (3, "", f"kmemu: cannot write {page}: No such file or directory\n")


def test_a_kernel_has_to_run_first(kmemu: Callable[..., Done]) -> None:
    problem = "is a kernel; kmemu trace firmware:demo -o run.kmt makes a trace of its run"
    assert kmemu("report", "firmware:demo") == (3, "", f"kmemu: firmware:demo: {problem}\n")


def test_a_file_that_is_no_trace(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "no.kmt"
    path.write_bytes(b"hello")
    done = kmemu("report", str(path))
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith(f"kmemu: {path}: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "no.html").exists()


def test_an_area_that_is_not_there(kmemu: Callable[..., Done], trace: Path) -> None:
    done = kmemu("report", str(trace), "--area", "stack")
    assert done == (2, "", "kmemu: no area 'stack' in the trace; there are: heap, frames, pools\n")


def test_json(kmemu: Callable[..., Done], trace: Path) -> None:
    done = kmemu("report", str(trace), "--json")
    document = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert [area["name"] for area in document["areas"]] == ["heap", "frames", "pools"]
    assert document["areas"][0]["peak"]["bytes"] == 100
    assert not trace.with_suffix(".html").exists()


def test_json_of_one_area(kmemu: Callable[..., Done], trace: Path) -> None:
    document = json.loads(kmemu("report", str(trace), "--json", "--area", "pools").out)
    assert [area["name"] for area in document["areas"]] == ["pools"]


@pytest.mark.parametrize("option", [["--open"], ["-o", "page.html"]])
def test_json_is_for_standard_output(kmemu: Callable[..., Done], trace: Path, option: list[str]) -> None:
    done = kmemu("report", str(trace), "--json", *option)
    assert done == (2, "", "kmemu: --json prints to standard output; -o and --open are for the page\n")


def test_the_page_is_opened(kmemu: Callable[..., Done], trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    kmemu("report", str(trace), "--open")
    assert opened == [trace.with_suffix(".html").as_uri()]


def test_a_terminal_shows_the_stages(
    kmemu: Callable[..., Done], trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    stages = kmemu("report", str(trace)).err.split("\r\x1b[K")
    assert stages == [
        "",
        "reading the trace",
        "following the blocks",
        "packing the columns",
        "writing the page",
        "",
    ]
