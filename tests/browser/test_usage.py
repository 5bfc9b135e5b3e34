"""The report's view "Usage"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from emulator.guest.symbolizer import Frame
from tests.helpers.browser import size_text
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.browser import ReportPage


def pixels(page: ReportPage) -> str:
    """Return the usage chart as it is drawn."""
    return str(page.script("return document.querySelector('#usage-chart canvas').toDataURL()"))


def test_a_click_in_the_chart_sets_the_time(page: ReportPage) -> None:
    over = page.find("#usage-chart .u-over")
    ActionChains(page.browser).move_to_element(over).click().perform()
    page.settle()
    middle = page.trace.event_count / 2
    assert abs(page.event - middle) < 0.01 * page.trace.event_count
    line = page.find("#usage-chart .now").rect
    assert abs(line["x"] - (over.rect["x"] + over.rect["width"] / 2)) < 4


def test_dragging_zooms_and_a_double_click_shows_all(page: ReportPage) -> None:
    over = page.find("#usage-chart .u-over")
    before = pixels(page)
    ActionChains(page.browser).move_to_element_with_offset(over, -100, 0).click_and_hold().move_by_offset(
        150, 0
    ).release().perform()
    page.settle()
    assert pixels(page) != before
    page.go_to(0)
    assert not page.find("#usage-chart .now").is_displayed()
    ActionChains(page.browser).double_click(over).perform()
    page.settle()
    page.go_to(page.trace.peak("heap").event)
    assert page.find("#usage-chart .now").is_displayed()
    assert pixels(page) == before


def test_the_chart_zooms_by_keys_and_buttons(page: ReportPage) -> None:
    before = pixels(page)
    page.press("#usage-chart", "+")
    zoomed = pixels(page)
    assert zoomed != before
    page.press("#usage-chart", "0")
    assert pixels(page) == before
    page.click("#usage-zoom [aria-label='Zoom in']")
    assert pixels(page) == zoomed
    page.click("#usage-zoom [aria-label='Zoom out']")
    assert pixels(page) == before


def test_arrow_keys_in_the_chart_move_the_time(page: ReportPage) -> None:
    page.go_to(50)
    page.press("#usage-chart", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.event == 51


def test_a_hidden_chart_follows_the_time(page: ReportPage) -> None:
    page.go_to(page.trace.event_count // 2)
    here = page.find("#usage-chart .now").rect["x"]
    page.open_tab("leaks")
    page.go_to(page.trace.event_count // 4)
    page.open_tab("usage")
    assert page.find("#usage-chart .now").is_displayed()
    assert page.find("#usage-chart .now").rect["x"] < here - 100


def test_a_hidden_chart_follows_the_colours(page: ReportPage) -> None:
    page.prefer(prefers_color_scheme="light")
    light = pixels(page)
    page.open_tab("leaks")
    page.prefer(prefers_color_scheme="dark")
    page.open_tab("usage")
    assert pixels(page) != light


def test_zoomed_out_the_chart_shows_what_lasts_one_event(
    show: Callable[..., ReportPage], tmp_path: Path
) -> None:
    builder = TraceBuilder()
    for index in range(6000):
        size = 1 << 20 if index == 3000 else 64
        builder.call("kmalloc", size, result=0x140000).call("kfree", 0x140000)
    page = show(builder.trace(tmp_path / "t.kmt"))
    assert is_line(page, page.event, range(-3, 4))
    assert not is_line(page, page.event, range(40, 60))


def is_line(page: ReportPage, event: int, distances: range) -> bool:
    """Return whether the line passes the middle of the chart's height, so many pixels from an event."""
    found = page.script(
        "const canvas = document.querySelector('#usage-chart canvas'), box = canvas.getBoundingClientRect();"
        "const over = document.querySelector('#usage-chart .u-over').getBoundingClientRect();"
        "const x = over.x - box.x + (over.width * arguments[0]) / arguments[1] + arguments[2];"
        "const copy = new OffscreenCanvas(arguments[3], 1).getContext('2d', { willReadFrequently: true });"
        "copy.drawImage(canvas, -Math.round(x), -Math.round(over.y - box.y + over.height / 2) - 9);"
        "return [...copy.getImageData(0, 0, arguments[3], 1).data]",
        event,
        page.trace.event_count,
        distances.start,
        len(distances),
    )
    return any(
        alpha == 255 and red + green < 200
        for red, green, alpha in zip(found[::4], found[1::4], found[3::4], strict=True)
    )


def test_the_axis_can_be_virtual_time(page: ReportPage) -> None:
    before = pixels(page)
    page.click("#axis [data-value=time]")
    assert pixels(page) != before
    over = page.find("#usage-chart .u-over")
    ActionChains(page.browser).move_to_element(over).click().perform()
    page.settle()
    assert (
        abs(page.event - page.trace.event_count / 2) < 0.01 * page.trace.event_count
    )  # events are 100 ns apart


def test_another_area_can_be_compared(page: ReportPage) -> None:
    before = pixels(page)
    page.click("#compare input:not(:disabled)")
    assert pixels(page) != before


def test_the_pointer_reads_values(page: ReportPage) -> None:
    ActionChains(page.browser).move_to_element(page.find("#usage-chart .u-over")).perform()
    page.settle()
    text = page.text("#usage-readout")
    event = int(text.removeprefix("Pointer: event ").split(", ")[0].replace(",", ""))
    assert abs(event - page.trace.event_count / 2) < 0.01 * page.trace.event_count
    live = page.trace.live(event, "heap")
    assert text.endswith(f"{size_text(int(live.size.sum()))} in {len(live.size)} blocks")


def test_the_ten_biggest_callers(page: ReportPage) -> None:
    totals = sorted(page.trace.by_stack("heap"), key=lambda each: -each.peak_bytes)
    names = [page.trace.frames(each.stack)[0].function for each in totals]
    assert page.texts("#callers .code") == names
    first = page.texts("#callers tbody tr:first-child td")[1:]
    top = totals[0]
    assert [first[0], first[2], first[3], first[4]] == [
        size_text(top.peak_bytes), size_text(top.bytes_allocated), f"{top.calls:,}", size_text(top.end_bytes),
    ]  # fmt: skip


def test_calls_from_one_line_are_one_caller(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    builder = TraceBuilder()
    for index, line in enumerate((7, 7, 8)):
        stack = [Frame(0x1000 + index, "make", index, "a.c", line), Frame(0x2000, "kmain", 4)]
        builder.call("kmalloc", 64, result=0x140000 + 64 * index, stack=stack)
    page = show(builder.trace(tmp_path / "t.kmt"))
    assert page.texts("#callers .place-line") == ["makea.c:7", "makea.c:8"]
    assert page.texts("#callers td:nth-child(2)") == ["128 B", "64 B"]
    page.open_tab("flame")
    names = page.script(
        "return [...document.querySelectorAll('#flame-chart g.frame')].map((g) => g.ariaLabel)"
    )
    assert names == [
        "heap, 192 B, 100 %",
        "kmain+0x4, 192 B, 100 %",
        "make a.c:7, 128 B, 67 %",
        "make a.c:8, 64 B, 33 %",
    ]


def test_a_table_sorts_by_the_column_that_is_clicked(page: ReportPage) -> None:
    heads = page.find_all("#callers th button")
    heads[2].click()
    calls = [int(text.replace(",", "")) for text in page.texts("#callers td:nth-child(5)")]
    assert calls == sorted(calls, reverse=True)
    heads[2].click()
    assert [int(text.replace(",", "")) for text in page.texts("#callers td:nth-child(5)")] == sorted(calls)
    assert page.find_all("#callers th")[4].get_attribute("aria-sort") == "ascending"
