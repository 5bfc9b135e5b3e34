"""A check as annotations."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings

from emulator.check.findings import CallSite, Kind
from emulator.guest.symbolizer import Frame
from emulator.report.ci.github import github_lines
from emulator.verdict.baseline import baseline_of
from emulator.verdict.limits import Limits
from emulator.verdict.verdict import Verdict, judge
from tests.helpers.check_examples import (
    CORRUPTION,
    DIED,
    HOSTILE_FINDING,
    LEAK,
    LIBRARY,
    REPORTS,
    report,
    with_heap,
)

if TYPE_CHECKING:
    from emulator.check.check_report import CheckReport

ALL = frozenset(Kind)


def lines(verdict: Verdict) -> list[str]:
    return list(github_lines(verdict, "/repo"))


def test_a_clean_run_says_nothing() -> None:
    assert lines(Verdict(report())) == []


def test_a_finding_is_an_error_where_it_comes_from() -> None:
    [line] = lines(Verdict(report(LEAK)))
    assert line == (
        "::error file=demo.c,line=31,title=kmemu%3A memory leak::heap: leak of 0x00200108 (40 bytes)"
        "%0Aallocated at event 2, call #1 of kmalloc%0A  kmain+0x42 demo.c:31%0A  start+0x20%0Aid " + LEAK.id
    )


def test_a_file_in_the_repository_is_preferred_and_relative() -> None:
    [line] = lines(Verdict(report(CORRUPTION)))
    assert line.startswith("::error file=src/serve it.c,line=62,title=kmemu%3A heap corruption::")


def test_a_file_outside_is_not_named() -> None:
    [line] = lines(Verdict(report(replace(DIED, call_site=CallSite(1, 2, "memset", (LIBRARY,))))))
    assert line.startswith("::error title=kmemu%3A kernel died::")


def test_a_file_without_a_line() -> None:
    [line] = lines(Verdict(report(replace(DIED, call_site=CallSite(1, 2, "f", (Frame(1, "f", 0, "a.c"),))))))
    assert line.startswith("::error file=a.c,title=")


def test_without_a_known_file_there_is_only_a_title() -> None:
    [line] = lines(Verdict(report(DIED)))
    assert line == f"::error title=kmemu%3A kernel died::page fault at 0x00000000%0Aid {DIED.id}"


def test_accepted_findings_are_notices_after_the_errors() -> None:
    verdict = judge(report(LEAK, DIED), ALL, Limits(), baseline_of(report(LEAK)))
    first, second = lines(verdict)
    assert first.startswith("::error title=kmemu%3A kernel died::")
    assert second.startswith("::notice file=demo.c,line=31,title=kmemu%3A memory leak (accepted)::")


def test_regressions_are_errors_and_improvements_are_not_reported() -> None:
    now = with_heap(report(), peak_bytes=5000, calls=9)
    assert lines(judge(now, ALL, Limits(), baseline_of(report()))) == [
        "::error file=demo.c,line=31,title=kmemu%3A regression::heap.peak_bytes: 4,096 -> 5,000 (+904, +22.1%25)"
    ]


def test_hostile_names_are_escaped() -> None:
    [line] = lines(Verdict(report(HOSTILE_FINDING)))
    assert line.startswith(
        r"::error file=a%3Ab%2Cc%25\r\n<é>.c,line=3,title=kmemu%3A invalid free::heap: bad\x00\nfree"
    )
    assert line.isprintable()


@settings(deadline=None)
@given(REPORTS)
def test_any_check(checked: CheckReport) -> None:
    for line in lines(judge(checked, ALL, Limits(), baseline_of(report()))):
        assert line.isprintable()
        assert re.match(r"::(error|notice) [a-z]+=[^:,]*(,[a-z]+=[^:,]*)*::", line)
