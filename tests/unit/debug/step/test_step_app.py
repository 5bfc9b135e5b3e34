"""Every key of the program, on a screen that exists only in memory."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from textual._styles_cache import StylesCache
from textual.binding import Binding
from textual.widgets import Input, Static
from textual.widgets._toast import Toast

from emulator.debug import debugger
from emulator.debug.step import step_app
from emulator.debug.step.dialogs import MessageScreen, Prompt, StopsScreen
from emulator.debug.step.moves_app import MovesApp
from emulator.debug.step.pane import Pane
from emulator.debug.step.pane_bar import PaneBar
from emulator.debug.step.panes import CallsPane, ViewPane
from emulator.debug.step.panes_app import ORDER, PanesApp
from emulator.debug.step.step_app import StepApp
from emulator.debug.writer import last_writer
from emulator.report.text.style import Style
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.timelines import timeline_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.writer import Writer
    from emulator.guest.locator import Locator

    Scene = Callable[[StepApp, "Stage"], Awaitable[None]]

WIDE, SMALL, TINY = (160, 48), (80, 24), (60, 20)


@pytest.fixture(autouse=True)
def _no_screen_stays() -> Iterator[None]:
    """Let go of what was drawn: Textual keeps the last 1,024 widgets with their lines, 200,000 objects."""
    yield
    StylesCache.get_inner_outer.cache_clear()


class Stage:
    """Presses keys and waits until the work that they start is done."""

    def __init__(self, app: StepApp, pilot: Pilot[None]) -> None:
        self._app = app
        self.pilot = pilot

    async def settle(self) -> None:
        for _ in range(500):
            await self.pilot.pause(0.01)
            if not self._app.is_busy and self._app.view is not None:
                await self.pilot.pause()
                return
        pytest.fail("the work does not end")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait: where the host is busy, Textual takes an app for idle that has not seen a key yet."""
        for _ in range(1000):
            if what():
                return
            await self.pilot.pause(0.01)
        pytest.fail("it does not come")

    async def told(self, text: str) -> None:
        await self.wait_for(lambda: text in notified(self._app))

    async def answer(self, key: str, text: str) -> None:
        await self.pilot.press(key)
        await self.wait_for(self.asks)
        await self.pilot.press(*text, "enter")
        await self.wait_for(lambda: not self.asks())
        await self.settle()

    def asks(self) -> bool:
        return isinstance(self._app.screen, Prompt)


def app_of(kernel: str, *, start: int = 0, unicode: bool = True, **options: Any) -> StepApp:  # noqa: ANN401 - as `debugger` has them
    """Return the program for a kernel whose run is not recorded yet; options are those of `debugger`."""
    timeline = timeline_of(kernel, record=False, **options)

    def begin() -> None:
        timeline.record()
        timeline.go_to(min(start, timeline.event_count))

    return StepApp(timeline, begin, Style(80, colour=True, unicode=unicode))


def play(
    scene: Scene,
    kernel: str = "overflow",
    size: tuple[int, int] = WIDE,
    start: int = 0,
    *,
    unicode: bool = True,
    **options: Any,  # noqa: ANN401 - as `debugger` has them
) -> StepApp:
    async def run() -> StepApp:
        app = app_of(kernel, start=start, unicode=unicode, **options)
        async with app.run_test(size=size) as pilot:
            stage = Stage(app, pilot)
            await stage.settle()
            await scene(app, stage)
        return app

    return asyncio.run(run())


def shown(app: StepApp, pane: str) -> str:
    view = app.query_one(f"#{pane}", Pane)
    return "\n".join(view.line_text(index).plain for index in range(view.line_count()))


def notified(app: StepApp) -> str:
    return "\n".join(str(each.message) for each in app._notifications)  # noqa: SLF001 - Textual has no way to ask


def lists_stops(app: StepApp) -> bool:
    return isinstance(app.screen, StopsScreen)


def event(app: StepApp) -> int:
    assert app.view is not None
    return app.view.event


def test_a_goes_to_the_next_bad_access_and_shows_it() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("a")
        assert event(app) == 14
        assert isinstance(app.screen, MessageScreen)
        text = str(app.screen.query_one(Static).render())
        assert text.startswith("BUG: use after free: read of 4 bytes from 0x0010b008")
        assert "\x1b" not in text
        await stage.press("escape")
        assert "next: use after free: " in str(app.query_one("#headline").render())
        here = app.timeline.debugger.moment
        assert (
            app.timeline.machine.registers().eip
            == app.timeline.debugger.mistakes()[0].accesses[0].registers.eip
        )
        await stage.press("a")
        await stage.told("no bad access comes after this")
        assert app.timeline.debugger.moment == here
        await stage.press("r")
        await stage.press("A")
        await stage.press("escape")
        assert app.timeline.debugger.moment == here
        await stage.press("A")
        await stage.told("there is no bad access before this")
        assert app.timeline.debugger.moment == here

    play(scene, "bad_late_write", sanitize=True)


def test_a_says_that_accesses_were_not_checked() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("a")
        assert event(app) == 0
        await stage.told("accesses were not checked: --sanitize")

    play(scene)


def test_keys_step_by_lines_and_instructions_in_both_directions() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        d = debugger("firmware:overflow")
        d.go_to_event(10)
        moves = (
            *(("i", d.step), ("s", d.step_line), ("s", d.step_line), ("o", d.next_line)),
            *(("O", d.next_line_back), ("S", d.step_line_back), ("I", d.step_back)),
            *(("s", d.step_line), ("u", d.finish), ("U", d.finish_back)),
        )
        seen = {d.moment}
        for key, move in moves:
            await stage.press(key)
            seen.add(move().moment)
            assert app.timeline.debugger.moment == d.moment
            assert f"eip  0x{d.machine.registers().eip:08x}" in shown(app, "registers")
        assert len(seen) > 6

    play(scene, start=10)


def test_a_step_shows_what_it_has_changed() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("i")
        assert shown(app, "changes").startswith("stack of kmain")
        assert "24 instructions" not in shown(app, "changes")
        headline = str(app.query_one("#headline").render())
        executed = f"{app.timeline.debugger.moment.instructions:,} instructions"
        assert headline == f"kmain+0x46 overflow.c:20; {executed}, after event 10 of 24"
        await stage.press("I")
        assert "heap_free_list" in shown(app, "changes")  # the call's, at whose exit it stands

    play(scene, start=10)


def test_between_two_events_the_nearest_calls_are_the_next_and_the_previous() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("i")
        await stage.press("i")
        await stage.press("p")
        assert event(app) == 10
        assert app.view is not None
        assert app.view.at_event
        await stage.press("s")
        await stage.press("n")
        assert (event(app), app.view.at_event) == (12, True)

    play(scene, start=10)


def test_steps_that_are_asked_for_on_the_way_are_not_lost() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        here = app.timeline.debugger.moment.instructions
        for _ in range(5):
            app.action_move("instruction", 1)
        await stage.settle()
        assert app.timeline.debugger.moment.instructions == here + 5

    play(scene, start=10)


def test_the_run_stops_where_it_is_to_stop_in_both_directions() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.answer("b", "kmalloc if size == 40")
        await stage.answer("W", "heap_error_count if d.event > 12")
        assert "●0x" not in shown(app, "code")
        headlines = []
        for key in "cccCC":
            await stage.press(key)
            headlines.append(str(app.query_one("#headline").render()))
            if key == "c" and len(headlines) == 1:
                assert "▶●0x" in shown(app, "code")
        assert headlines[0].startswith("stop 1; kmalloc+0x0 heap.c:168; ")
        assert headlines[1].startswith("stop 2: 0x00000000 became 0x00000001 by ")
        assert headlines[4] == headlines[0]
        await stage.press("C")
        assert str(app.query_one("#headline").render()).startswith("before the first instruction")

    play(scene)


def test_stops_are_listed_switched_off_and_deleted() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("B")
        await stage.told("nothing stops the run")
        await stage.answer("b", "kmalloc")
        await stage.answer("b", "kfree")
        await stage.pilot.press("B", "j", "space", "k", "d")
        assert [(each.number, each.enabled) for each in app.timeline.debugger.points] == [(2, False)]
        assert lists_stops(app)
        await stage.pilot.press("d")
        await stage.settle()
        assert not lists_stops(app)
        assert app.timeline.debugger.points == ()

    play(scene)


def test_what_is_no_place_is_said() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.answer("b", "nowhere")
        await stage.told("'nowhere' is no address and no symbol of the kernel")
        await stage.press("3", "b")
        assert app.screen.query_one(Input).value.startswith("0x0010")

    play(scene)


def test_variables_open_and_close_and_stay_so() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        lines = shown(app, "variables").split("\n")
        assert lines[:2] == ["▾ Arguments", "    size = 24  (uint32_t)"]
        assert lines[-2:] == ["▸ Globals of its file", "▸ Globals"]
        pane = app.query_one("#variables", ViewPane)
        await stage.press("4", "end", "up", "enter")
        await stage.wait_for(lambda: "heap_lock" in shown(app, "variables"))
        lock = next(
            row for row, line in enumerate(shown(app, "variables").split("\n")) if "heap_lock" in line
        )
        while pane.cursor < lock:
            await stage.press("down")
        assert pane.address == app.timeline.machine.image.symbols["heap_lock"].address
        await stage.press("enter")
        await stage.wait_for(lambda: "locked = 0" in shown(app, "variables").split("\n")[lock + 1])
        assert pane.cursor == lock
        await stage.press("i")
        assert "locked = 0" in shown(app, "variables").split("\n")[lock + 1]
        while pane.cursor < lock:
            await stage.press("down")
        await stage.press("enter")
        await stage.wait_for(lambda: "heap_start" in shown(app, "variables").split("\n")[lock + 1])

    play(scene, start=9)


def test_a_level_of_the_stack_shows_its_variables_and_code() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        assert "size = " in shown(app, "variables")
        await stage.press("9", "down", "enter")
        await stage.wait_for(lambda: app.view is not None and app.view.level == 1)
        assert "victim = " in shown(app, "variables")
        here = next(line for line in shown(app, "code").split("\n") if line.startswith("▶"))
        assert here.endswith("call 0x102520 kmalloc")
        pane = app.query_one("#stack", ViewPane)
        assert (pane.cursor, pane.is_here(1), pane.is_here(0)) == (1, True, False)
        await stage.press("i")
        assert app.view is not None
        assert app.view.level == 0

    play(scene, start=9)


def test_a_task_shows_its_backtrace() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        assert shown(app, "tasks").split("\n")[:2] == [
            "address space: CR3 0x0011a000",
            "  kernel: idle  dispatch+0x5f dispatch.c:78",
        ]
        running = shown(app, "stack")
        row = next(row for row, line in enumerate(shown(app, "tasks").split("\n")) if "task 2" in line)
        await stage.press("t")
        pane = app.query_one("#tasks", ViewPane)
        pane.move_cursor(row)
        await stage.press("enter")
        await stage.wait_for(lambda: shown(app, "stack").startswith("task 2, which does not run"))
        assert "dispatch+0x5f dispatch.c:78" in shown(app, "stack")
        assert "to = 1  (ID)" in shown(app, "variables")
        level = next(row for row, line in enumerate(shown(app, "stack").split("\n")) if " ask+" in line)
        stack = app.query_one("#stack", ViewPane)
        await stage.press("9")
        stack.move_cursor(level)
        await stage.press("enter")
        await stage.wait_for(lambda: "request = " in shown(app, "variables"))
        assert "btron_pools_wait.c:129" in shown(app, "code")
        assert stack.is_here(level)
        await stage.press("t")
        pane.move_cursor(row)
        await stage.press("enter")
        await stage.wait_for(lambda: "to = 1" in shown(app, "variables"))
        assert next(line for line in shown(app, "code").split("\n") if line.startswith("▶")).startswith(
            "▶ 0x8010"
        )
        pane.move_cursor(next(row for row in range(pane.line_count()) if pane.is_here(row)))
        await stage.press("enter")
        await stage.wait_for(lambda: shown(app, "stack") == running)

    play(scene, "btron_pools_wait", start=100)


def test_bad_accesses_come_in_their_order_in_both_directions() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        found = []
        for key in "aaAa":
            await stage.press(key)
            await stage.press("escape")
            found.append((app.timeline.debugger.moment.instructions, app.why))
        first, second, *again = found
        assert first < second
        assert again == [first, second]

    play(scene, "use_after_free", sanitize=True)


@pytest.mark.parametrize(("key", "back"), [("n", "p"), ("right", "left")])
def test_next_and_previous_go_from_call_to_call(key: str, back: str) -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        assert event(app) == 0
        await stage.press(key)
        assert event(app) == 2
        await stage.press(key)
        assert event(app) == 4
        assert app.query_one(CallsPane).cursor == 1
        await stage.press(back)
        assert event(app) == 2
        await stage.press(back)
        assert event(app) == 0
        await stage.press(back)
        await stage.told("there is no call before this one")

    play(scene)


def test_after_the_last_call_there_is_only_the_end() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("n")
        await stage.told("this is the last call")
        await stage.press("r")
        assert app.view is not None
        assert app.view.at_end
        await stage.told("it did not fail: the kernel exited with value 0")
        await stage.press("p")
        assert (event(app), app.view.at_end) == (24, False)

    play(scene, start=24)


def test_keys_that_are_pressed_on_the_way_are_not_lost() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        for _ in range(5):
            app.action_step(1)
        await stage.settle()
        assert event(app) == 10
        for _ in range(9):
            app.action_step(-1)
        await stage.settle()
        assert event(app) == 2

    play(scene)


def test_an_entry_leads_to_its_return() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("e")
        assert event(app) == 9
        assert "only entered" in shown(app, "changes")
        await stage.press("n")
        assert event(app) == 10

    play(scene, start=10)


def test_the_next_call_of_a_block() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("N")
        assert app.view is not None
        assert app.view.call is not None
        assert (app.view.call.number, app.view.call.function) == (10, "kfree")
        await stage.press("N")
        await stage.press("N")
        await stage.told("no later call is about this block")

    play(scene, start=10)


def test_go_to_an_event() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.answer("g", "17")
        assert event(app) == 17
        await stage.answer("g", "99")
        assert event(app) == 17
        await stage.told("there is no event 99: the run has events 0 to 24")
        await stage.answer("g", "@3386")
        assert app.timeline.debugger.moment.instructions == 3386
        await stage.answer("g", "@99999")
        await stage.told("there is no instruction 99999: the run has 24954")
        await stage.answer("g", "x")
        await stage.told("'x' is no number of an event, and no @INSTRUCTIONS")
        assert app.timeline.debugger.moment.instructions == 3386
        await stage.press("g", "escape")
        assert not isinstance(app.screen, Prompt)

    play(scene)


def test_search_a_function_from_here_on() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.answer("slash", "free")
        assert app.view is not None
        assert app.view.call is not None
        assert app.view.call.number == 8
        await stage.answer("slash", "nothing")
        await stage.told("no call of a function with 'nothing' in its name")

    play(scene)


def test_the_first_call_that_touched_an_address() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.answer("f", "heap_free_list")
        assert event(app) == 4
        await stage.answer("f", "0x4ff000")
        assert event(app) == 4
        await stage.told("no call has touched 0x004ff000")

    play(scene, start=24)


def test_who_wrote_a_word_last() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.answer("w", "heap_free_list")
        assert isinstance(app.screen, MessageScreen)
        assert event(app) == 10
        await stage.press("escape")
        await stage.answer("w", "nonsense")
        await stage.told("'nonsense' is no address and no symbol of the kernel")
        await stage.answer("w", "0x4ff000")
        await stage.told("nobody has written there since the start")

    play(scene, start=10)


def test_the_address_under_the_cursor_is_proposed() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("2", "down")
        await stage.press("w")
        assert isinstance(app.screen, Prompt)
        assert app.screen.query_one("Input").value == "0x0010b000"  # type: ignore[attr-defined]
        await stage.press("escape", "1", "f")
        assert app.screen.query_one("Input").value == "0x0010b008"  # type: ignore[attr-defined]

    play(scene, start=10)


def test_enter_goes_to_the_call_under_the_cursor() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("home", "down", "enter")
        assert event(app) == 4
        await stage.press("end", "up", "enter")
        assert event(app) == 22
        await stage.press("pageup", "pagedown", "enter")
        assert event(app) == 24

    play(scene, start=10)


def test_a_click_goes_to_a_call() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.pilot.click("#calls", offset=(5, 3))
        await stage.settle()
        assert event(app) == 6
        await stage.pilot.click("#code", offset=(5, 3))
        await stage.settle()
        assert app.current == "code"

    play(scene, start=10)


@pytest.mark.parametrize("size", [WIDE, SMALL, TINY])
def test_tab_visits_all_panes(size: tuple[int, int]) -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        visited = []
        for _ in ORDER:
            await stage.press("tab")
            focused = app.focused
            assert focused is not None
            assert focused.display
            assert focused.size.height > 2
            visited.append(focused.id)
        assert visited == [
            *("changes", "code", "variables", "memory", "blocks", "bytes"),
            *("registers", "stack", "console", "tasks", "calls"),
        ]
        await stage.press("shift+tab")
        assert app.current == "tasks"
        await stage.press("3")
        assert app.current == "code"

    play(scene, size=size, start=10)


@pytest.mark.parametrize("size", [SMALL, TINY])
def test_small_terminals_show_the_calls_and_one_more_pane(size: tuple[int, int]) -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        visible = [pane.id for pane in app.query(Pane) if pane.size.height]
        assert visible == ["calls", "code"]
        assert app.query_one(CallsPane).size.height >= 4
        await stage.pilot.click(PaneBar, offset=(8, 0))
        await stage.settle()
        assert app.current == "changes"
        assert [pane.id for pane in app.query(Pane) if pane.size.height] == ["calls", "changes"]
        await stage.pilot.resize_terminal(*WIDE)
        await stage.settle()
        hidden = {pane.id for pane in app.query(Pane) if not pane.size.height}
        assert hidden == {"blocks", "tasks"}
        await stage.press("t")
        hidden = {pane.id for pane in app.query(Pane) if not pane.size.height}
        assert hidden == {"blocks", "memory"}

    play(scene, size=size, start=10)


def test_help_names_every_key() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("question_mark")
        assert isinstance(app.screen, MessageScreen)
        text = str(app.screen.query_one(Static).render())
        bindings = [
            each
            for app_class in (StepApp, MovesApp, PanesApp)
            for each in vars(app_class).get("BINDINGS", ())
        ]
        ours = [
            each
            for each in bindings
            if isinstance(each, Binding) and each.action.partition("(")[0] not in _UNNAMED
        ]
        assert len(ours) > 20
        for each in ours:
            key = each.key_display or each.key.partition(",")[0]
            assert re.search(rf"(^| ){re.escape(key)}( |$)", text, re.MULTILINE), each
        await stage.press("escape")
        assert not isinstance(app.screen, MessageScreen)

    play(scene, size=TINY)


_UNNAMED = ("pane", "show_pane", "help", "cancel", "help_quit")
"""Actions whose keys are named together, or as words."""


def test_q_leaves() -> None:
    async def scene(_app: StepApp, stage: Stage) -> None:
        await stage.pilot.press("q")

    assert play(scene).return_code == 0


def test_all_panes_show_the_event() -> None:
    async def scene(app: StepApp, _stage: Stage) -> None:
        assert "kmalloc(24) = 0x0010b008" in shown(app, "calls")
        assert "heap_free_list" in shown(app, "changes")
        assert "char *victim = kmalloc(40);" in shown(app, "code")
        assert "Memory 0x00100000-0x00500000" in shown(app, "memory")
        assert "eax  0x0010b008" in shown(app, "registers")
        assert "kmain+0x3f" in shown(app, "stack")
        assert "Three blocks" in shown(app, "console")
        pane = app.query_one("#code", ViewPane)
        assert pane.is_here(pane.cursor)

    play(scene, start=10)


def test_x_shows_bytes_at_an_address_until_the_block_is_wanted_again() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        assert "0x0010b000: 18 00 00 00" in shown(app, "bytes")
        await stage.pilot.press("x")
        await stage.pilot.pause()
        app.screen.query_one(Input).value = "heap_free_list"
        await stage.press("enter")
        assert app.current == "bytes"
        there = app.timeline.machine.image.symbols["heap_free_list"].address
        assert f"0x{there & ~15:08x}: " in shown(app, "bytes")
        await stage.press("n")
        assert f"0x{there & ~15:08x}: " in shown(app, "bytes")
        await stage.pilot.press("x")
        await stage.pilot.pause()
        app.screen.query_one(Input).value = "-"
        await stage.press("enter")
        assert "0x0010b030: " in shown(app, "bytes")

    play(scene, start=10)


def test_names_of_the_kernel_are_no_markup() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        app.show_message("[bold]x[/bold] [link=evil]")
        app.push_screen(Prompt("[red]question", "[/]"))
        await stage.pilot.pause()
        assert [each.markup for each in app._notifications] == [False]  # noqa: SLF001 - Textual has no way to ask
        app.push_screen(MessageScreen("[/] title [x]", "[red]text[/"))
        await stage.pilot.pause()
        assert "[red]text[/" in app.export_screenshot().replace("&#160;", " ")

    play(scene)


def test_without_unicode_borders_are_ascii() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        assert app.has_class("-ascii")
        assert app.query_one("#code", Pane).styles.border.top[0] == "ascii"
        assert all(shown(app, pane).isascii() for pane in ORDER)
        assert ">#5 " in shown(app, "calls")
        await stage.press("question_mark")
        assert app.screen.query_one("#message").styles.border.top[0] == "ascii"
        await stage.press("escape")
        await stage.answer("b", "kmalloc")
        await stage.press("B")
        assert app.screen.query_one("#stops").styles.border.top[0] == "ascii"

    play(scene, start=10, unicode=False)


def test_millions_of_calls_need_no_widget_each() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        pane = app.query_one(CallsPane)
        assert pane.line_count() > 100_000
        assert len(app.query("*")) < 50
        await stage.press("end", "enter")
        assert event(app) == app.timeline.event_count
        assert pane.scroll_offset.y > 100_000 - 60

    async def run() -> None:
        app = app_of("stress", command_line="calls=120000")
        async with app.run_test(size=SMALL) as pilot:
            stage = Stage(app, pilot)
            await stage.settle()
            await scene(app, stage)

    asyncio.run(run())


def test_escape_stops_a_recording_that_does_not_end() -> None:
    async def run() -> None:
        app = app_of("stress")
        async with app.run_test(size=SMALL) as pilot:
            await pilot.pause(0.5)
            assert app.is_busy
            assert "(Esc: open what there is so far)" in str(app.query_one("#headline").render())
            await pilot.press("escape")
            stage = Stage(app, pilot)
            await stage.settle()
            assert app.timeline.ending.problem == "it was stopped by hand"
            assert 0 < app.timeline.event_count < 5_000_184
            await stage.press("n")
            assert event(app) == 2

    asyncio.run(run())


def test_it_is_said_where_a_recording_ends_because_the_kernel_waits(tmp_path: Path) -> None:
    source = 'void kmain(void) { __asm__ volatile("movb $0xff, %al; outb %al, $0x21; sti; hlt"); for (;;); }'
    timeline = timeline_of(str(compile_kernel(tmp_path, source, entry=ENTRY)), record=False)

    async def run() -> None:
        app = StepApp(timeline, lambda: timeline.record(until_idle=True), Style())
        async with app.run_test(size=SMALL) as pilot:
            stage = Stage(app, pilot)
            await stage.settle()
            await stage.told("recorded until the kernel only waits; --timeout SECONDS records more")

    asyncio.run(run())


def test_escape_stops_a_question_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def search_for_ever(debugger: Debugger, locator: Locator, address: int) -> Writer | None:
        while True:
            last_writer(debugger, locator, address)

    monkeypatch.setattr(step_app, "last_writer", search_for_ever)

    async def run() -> None:
        app = app_of("stress", command_line="calls=20000", start=1 << 31)
        async with app.run_test(size=SMALL) as pilot:
            stage = Stage(app, pilot)
            await stage.settle()
            last = app.timeline.event_count
            here = app.timeline.debugger.moment
            assert event(app) == last
            await pilot.press("w", *"memmap", "enter")
            while not app.is_busy:
                await pilot.pause(0.01)
            await pilot.press("escape")
            await stage.settle()
            await stage.told("stopped")
            assert app.timeline.debugger.moment == here
            assert event(app) == last

    asyncio.run(run())


def test_a_line_that_goes_on_is_marked() -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        await stage.press("3")
        pane = app.query_one("#code", Pane)
        rows = [pane.render_line(y).text for y in range(pane.size.height)]
        lines = [pane.line_text(index).plain for index in range(pane.line_count())]
        top, width = int(pane.scroll_offset.y), pane.size.width
        goes_on = [len(line) > width for line in lines[top : top + len(rows)]]
        assert [row.endswith("…") for row in rows[: len(goes_on)]] == goes_on
        assert any(goes_on)

    play(scene, size=(40, 24), start=10)


def test_messages_do_not_cover_the_keys() -> None:
    async def run() -> None:
        app = app_of("overflow")
        async with app.run_test(size=SMALL, notifications=True) as pilot:
            await Stage(app, pilot).settle()
            await pilot.press("ctrl+c")
            await pilot.pause()
            assert notified(app) == "q quits"
            (toast,) = app.screen.query(Toast)
            assert toast.region.bottom <= app.query_one(PaneBar).region.y

    asyncio.run(run())


def test_q_ends_also_what_takes_long() -> None:
    async def run() -> None:
        app = app_of("stress")
        async with app.run_test(size=SMALL) as pilot:
            while not app.is_busy:
                await pilot.pause(0.01)
            await pilot.press("q")
        await app.finish()
        assert app.timeline.event_count < 5_000_184

    asyncio.run(run())


STRANGER = """
static volatile int seen;
__attribute__((noinline)) void count(int by) { seen += by; }
void kmain(void)
{
    count(3);
    count(4);
    __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ;
}
"""


@pytest.mark.parametrize("size", [WIDE, TINY])
def test_a_kernel_of_which_no_allocator_is_known_is_stepped_through(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        assert app.current == "code"
        for pane in ("calls", "blocks"):
            assert " ".join(shown(app, pane).split()).startswith(
                "no allocator is known: no built-in profile fits; kmemu init "
            )
        assert str(app.query_one("#headline", Static).render()) == "before the first instruction"
        for key in "npNe/f":
            await stage.press(key)
            await stage.told("there are no events: no profile says which functions allocate")
            assert not stage.asks()
            app.clear_notifications()
        await stage.answer("g", "1")
        await stage.told("there are no events: no profile says which functions allocate")
        await stage.answer("b", "count")
        await stage.press("c")
        assert re.match(r"stop 1; count\+0x\w+ kernel.c:3; \d+ instructions$", headline_of(app))
        here = headline_of(app)
        await stage.press("C")
        assert headline_of(app) == "before the first instruction"
        await stage.press("c")
        assert headline_of(app) == here
        await stage.press("i")
        await stage.press("I")
        assert headline_of(app) == here.removeprefix("stop 1; ")
        await stage.press("u")
        assert headline_of(app).startswith("kmain+")
        await stage.press("r")
        assert headline_of(app) == "the end of the run: the kernel exited with value 0"

    kernel = compile_kernel(tmp_path, STRANGER, ["-g", "-O1"], entry=ENTRY)
    play(scene, str(kernel), size)


def test_a_kernel_without_source_is_stepped_through_by_instructions(tmp_path: Path) -> None:
    async def scene(app: StepApp, stage: Stage) -> None:
        assert "Globals" not in shown(app, "variables")
        for key in "sSoO":
            await stage.press(key)
            await stage.told(
                "the kernel's file has no source lines: it can be stepped through by instructions"
            )
            app.clear_notifications()
        assert headline_of(app) == "before the first instruction"
        await stage.press("i")
        assert headline_of(app).endswith("; 1 instruction")

    play(scene, str(compile_kernel(tmp_path, STRANGER, entry=ENTRY)))


def headline_of(app: StepApp) -> str:
    return str(app.query_one("#headline", Static).render())
