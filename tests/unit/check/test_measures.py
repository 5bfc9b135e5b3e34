"""The numbers of a trace for baselines and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.check import measures
from emulator.check.measures import CallerMeasures, measure
from emulator.guest.symbolizer import Frame
from emulator.trace.queries.gaps import GapMeasure
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.profile.model import AreaRules
    from emulator.trace.blocks.blocks import Blocks

A, B, C = 0x200008, 0x200108, 0x200208


def by(name: str) -> tuple[Frame, ...]:
    return Frame(0x101000, name, 0), Frame(0x100020, "start", 0x20)


def test_callers_come_with_most_bytes_at_the_peak_first_then_by_name(tmp_path: Path) -> None:
    calls = TraceBuilder()
    calls.call("kmalloc", 16, result=A, stack=by("b")).call("kmalloc", 64, result=B, stack=by("c"))
    calls.call("kmalloc", 16, result=C, stack=by("a")).call("kmalloc", 8, stack=by("d"))
    calls.call("kfree", B, stack=by("c")).call("kfree", C, stack=())
    area = measure(calls.trace(tmp_path / "run.kmt"), {"heap": (16, 1)})["heap"]
    assert list(area.callers.items()) == [
        ("c", CallerMeasures(1, 64, 0)),
        ("a", CallerMeasures(1, 16, 0)),
        ("b", CallerMeasures(1, 16, 16)),
    ]
    assert (area.peak_bytes, area.peak_blocks, area.end_bytes, area.end_blocks) == (96, 3, 16, 1)
    assert (area.calls, area.failed, area.lost_bytes, area.lost_blocks) == (6, 1, 16, 1)


def test_gaps_are_measured_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes long, and a report in text does not show them."""
    measured: list[int] = []

    def gap_measure(ever: Blocks, rules: AreaRules) -> GapMeasure:
        measured.append(1)
        return GapMeasure(ever, rules)

    monkeypatch.setattr(measures, "GapMeasure", gap_measure)
    calls = TraceBuilder().call("kmalloc", 16, result=A).call("kmalloc", 16, result=B)
    calls.call("kmalloc", 16, result=C).call("kfree", B)
    area = measure(calls.trace(tmp_path / "run.kmt"), {})["heap"]
    assert (area.peak_bytes, area.end_bytes, area.lost_blocks, measured) == (48, 32, 0, [])
    assert [area.fragmentation, area.fragmentation] == [0.0, 0.0]
    assert measured == [1]


@pytest.mark.parametrize("nested", [False, True])
def test_the_peak_is_where_its_call_returned(nested: bool, tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 8, result=A)
    if nested:
        calls.enter("tick")
    calls.call("kmalloc", 16, result=B).call("kfree", A)
    call_site = measure(calls.trace(tmp_path / "run.kmt"), {})["heap"].peak
    assert call_site is not None
    assert (call_site.call, call_site.event, call_site.function) == (
        (3, 5, "kmalloc") if nested else (2, 4, "kmalloc")
    )
