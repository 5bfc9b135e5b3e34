"""The report's view "Flame graph"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

if TYPE_CHECKING:
    from tests.helpers.browser import ReportPage


def flame(page: ReportPage) -> dict[str, float]:
    """Return the functions of frames with their widths in pixels, after the transition."""
    page.browser.execute_async_script("setTimeout(arguments[0], 700)")
    found = page.script(
        "return [...document.querySelectorAll('#flame-chart g.frame')].map((g) => [g.ariaLabel, g.querySelector('rect').getBoundingClientRect().width])"
    )
    return {name.split(",")[0].split(" ")[0]: width for name, width in found}


@pytest.mark.parametrize(
    ("label", "measure"),
    [
        ("At peak", "peak_bytes"),
        ("At end", "end_bytes"),
        ("Calls", "calls"),
        ("Allocated", "bytes_allocated"),
    ],
)
def test_the_flame_graph_shows_a_measure(page: ReportPage, label: str, measure: str) -> None:
    page.open_tab("flame")
    page.click(f"#measure [data-value={measure}]")
    assert page.text("#measure [aria-checked=true]") == label
    totals = {
        page.trace.frames(each.stack)[0].function: getattr(each, measure)
        for each in page.trace.by_stack("heap")
    }
    widths = flame(page)
    scale = widths["heap"] / sum(totals.values())
    for name, value in totals.items():
        if value * scale > 3:
            assert abs(widths[name] - value * scale) < 2, name


def test_a_click_zooms_into_the_flame_graph(page: ReportPage) -> None:
    page.open_tab("flame")
    before = flame(page)
    page.find("#flame-chart g.frame[aria-label^=vfs_open]").click()
    zoomed = flame(page)
    assert zoomed["vfs_open"] == pytest.approx(before["heap"], abs=1)
    assert "buffer_read" not in zoomed or zoomed["buffer_read"] < 1
    page.click("#flame-reset")
    assert flame(page) == pytest.approx(before, abs=0.5)


def test_the_flame_graph_by_keyboard(page: ReportPage) -> None:
    page.open_tab("flame")
    before = flame(page)

    def focused() -> str:
        return str(page.script("return document.activeElement.ariaLabel")).split()[0].rstrip(",")

    page.press("#flame-chart g.frame[tabindex='0']", Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert focused() == "syscall_dispatch"
    page.press("#flame-chart g.frame[tabindex='0']", Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert focused() == "vfs_open"
    page.press("#flame-chart g.frame[tabindex='0']", Keys.ENTER)
    assert flame(page)["vfs_open"] == pytest.approx(before["heap"], abs=1)
    assert focused() == "vfs_open"
    page.press("#flame-chart g.frame[tabindex='0']", Keys.ESCAPE)
    assert flame(page)["vfs_open"] == pytest.approx(before["vfs_open"], abs=1)


def test_search_highlights(page: ReportPage) -> None:
    page.open_tab("flame")
    page.press("#flame-search", *"VFS_")
    found = page.script(
        "return [...document.querySelectorAll('#flame-chart g.frame')].filter((g) => g.__data__.highlight).map((g) => g.ariaLabel.split(' ')[0])"
    )
    assert sorted(found) == ["vfs_open", "vfs_read"]
    assert page.text("#flame-note").startswith("2 frames found: ")
    fills = page.script(
        "return document.querySelector('#flame-chart g[aria-label^=vfs_open] rect').getAttribute('fill')"
    )
    assert fills in ("rgb(194 24 143)", "rgb(255 122 217)")


def test_search_takes_its_words_literally(page: ReportPage) -> None:
    page.open_tab("flame")
    page.press("#flame-search", *"(.*")
    assert page.text("#flame-note").startswith("0 frames found")
