"""The screen: its panes, their layout, and the thread that works for it."""

from __future__ import annotations

import signal
from asyncio import sleep
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import Footer, Static

from emulator.debug.step.pane import Pane
from emulator.debug.step.pane_bar import PaneBar
from emulator.debug.step.panes import CallsPane, ViewPane
from emulator.debug.step.view_text import PANES, headline
from emulator.errors import Cancelled, EmulatorError
from emulator.report.text.style import WIDTH_MAX, WIDTH_MIN, Style

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from emulator.debug.step.view import View
    from emulator.debug.timeline import Timeline

_Result = TypeVar("_Result")

_WIDE, _HIGH = 120, 30  # columns and rows from which on all panes have room
_COLUMNS = {
    "left": (("calls",), ("changes",), ("bytes", "blocks")),
    "middle": (("code",), ("variables",), ("console",)),
    "right": (("memory", "tasks"), ("registers",), ("stack",)),
}
"""Places for panes; of several in one place one is seen at a time."""
ORDER = ("calls", *PANES)
"""Keys of all panes, as the Tab key visits them."""
KEYS = "1234567890t"
"""What to press for each."""
_PULSE_S = 0.2
_PATIENCE_S = 0.3  # what takes less needs no word


class PanesApp(App[None]):
    """Shows views of a timeline; `MovesApp` moves it.

    Args:
        timeline: The run; only one thread at a time may touch it, this one or that of a job.
        style: What the terminal can show.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("tab", "pane(1)", "Pane", priority=True),
        Binding("shift+tab", "pane(-1)", show=False, priority=True),
        Binding("escape", "cancel", show=False),
        Binding("ctrl+z", "suspend_process", show=False),
        *(Binding(key, f"show_pane('{pane}')", show=False) for key, pane in zip(KEYS, ORDER, strict=True)),
    ]
    CSS_PATH: ClassVar = "step.tcss"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, timeline: Timeline, style: Style) -> None:
        # Textual makes colours grey for NO_COLOR; only the terminal's own can be left out altogether.
        super().__init__(ansi_color=None if style.colour else True)
        self.timeline = timeline
        self.current = "code"  # the pane below the calls, where there is room for two only
        self.view: View | None = None
        self.why = ""  # the machine has stopped here
        self._in_front: set[str] = set()
        self._style = style
        self._job = ""  # name of the job that runs
        self._job_began = 0.0
        self._escape = ""  # what the key does meanwhile
        self._cancelling = False
        self._leaving = False
        self._at_work = False  # the other thread is

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        yield Static(id="headline")
        with Container(id="body"):
            for column, panes in _COLUMNS.items():
                with Container(id=column, classes="column"):
                    for pane in chain(*panes):
                        yield (
                            CallsPane() if pane == "calls" else ViewPane(pane, follows_end=pane == "console")
                        )
        yield PaneBar(ORDER, KEYS)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Lay the panes out."""
        self.set_class(not self._style.unicode, "-ascii")
        self.set_class(bool(self.timeline.unknown), "-unknown")
        self.show_pane("code" if self.timeline.unknown else "calls")
        self.set_interval(_PULSE_S, self._pulse)
        self._expect_sigstop()

    def _expect_sigstop(self) -> None:
        """Leave the screen before it is entered again, where SIGSTOP has stopped the program in it.

        Textual does so at SIGTSTP only. Else two threads would read what is typed, and at the end one of them would not end.
        """
        resume, driver = signal.getsignal(signal.SIGCONT), self._driver
        if driver is None or not callable(resume):
            return

        def go_on(number: int, frame: FrameType | None) -> None:
            writer = getattr(driver, "_writer_thread", None)
            if writer is not None and writer.is_alive():
                driver.suspend_application_mode()
            resume(number, frame)

        signal.signal(signal.SIGCONT, go_on)

    def on_resize(self, event: events.Resize) -> None:
        """Lay the panes out anew."""
        self.arrange(event.size.width, event.size.height)
        self.call_after_refresh(self._draw)

    # -- panes -------------------------------------------------------------------------------------

    def arrange(self, width: int | None = None, height: int | None = None) -> None:
        """Show all panes, or where there is no room for that, the calls and the current one."""
        wide = (width or self.size.width) >= _WIDE and (height or self.size.height) >= _HIGH
        self.screen.set_class(wide, "-wide").set_class(not wide, "-stacked")
        for column, places in _COLUMNS.items():
            panes = list(chain(*places))
            front = {next((pane for pane in place if pane in self._in_front), place[0]) for place in places}
            shown = [pane for pane in panes if (pane in front if wide else pane in ("calls", self._below))]
            for pane in panes:
                self.query_one(f"#{pane}").display = pane in shown
            self.query_one(f"#{column}").display = bool(shown)
        self.query_one(PaneBar).mark(self.current)

    @property
    def _below(self) -> str:
        return self.current if self.current != "calls" else self._last_below

    _last_below = "code"

    def show_pane(self, pane: str) -> None:
        """Show a pane and give it the keys."""
        self.current = pane
        beside = next(place for place in chain(*_COLUMNS.values()) if pane in place)
        self._in_front = self._in_front - set(beside) | {pane}
        if pane != "calls":
            self._last_below = pane
        self.arrange()
        self.query_one(f"#{pane}").focus()
        self.call_after_refresh(self._draw)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Remember the pane that has the keys, a click's as well."""
        if isinstance(event.widget, Pane) and event.widget.id:
            self.current = event.widget.id
            self.query_one(PaneBar).mark(self.current)

    def show_view(self, view: View, keeps: str = "") -> None:
        """Show where the machine stands now; in one pane the cursor may keep its place."""
        self.view = view
        self._draw(keeps)

    def _draw(self, keeps: str = "") -> None:
        if self.view is None:
            return
        calls = self.query_one(CallsPane)
        calls.show(self.timeline, self._style_for(calls))
        calls.mark(self.view.call.number if self.view.call else None)
        for pane in self.query(ViewPane):
            pane.show(self.view, self._style_for(pane), keeps=pane.id == keeps)
        self._show_headline()

    def _show_headline(self) -> None:
        if self.view is not None:
            why = f"{self.why}; " if self.why else ""
            self._set_headline(why + headline(self.view))

    def _style_for(self, pane: Pane) -> Style:
        """What a pane can show; one column is the cursor's."""
        columns = max(pane.scrollable_content_region.width - 1, WIDTH_MIN)
        return self._style._replace(width=min(columns, WIDTH_MAX), room=columns)

    def _set_headline(self, text: str) -> None:
        self.query_one("#headline", Static).update(Text(text, no_wrap=True, overflow="ellipsis"))

    def action_pane(self, step: int) -> None:
        """Give the next pane the keys, or the previous one."""
        if len(self.screen_stack) == 1:
            self.show_pane(ORDER[(ORDER.index(self.current) + step) % len(ORDER)])

    def action_show_pane(self, pane: str) -> None:
        """Give a pane the keys."""
        self.show_pane(pane)

    def on_pane_bar_picked(self, message: PaneBar.Picked) -> None:
        """Show the pane that was clicked."""
        self.show_pane(message.pane)

    async def action_quit(self) -> None:
        """Close the program."""
        self.leave()

    def action_help_quit(self) -> None:
        """Say which key closes the program; Ctrl-C asks for that."""
        self.show_message("q quits")

    def action_cancel(self) -> None:
        """Stop what takes long."""
        self.cancel()

    # -- work in another thread ----------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a job has the timeline."""
        return bool(self._job)

    def work(
        self,
        what: str,
        job: Callable[[], _Result],
        done: Callable[[_Result], None],
        escape: str = "Esc stops",
    ) -> None:
        """Do a job in another thread; only one at a time.

        Args:
            what: Name of the job, for people.
            job: May raise `EmulatorError` and `ValueError`, which are shown.
            done: A function that takes the result, called in this thread.
            escape: What the key does meanwhile, for people.
        """
        if self._job:
            self.bell()
            return
        self._job, self._job_began, self._cancelling = what, monotonic(), False
        self._escape = escape
        self.timeline.machine.forget_stop()

        def run() -> None:
            self._at_work = True
            then = self.stopped if self._leaving else self._outcome(job, done)
            self._at_work = False
            if not self._leaving:
                self.call_later(self._end_job, then)  # does not wait for an app that is closing

        self.run_worker(run, thread=True, exit_on_error=True)

    def _outcome(self, job: Callable[[], _Result], done: Callable[[_Result], None]) -> Callable[[], None]:
        """Do a job, and return what is to be called after it."""
        try:
            result = job()
        except (Cancelled, KeyboardInterrupt):  # a signal stops the machine, and ends the program
            return self.stopped
        except (EmulatorError, ValueError) as error:
            text = str(error)
            return lambda: self.show_message(text)
        return lambda: done(result)

    def leave(self) -> None:
        """Close the program, whatever it does."""
        self._leaving = True
        self.cancel()
        self.exit()

    async def finish(self) -> None:
        """Stop the job that the closed program has left running, and wait for it."""
        while self._at_work:
            self.timeline.debugger.cancel()
            await sleep(_PULSE_S)

    def _end_job(self, then: Callable[[], None]) -> None:
        self._job = ""
        self._show_headline()
        then()

    def stopped(self) -> None:
        """A job was cancelled."""

    def show_message(self, text: str) -> None:
        """Show a short message."""
        self.notify(text, markup=False, timeout=6)

    def cancel(self) -> None:
        """Stop the job."""
        if self._job:
            self._cancelling = True
            self.timeline.debugger.cancel()

    def coming_back(self, question: Callable[[], _Result]) -> Callable[[], _Result]:
        """Return a job that asks a question; if it is cancelled, the timeline goes back to where it was.

        That can be cancelled, too: then the timeline stays where it is.
        """
        timeline = self.timeline
        where = timeline.debugger.moment

        def job() -> _Result:
            try:
                return question()
            except Cancelled:
                self._cancelling = False
                timeline.machine.forget_stop()
                timeline.debugger.go_to(where)
                raise

        return job

    def _pulse(self) -> None:
        if not self._job or monotonic() - self._job_began < _PATIENCE_S:
            return
        if self._cancelling:  # a request that falls between two runs of the machine is lost
            self.timeline.debugger.cancel()
        seconds = int(monotonic() - self._job_began)
        event = "" if self.timeline.unknown else f"event {self.timeline.debugger.event}, "
        self._set_headline(f"{self._job}: {event}{seconds} s ({self._escape})")
