"""The report's view "Map"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.trace.trace import Trace
    from tests.helpers.browser import ReportPage


def two_blocks(path: Path) -> Trace:
    """Return a trace of a block in the first and one in the last quarter of 64 KiB."""
    builder = TraceBuilder().call("kmalloc", 0x4000, result=0x140000).call("kmalloc", 0x4000, result=0x14C000)
    return builder.call("kfree", 0x14C000).trace(path)


def pixel(page: ReportPage, across: float, down: float) -> list[int]:
    """Return the colour at a position in the map: 0 to 1 across the rows, 0 to 1 down the span."""
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


def test_the_map_names_the_event(page: ReportPage) -> None:
    page.open_tab("map")
    blocks = page.trace.blocks("heap")
    page.go_to(int(blocks.born[5]))
    frames = page.trace.frames(int(blocks.stack[5]))
    assert page.texts("#map-event li")[0].split()[0] == frames[0].function
