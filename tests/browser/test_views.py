"""The views of the report page, against the trace that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from emulator.trace.events import Frame
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.trace.trace import Trace
    from tests.helpers.browser import ReportPage


def size_text(size: int) -> str:
    value, units = float(size), ["B", "KiB", "MiB"]
    while round(value, 1) >= 1024:
        value, units = value / 1024, units[1:]
    return f"{round(value, 1):g} {units[0]}"


def picture(page: ReportPage) -> str:
    """Return the usage chart as it is drawn."""
    return str(page.script("return document.querySelector('#usage-chart canvas').toDataURL()"))


# -- usage -------------------------------------------------------------------------------------------------


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
    before = picture(page)
    ActionChains(page.browser).move_to_element_with_offset(over, -100, 0).click_and_hold().move_by_offset(
        150, 0
    ).release().perform()
    page.settle()
    assert picture(page) != before
    page.go_to(0)
    assert not page.find("#usage-chart .now").is_displayed()
    ActionChains(page.browser).double_click(over).perform()
    page.settle()
    page.go_to(page.trace.peak("heap").event)
    assert page.find("#usage-chart .now").is_displayed()
    assert picture(page) == before


def test_the_chart_zooms_by_keys_and_buttons(page: ReportPage) -> None:
    before = picture(page)
    page.press("#usage-chart", "+")
    zoomed = picture(page)
    assert zoomed != before
    page.press("#usage-chart", "0")
    assert picture(page) == before
    page.click("#usage-zoom [aria-label='Zoom in']")
    assert picture(page) == zoomed
    page.click("#usage-zoom [aria-label='Zoom out']")
    assert picture(page) == before


def test_arrow_keys_in_the_chart_move_the_time(page: ReportPage) -> None:
    page.go_to(50)
    page.press("#usage-chart", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.event == 51


def test_a_hidden_chart_follows_time_and_colours(page: ReportPage) -> None:
    page.prefer(prefers_color_scheme="light")
    page.go_to(page.trace.event_count // 2)
    here, light = page.find("#usage-chart .now").rect["x"], picture(page)
    page.open_tab("leaks")
    page.go_to(page.trace.event_count // 4)
    page.prefer(prefers_color_scheme="dark")
    page.open_tab("usage")
    assert page.find("#usage-chart .now").rect["x"] < here - 100
    assert picture(page) != light


def test_the_axis_can_be_virtual_time(page: ReportPage) -> None:
    before = picture(page)
    page.click("#axis [data-value=time]")
    assert picture(page) != before
    over = page.find("#usage-chart .u-over")
    ActionChains(page.browser).move_to_element(over).click().perform()
    page.settle()
    assert (
        abs(page.event - page.trace.event_count / 2) < 0.01 * page.trace.event_count
    )  # events are 100 ns apart


def test_another_area_can_be_compared(page: ReportPage) -> None:
    before = picture(page)
    page.click("#compare input:not(:disabled)")
    assert picture(page) != before


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


# -- map ---------------------------------------------------------------------------------------------------


def two_blocks(path: Path) -> Trace:
    """Return a trace of a block in the first and one in the last quarter of 64 KiB."""
    builder = TraceBuilder().call("kmalloc", 0x4000, result=0x140000).call("kmalloc", 0x4000, result=0x14C000)
    return builder.call("kfree", 0x14C000).trace(path)


def pixel(page: ReportPage, across: float, down: float) -> list[int]:
    """Return the colour at a place in the map: 0 to 1 across the rows, 0 to 1 down the span."""
    found = page.script(
        "const canvas = document.getElementById('map-canvas');"
        "const height = document.getElementById('map-space').clientHeight;"
        "const x = 84 + arguments[0] * (canvas.width - 84), y = Math.floor(arguments[1] * height / 12) * 12 + 4;"
        "const copy = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });"
        "copy.drawImage(canvas, -Math.floor(x), -y); return [...copy.getImageData(0, 0, 1, 1).data]",
        across,
        down,
    )
    return [int(value) for value in found]


def test_blocks_and_free_space_have_colours(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    page = show(two_blocks(tmp_path / "t.kmt"))
    page.prefer(prefers_color_scheme="light")
    page.open_tab("map")
    block, free = [0, 114, 178, 255], [233, 237, 241, 255]
    assert [pixel(page, 0.6, down) for down in (0.1, 0.5, 0.9)] == [block, free, block]
    page.go_to(5)
    assert [pixel(page, 0.6, down) for down in (0.1, 0.5, 0.9)] == [block, free, free]
    page.go_to(0)
    assert pixel(page, 0.6, 0.1) == free


def test_blocks_can_be_coloured_by_age(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    page = show(two_blocks(tmp_path / "t.kmt"))
    page.open_tab("map")
    page.click("#map-colour [data-value=age]")
    page.go_to(4)
    old, new = pixel(page, 0.6, 0.1), pixel(page, 0.6, 0.9)
    assert old != new
    assert new == [253, 197, 39, 255]


def test_the_pointer_shows_block_and_free_space(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    page = show(two_blocks(tmp_path / "t.kmt"))
    page.open_tab("map")
    canvas = page.find("#map-canvas")
    top = -canvas.rect["height"] / 2 + 5
    ActionChains(page.browser).move_to_element_with_offset(canvas, 60, int(top)).perform()
    assert page.texts("#tip p") == ["0x00140000, 16 KiB", "born in call #1", "kmain demo.c:31", "start+0x20"]
    ActionChains(page.browser).move_by_offset(0, 160).perform()
    assert page.texts("#tip p") == ["free: 32 KiB", "0x00144000 to 0x0014c000"]


def test_a_click_keeps_a_block(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    page = show(two_blocks(tmp_path / "t.kmt"))
    page.open_tab("map")
    canvas = page.find("#map-canvas")
    ActionChains(page.browser).move_to_element_with_offset(
        canvas, 60, int(-canvas.rect["height"] / 2 + 5)
    ).click().perform()
    page.settle()
    assert page.texts("#map-facts dd") == [
        "0x00140000",
        "16 KiB (16,384 B)",
        "call #1, event 2",
        "never",
        "live",
    ]
    assert page.texts("#map-facts li") == ["kmain demo.c:31", "start+0x20 "]


def test_arrow_keys_go_from_block_to_block(page: ReportPage) -> None:
    page.open_tab("map")
    live = page.trace.live(page.event, "heap")
    addresses = sorted(live.address.tolist())

    def selected() -> int:
        return addresses.index(int(page.texts("#map-facts dd")[0], 16))

    page.press("#map-canvas", Keys.HOME)
    assert selected() == 0
    page.press("#map-canvas", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert selected() == 1
    page.press("#map-canvas", Keys.ARROW_DOWN)
    assert selected() > 1
    page.press("#map-canvas", Keys.END)
    assert selected() == len(addresses) - 1
    page.press("#map-canvas", Keys.ESCAPE)
    assert page.texts("#map-facts dd") == []


def test_the_map_zooms_to_the_selected_block(page: ReportPage) -> None:
    page.open_tab("map")
    height = page.script("return document.getElementById('map-space').clientHeight")
    page.press("#map-canvas", Keys.END, "+", "+", "+")
    assert page.script("return document.getElementById('map-space').clientHeight") > 6 * height
    assert page.script("return document.getElementById('map-scroll').scrollTop") > height
    page.press("#map-canvas", "0")
    assert page.script("return document.getElementById('map-space').clientHeight") == height


def test_the_map_tells_of_the_event(page: ReportPage) -> None:
    page.open_tab("map")
    blocks = page.trace.blocks("heap")
    page.go_to(int(blocks.born[5]))
    frames = page.trace.frames(int(blocks.stack[5]))
    assert page.texts("#map-event li")[0].split()[0] == frames[0].function


# -- flame graph -------------------------------------------------------------------------------------------


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


# -- lifetimes ---------------------------------------------------------------------------------------------


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


def largest_gap(trace: Trace, event: int) -> tuple[int, int]:
    """Return the free bytes in the span of the heap, and the largest gap, by going through all blocks."""
    everything, live = trace.blocks("heap"), trace.live(event, "heap")
    start = int(everything.address.min())
    end = int((everything.address.astype(int) + everything.size).max())
    gaps, place = [], start
    for address, size in sorted(zip(live.address.tolist(), live.size.tolist(), strict=True)):
        gaps.append(address - place)
        place = max(place, address + size)
    gaps.append(end - place)
    return sum(gaps), max(gaps)


def test_fragmentation_is_what_going_through_all_blocks_gives(page: ReportPage) -> None:
    page.open_tab("lifetimes")
    page.until(lambda: page.text("#gaps-readout").startswith("Now"))
    for event in (0, 2, 100, 901, 1500, page.trace.peak("heap").event, page.trace.event_count):
        page.go_to(event)
        free, largest = largest_gap(page.trace, event)
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


# -- leaks and problems ------------------------------------------------------------------------------------


def test_leaks_are_what_lives_at_the_end(page: ReportPage) -> None:
    page.open_tab("leaks")
    rows = sorted(
        (each for each in page.trace.by_stack("heap") if each.end_blocks), key=lambda each: -each.end_bytes
    )
    assert page.texts("#leak-table td:nth-child(2)") == [size_text(each.end_bytes) for each in rows]
    assert page.texts("#leak-table td:nth-child(4)") == [f"{each.end_blocks:,}" for each in rows]
    frame = page.trace.frames(rows[0].stack)[0]
    place = f"{frame.function} {frame.file.rsplit('/', 1)[1]}:{frame.line}"
    assert page.texts("#leak-table summary")[0].strip() == place
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
