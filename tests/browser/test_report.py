"""The report page as a whole: head, tabs, time, colours, sizes, what a hostile trace may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

from emulator.guest.symbolizer import Frame
from emulator.trace.trace import Trace
from tests.helpers.kernel_run import kernel_run
from tests.helpers.traces import TraceBuilder, random_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.browser import ReportPage

TABS = ("usage", "map", "flame", "lifetimes", "leaks", "problems")
HOSTILE = "</script><img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"


def shown(page: ReportPage) -> list[str]:
    return [name for name in TABS if page.find(f"#{name}").is_displayed()]


def test_the_head_names_kernel_command_and_totals(page: ReportPage) -> None:
    assert page.browser.title == "demo.elf: kmemu report"
    assert page.text("#kernel") == "demo.elf"
    assert page.text("#provenance") == "SHA-256 abababababababab… · ended: exit"
    assert page.text("#command") == "kmemu trace demo.elf"
    peak = page.trace.peak("heap")
    assert page.texts("#totals dd")[0].startswith(f"{peak.bytes / 1024:.1f}".removesuffix(".0") + " KiB")
    assert page.texts("#totals small")[0] == f"{peak.blocks} blocks"
    assert not page.find("#incomplete").is_displayed()


def test_an_incomplete_trace_says_so(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    page = show(Trace.read(str(kernel_run(tmp_path / "cut.kmt", steps=50, complete=False))))
    assert page.find("#incomplete").is_displayed()
    assert page.text("#incomplete").startswith("This trace is incomplete")


def test_a_trace_without_calls_can_be_shown(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    page = show(TraceBuilder().trace(tmp_path / "empty.kmt"))
    for name in TABS[:-1]:
        page.open_tab(name)
        assert shown(page) == [name]


def test_tabs_open_by_click(page: ReportPage) -> None:
    assert shown(page) == ["usage"]
    for name in TABS:
        page.open_tab(name)
        assert shown(page) == [name]
        assert page.find(f"#tab-{name}").get_attribute("aria-selected") == "true"


def test_tabs_open_by_arrow_keys(page: ReportPage) -> None:
    page.press("#tab-usage", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert shown(page) == ["flame"]
    page.press("#tab-flame", Keys.HOME, Keys.ARROW_LEFT)
    assert shown(page) == ["problems"]


def test_an_area_without_problems_has_no_such_tab(page: ReportPage) -> None:
    page.open_tab("problems")
    page.click("#areas [data-value='1']")
    assert not page.find("#tab-problems").is_displayed()
    assert shown(page) == ["usage"]


def test_the_area_is_switched_everywhere(page: ReportPage) -> None:
    page.click("#areas [data-value='1']")
    assert page.texts("#totals small")[0] == f"{page.trace.peak('frames').blocks} blocks"
    assert page.texts("#callers .code") == ["page_table_get"]
    page.open_tab("map")
    assert page.text("#map-title").startswith("frames: ")


def test_the_first_area_can_be_chosen(show: Callable[..., ReportPage], run: Trace) -> None:
    assert show(run, "frames").text("#areas [aria-checked=true]") == "frames"


@pytest.mark.parametrize("area", ["heap", "frames"])
def test_what_is_live_at_an_event(show: Callable[..., ReportPage], run: Trace, area: str) -> None:
    page = show(run, area)
    for event in (0, 1, 2, 777, run.peak(area).event, run.event_count // 2, run.event_count):
        page.go_to(event)
        live = run.live(event, area)
        size = int(live.size.sum())
        unit, name = (2**20, "MiB") if size >= 2**20 else (1024, "KiB") if size >= 1024 else (1, "B")
        blocks = f"{len(live.size)} block{'s' if len(live.size) != 1 else ''}"
        text = page.text("#usage-readout")
        assert text.endswith(f": {round(size / unit, 1):g} {name} in {blocks}"), event
        assert text.startswith(f"Now: event {event:,}, ")


def test_the_page_begins_at_the_peak(page: ReportPage) -> None:
    peak = page.trace.peak("heap").event
    assert page.event == peak
    page.go_to(5)
    page.click("#to-peak")
    assert page.event == peak


def test_the_slider_goes_by_events_and_by_changes(page: ReportPage) -> None:
    page.go_to(100)
    page.press("#slider", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.event == 102
    page.press("#slider", Keys.ARROW_LEFT)
    assert page.event == 101
    changes = page.trace.usage("heap").events.tolist()
    index = next(index for index in range(40, len(changes)) if changes[index] - changes[index - 1] > 1)
    page.go_to(changes[index - 1])
    page.press("#slider", Keys.SHIFT + Keys.ARROW_RIGHT)
    assert page.event == changes[index]
    page.click("#step-back")
    page.click("#step-back")
    assert page.event == changes[index - 2]
    page.click("#step-on")
    assert page.event == changes[index - 1]


def test_the_slider_says_what_an_event_does(page: ReportPage) -> None:
    blocks = page.trace.blocks("heap")
    page.go_to(int(blocks.born[3]))
    assert page.text("#now-what") == (
        f"call #{blocks.born_call[3]} allocates {blocks.size[3]} B at 0x{blocks.address[3]:08x}"
    )
    block = int(blocks.died.argmin())
    page.go_to(int(blocks.died[block]))
    assert page.text("#now-what").startswith("frees ")
    assert page.text("#now-what").endswith(
        f"at 0x{blocks.address[block]:08x}, from call #{blocks.born_call[block]}"
    )


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_play_moves_time_until_it_is_stopped(page: ReportPage, motion: str) -> None:
    page.prefer(prefers_reduced_motion=motion)
    page.go_to(10)
    page.click("#play")
    page.until(lambda: page.event > 10)
    assert page.find("#play").get_attribute("aria-label") == "Pause"
    page.click("#play")
    stopped = page.event
    page.settle()
    assert page.event == stopped
    assert page.find("#play").get_attribute("aria-label") == "Play"


def test_play_ends_at_the_end(page: ReportPage) -> None:
    page.go_to(page.trace.event_count - 3)
    page.click("#play")
    page.until(lambda: page.event == page.trace.event_count)
    page.until(lambda: page.find("#play").get_attribute("aria-label") == "Play")


def colours(page: ReportPage) -> tuple[str, str]:
    back = str(page.script("return getComputedStyle(document.body).backgroundColor"))
    return back, str(page.find("#theme").get_attribute("aria-pressed"))


def test_light_and_dark(page: ReportPage) -> None:
    light, dark = ("rgb(244, 246, 248)", "false"), ("rgb(14, 17, 22)", "true")
    page.prefer(prefers_color_scheme="light")
    assert colours(page) == light
    page.prefer(prefers_color_scheme="dark")
    assert colours(page) == dark
    page.click("#theme")
    assert colours(page) == light
    page.click("#theme")
    assert colours(page) == dark


@pytest.mark.parametrize("width", [360, 720, 1280])
def test_no_view_is_wider_than_the_window(page: ReportPage, width: int) -> None:
    page.resize(width, 800)
    for name in TABS:
        page.open_tab(name)
        assert page.script("return document.documentElement.scrollWidth") <= width, name


def test_all_that_can_be_used_has_a_name(page: ReportPage) -> None:
    for name in TABS:
        page.open_tab(name)
        nameless = page.script(
            "return [...document.querySelectorAll('button, input, [role=application], [role=tree]')]"
            ".filter((each) => !(each.ariaLabel || each.textContent.trim() || each.labels?.length))"
            ".map((each) => each.outerHTML)"
        )
        assert nameless == []


def test_the_tab_key_reaches_every_control(page: ReportPage) -> None:
    page.open_tab("map")
    page.script("document.querySelector('.skip').focus()")
    reached: list[str] = []
    while "slider" not in reached and len(reached) < 40:
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(
            str(page.script("const now = document.activeElement; return now.id || now.textContent"))
        )
    wanted = ["heap", "theme", "tab-map", "By caller", "+", "\u2212", "Fit", "map-canvas", "licences-open"]
    wanted += ["step-back", "play", "step-on", "to-peak", "slider"]
    assert [each for each in reached if each in wanted] == wanted
    outline = page.script(
        "document.querySelector('#play').focus(); return getComputedStyle(document.activeElement).outlineStyle"
    )
    assert outline == "solid"


def test_the_licences_can_be_read(page: ReportPage) -> None:
    page.click("#licences-open")
    assert page.find("#licences").is_displayed()
    assert "Apache License" in page.text("#licences-text")
    page.press("#licences-text", Keys.ESCAPE)
    assert not page.find("#licences").is_displayed()


def test_hostile_names_are_only_text(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    builder = TraceBuilder()
    for index in range(12):
        stack = [
            Frame(0x1000 + index, HOSTILE + str(index), 4, HOSTILE, 3),
            Frame(0x2000, "__proto__", 1, "constructor", 1),
        ]
        builder.call("kmalloc", 8, result=0x1000 + 16 * index, stack=stack)
        builder.call("kmalloc", 8, result=0, stack=stack)
        builder.call("kfree", 0x99, stack=stack)
    page = show(builder.trace(tmp_path / "t.kmt"))
    for name in TABS:
        page.open_tab(name)
        page.script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.settle()
    page.open_tab("flame")
    page.press("#flame-search", *"<img")
    assert page.texts("#callers .code")[0].startswith(HOSTILE)
    assert page.script("return [window.pwned, document.querySelectorAll('img').length]") == [None, 0]


def test_a_script_that_was_slipped_in_does_not_run(page: ReportPage) -> None:
    page.script(
        "const script = document.createElement('script'); script.textContent = 'window.pwned = 1';"
        "document.body.append(script)"
    )
    assert page.script("return window.pwned") is None
    assert any("Content Security Policy" in complaint for complaint in page.complaints())


def test_a_million_events(show: Callable[..., ReportPage], tmp_path: Path) -> None:
    trace = Trace.read(str(random_trace(tmp_path / "big.kmt", 500_000, 3)))
    page = show(trace)
    for name in TABS[:-1]:
        page.open_tab(name)
        for event in (250_000, 999_999):
            page.go_to(event)
            assert page.text("#now-event").startswith(f"Event {event:,} of 1,000,000 · ")
    page.open_tab("map")
    live = trace.live(page.event, "heap")
    assert f" live in {len(live.size):,} blocks" in page.text("#map-title")
