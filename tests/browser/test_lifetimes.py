"""The report's views "Lifetimes", "Leaks" and "Problems"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

from tests.helpers.browser import size_text
from tests.helpers.gaps import free_gaps

if TYPE_CHECKING:
    from tests.helpers.browser import ReportPage


def test_the_histogram_counts_all_blocks(page: ReportPage) -> None:
    page.open_tab("lifetimes")
    blocks = page.trace.blocks("heap")
    labels = page.script(
        "return [...document.querySelectorAll('#histogram div')].map((each) => each.ariaLabel)"
    )
    counts = [int(label.split(": ")[1].split(" ")[0].replace(",", "")) for label in labels]
    dead = blocks.died != 0xFFFF_FFFF
    lives = (blocks.died[dead] - blocks.born[dead]).tolist()
    expected = [
        sum(1 for life in lives if life.bit_length() - 1 == bucket) for bucket in range(len(counts) - 1)
    ]
    assert counts == [*expected, int((~dead).sum())]


def test_fragmentation_is_what_going_through_all_blocks_gives(page: ReportPage) -> None:
    page.open_tab("lifetimes")
    page.until(lambda: page.text("#gaps-readout").startswith("Now"))
    for event in (0, 2, 100, 901, 1500, page.trace.peak("heap").event, page.trace.event_count):
        page.go_to(event)
        gaps = free_gaps(page.trace, "heap", event)
        free, largest = sum(gaps), max(gaps)
        text = page.text("#gaps-readout")
        assert f" {size_text(free)} free in the span" in text, event
        assert f" largest gap {size_text(largest)}, fragmentation " in text, event
        assert float(text.rsplit("fragmentation ", 1)[1].removesuffix(" %")) == pytest.approx(
            100 * (1 - largest / free), abs=0.6
        )


def test_fragmentation_is_explained(page: ReportPage) -> None:
    page.open_tab("lifetimes")
    page.click("#fragmentation-help")
    assert page.find("#fragmentation-text").is_displayed()
    assert page.find("#fragmentation-help").get_attribute("aria-expanded") == "true"


def test_leaks_are_what_lives_at_the_end(page: ReportPage) -> None:
    page.open_tab("leaks")
    rows = sorted(
        (each for each in page.trace.by_stack("heap") if each.end_blocks), key=lambda each: -each.end_bytes
    )
    assert page.texts("#leak-table td:nth-child(2)") == [size_text(each.end_bytes) for each in rows]
    assert page.texts("#leak-table td:nth-child(4)") == [f"{each.end_blocks:,}" for each in rows]
    frame = page.trace.frames(rows[0].stack)[0]
    source_line = f"{frame.function} {frame.file.rsplit('/', 1)[1]}:{frame.line}"
    assert page.texts("#leak-table summary")[0].strip() == source_line
    page.press("#leak-table summary", Keys.ENTER)
    names = [text.split()[0] for text in page.texts("#leak-table tr:first-child li")]
    assert names[0] == frame.function
    assert len(names) == len(page.trace.frames(rows[0].stack))


def test_problems_lead_to_their_event(page: ReportPage) -> None:
    page.open_tab("problems")
    failed = page.trace.failed("heap").tolist()
    stray = page.trace.stray_frees("heap").tolist()
    assert page.texts("#failed-table td:first-child") == [f"#{number:,}" for number in failed][:50]
    assert page.texts("#stray-table td:first-child") == [f"#{number:,}" for number in stray]
    page.click("#stray-table .link")
    assert page.event == page.trace[stray[0]].entered
