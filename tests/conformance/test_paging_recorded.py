"""A run with virtual memory, recorded: areas whose blocks are virtual addresses, in a trace, in `step` and in a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import Trace, boot, record_trace
from emulator.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = "firmware:paging_demo"
SMALL, LARGE = 0xC000_0000, 0xC000_1000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded") / "run.kmt"


@pytest.fixture(scope="module")
def trace(path: Path) -> Trace:
    machine = boot(KERNEL)
    with record_trace(machine, path):
        machine.run()
    return Trace.read(str(path))


def test_the_areas_are_those_of_the_profile(trace: Trace) -> None:
    assert trace.areas == ("heap", "frames", "vmalloc", "vspace")


def test_blocks_of_vmalloc_are_virtual(trace: Trace) -> None:
    blocks = trace.blocks("vmalloc")
    assert list(zip(blocks.address.tolist(), blocks.size.tolist(), strict=True)) == [
        (SMALL, 1),
        (LARGE, 3 * 4096 + 1),
        (SMALL, 3 * 4096),
    ]
    assert len(trace.failed("vmalloc")) == 6
    assert len(trace.stray_frees("vmalloc")) == 4


def test_blocks_of_address_space_count_pages(trace: Trace) -> None:
    assert trace.blocks("vspace").size.tolist() == [8192, 12288, 4096, 16384, 12288, 4096]
    assert len(trace.failed("vspace")) == 4


@pytest.mark.parametrize("area", ["heap", "vmalloc", "vspace"])
def test_all_is_given_back(trace: Trace, area: str) -> None:
    assert len(trace.live(None, area).size) == 0


def test_a_record_is_taken_inside_the_call_that_hands_out_the_range(trace: Trace) -> None:
    calls = list(trace)
    inner = [
        calls[number + 1]
        for number, each in enumerate(calls)
        if each.function == "vspace_alloc" and each.result
    ]
    assert {(each.function, each.depth) for each in inner} == {("kmalloc", 1)}


def test_calls_that_change_page_tables_are_recorded(trace: Trace) -> None:
    calls = list(trace)
    inits = [number for number, each in enumerate(calls) if each.function == "paging_init"]
    assert [calls[number].result for number in inits] == [0xFFFF_FFFF, 0, 0xFFFF_FFFF]
    assert [(each.function, each.depth) for each in calls[inits[1] + 1 : inits[2]]] == [
        ("alloc_frame", 1)
    ] * 3
    inside = {each.function for each in calls if each.depth == 1}
    assert {"map_page", "unmap_page"} <= inside  # of vmalloc and vfree


def test_calls_of_regions_are_recorded_with_the_pages_that_they_take(tmp_path: Path) -> None:
    machine = boot("firmware:vm_share")
    with record_trace(machine, tmp_path / "run.kmt"):
        machine.run()
    calls = list(Trace.read(str(tmp_path / "run.kmt")))
    inside: dict[str, set[str]] = {}
    for call in calls:
        if call.depth == 0:
            outer = call.function
        else:
            inside.setdefault(outer, set()).add(call.function)
    assert inside["vmap_reg"] == {"pmem_alloc"}
    assert inside["vshr_reg"] == {"pmem_alloc", "pmem_share"}


def test_step_names_entries_of_page_tables_and_records(
    trace: Trace, capsys: pytest.CaptureFixture[str]
) -> None:
    born = int(trace.blocks("vmalloc").born[1])
    assert main(["step", KERNEL, "--print", "--at", str(born)]) == 0
    text = capsys.readouterr().out
    for page in range(4):
        assert f"page table entry of 0x{LARGE + 4096 * page:08x}   0 → 0x" in text
    assert ".start    0 → 0xc0001000" in text


def test_a_report_is_written(trace: Trace, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace.complete
    report = path.with_suffix(".html")
    assert main(["report", str(path), "-o", str(report)]) == 0
    assert "vmalloc" in report.read_text("utf-8")
    assert capsys.readouterr().err == ""
