"""A baseline that was made of a run accepts that run, and nothing worse."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from emulator.check.findings import Kind
from emulator.verdict.baseline import baseline_of
from emulator.verdict.baseline_file import baseline_text, read_baseline
from emulator.verdict.comparison import compare
from emulator.verdict.limits import Limits
from emulator.verdict.tolerances import AREA_KEYS
from emulator.verdict.verdict import judge
from tests.helpers.check_examples import REPORTS

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.check_report import CheckReport
    from emulator.verdict.baseline import Baseline

SLOW = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def written(path: Path, checked: CheckReport, tolerances: dict[str, str | int | float]) -> Baseline:
    path.write_text(baseline_text(baseline_of(checked, tolerances)))
    return read_baseline(path)


TOLERANCES = st.dictionaries(
    st.sampled_from(["*", "a.*", "*.calls", "*.peak_bytes", "a.peak_bytes"]),
    st.integers(0, 1 << 70) | st.floats(0, 1e9) | st.sampled_from(["0", "5%", "0.5%", "1000"]),
)


@SLOW
@given(REPORTS, TOLERANCES)
def test_a_run_is_like_itself(
    tmp_path: Path, checked: CheckReport, tolerances: dict[str, str | int | float]
) -> None:
    baseline = written(tmp_path / "base.json", checked, tolerances)
    assert baseline == baseline_of(checked, tolerances)
    assert compare(checked, baseline) == []
    assert judge(checked, frozenset(Kind), Limits(), baseline).is_clean


@SLOW
@given(
    REPORTS, st.sampled_from([key for key in AREA_KEYS if key != "fragmentation"]), st.integers(1, 1 << 40)
)
def test_without_a_tolerance_any_growth_is_found(
    tmp_path: Path, checked: CheckReport, key: str, growth: int
) -> None:
    assume(checked.measures)
    baseline = written(tmp_path / "base.json", checked, {})
    areas = dict(checked.measures)
    name = next(iter(areas))
    areas[name] = replace(areas[name], **{key: getattr(areas[name], key) + growth})
    [difference] = compare(checked._replace(measures=areas), baseline)
    assert (difference.key, difference.fails) == (f"{name}.{key}", True)


@SLOW
@given(REPORTS, REPORTS)
def test_differences_come_in_order_each_once_and_a_new_baseline_accepts_them(
    tmp_path: Path, before: CheckReport, now: CheckReport
) -> None:
    old = written(tmp_path / "base.json", before, {})
    differences = compare(now, old)
    assert differences == sorted(differences, key=lambda each: each.order)
    assert len({each.key for each in differences}) == len(differences)
    assert compare(now, written(tmp_path / "base.json", now, {})) == []


@SLOW
@given(REPORTS)
def test_the_file_is_plain_json_of_ascii(checked: CheckReport) -> None:
    text = baseline_text(baseline_of(checked))
    assert text.isascii()
    assert json.loads(text)["version"] == 1
