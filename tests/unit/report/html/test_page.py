from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from emulator.guest.symbolizer import Frame
from emulator.report.html.page import report_page, script_json
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</script><script>window.pwned=1</script><!--<img src=x onerror=alert(1)>&\u2028@DOCUMENT@"


def page_of(path: Path, name: str = "kmain") -> str:
    builder = TraceBuilder().call("kmalloc", 8, result=0x1000, stack=[Frame(0x1000, name, 4, name, 3)])
    return report_page(builder.call("alloc_frame", result=7).trace(path / "t.kmt")).decode()


def element(page: str, identity: str) -> str:
    found = re.search(rf'<script type="[^"]*" id="{identity}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_json_cannot_leave_its_element() -> None:
    text = script_json({HOSTILE: [HOSTILE]})
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == {HOSTILE: [HOSTILE]}


def test_names_from_the_trace_are_not_markup(tmp_path: Path) -> None:
    page, plain = page_of(tmp_path, HOSTILE), page_of(tmp_path)
    assert "pwned=1<" not in page
    assert page.count("<script") == plain.count("<script")
    names = json.loads(element(page, "document"))["names"]
    assert names[0] == HOSTILE.replace("\u2028", "\\u2028")


def test_the_policy_allows_our_own_scripts_and_nothing_else(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert f"default-src 'none'; script-src {allowed}; style-src 'sha256-" in policy[1]
    assert "unsafe" not in policy[1]


def test_the_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    markup = re.sub(r"<script.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="([^"]*)"', markup) == ["data:,", "#panels"]
    assert "url(" not in "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))


def test_the_licences_travel_with_the_libraries(tmp_path: Path) -> None:
    licences = element(page_of(tmp_path), "licences-data")
    assert "d3-flame-graph\n\n" in licences
    assert "uplot\n\nThe MIT License (MIT)\n\nCopyright (c)" in licences
    assert "Apache License" in licences


@pytest.mark.parametrize(("area", "first"), [(None, 0), ("heap", 0), ("frames", 1), ("pools", 0)])
def test_the_area_shown_first(tmp_path: Path, area: str | None, first: int) -> None:
    builder = TraceBuilder().call("kmalloc", 8, result=0x1000).call("alloc_frame", result=7)
    page = report_page(builder.trace(tmp_path / "t.kmt"), area).decode()
    document = json.loads(element(page, "document"))
    assert (document["first"], [each["name"] for each in document["areas"]]) == (first, ["heap", "frames"])


def test_the_stages_are_reported(tmp_path: Path) -> None:
    stages: list[str] = []
    report_page(
        TraceBuilder().call("kmalloc", 8, result=0x1000).trace(tmp_path / "t.kmt"), None, stages.append
    )
    assert stages == ["following the blocks", "packing the columns", "writing the page"]


def test_the_same_trace_makes_the_same_page(tmp_path: Path) -> None:
    assert page_of(tmp_path) == page_of(tmp_path)
