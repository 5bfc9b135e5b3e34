"""The keys: which go where, and which ask what."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from emulator.debug.addresses import read_address
from emulator.debug.bad_accesses import BadAccessesOfRun
from emulator.debug.step.dialogs import MessageScreen, Prompt
from emulator.debug.step.panes import CallsPane, ViewPane
from emulator.debug.step.panes_app import ORDER, PanesApp
from emulator.debug.step.view import read_view
from emulator.debug.step.view_text import ended_text, writer_lines
from emulator.debug.writer import last_writer
from emulator.guest.locator import Locator
from emulator.replay.last_write import go_to_first_touch
from emulator.report.text.findings import finding_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType

    from emulator.debug.step.pane import Pane
    from emulator.debug.step.pane_bar import PaneBar
    from emulator.debug.step.view import View
    from emulator.debug.writer import Writer
    from emulator.guest.memory_map.regions import Span
    from emulator.replay.timeline import Timeline
    from emulator.report.text.style import Style

_HELP = """\
n right   next call, to its return     enter  go to the call under the cursor
p left    previous call                e      to the entry of this call
N         next call of this block      f      first call that touched an address
g         go to an event               w      who wrote a word last
r         run to the failure           /      search a function
b         next bad access (--sanitize) x      show the bytes at an address

tab       next pane                    1-9    this pane
arrows    move in a pane               < >    scroll sideways
escape    stop what takes long         q      quit

An address is a number (0x0010a008), a symbol (heap_free_list, memmap+8), or
that of the line under the cursor, which is proposed."""


class StepApp(PanesApp):
    """Moves a timeline as keys ask for it.

    Args:
        timeline: Not recorded yet.
        record: A function that records its run.
        start: Returns, after the recording, the event at which the program opens.
        bad_accesses: Returns, after the recording, those of the run.
        style: What the terminal can show.
        modules: Where boot modules lie.
    """

    TITLE = "kmemu step"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("n,right", "step(1)", "Next", key_display="n"),
        Binding("p,left", "step(-1)", "Prev", key_display="p"),
        Binding("N", "next_of_block", "Block", key_display="N"),
        Binding("e", "entry", "Entry", show=False),
        Binding("f", "first", "First"),
        Binding("g", "go", "Go"),
        Binding("w", "writer", "Who"),
        Binding("r", "failure", "Fail"),
        Binding("x", "bytes", "Bytes"),
        Binding("b", "bad_access", "Bad", show=False),
        Binding("slash", "search", "Find", key_display="/"),
        Binding("tab", "pane(1)", "Pane", priority=True),
        Binding("shift+tab", "pane(-1)", show=False, priority=True),
        Binding("escape", "cancel", show=False),
        *(Binding(str(number), f"show_pane('{pane}')", show=False) for number, pane in enumerate(ORDER, 1)),
    ]

    def __init__(
        self,
        timeline: Timeline,
        record: Callable[[], None],
        *,
        start: Callable[[], int],
        bad_accesses: Callable[[], BadAccessesOfRun] = BadAccessesOfRun,
        style: Style,
        modules: tuple[Span, ...] = (),
    ) -> None:
        super().__init__(timeline, style)
        self._record = record
        self._start = start
        self._bad_accesses = bad_accesses
        self._modules = modules
        self._locator = Locator(timeline.machine)
        self._dump_at: int | None = None  # None: at the call's block
        self._steps_waiting = 0  # pressed while the machine was on its way

    def on_mount(self) -> None:
        """Begin with the recording."""
        super().on_mount()

        def begin() -> View:
            self._record()
            self.timeline.go_to(min(self._start(), self.timeline.event_count))
            return self._read()

        self.work("recording the run", begin, self.show_view)

    def _read(self) -> View:
        return read_view(self.timeline, self._locator, self._modules, self._bad_accesses(), self._dump_at)

    def _travel(self, move: Callable[[], object]) -> None:
        """Move the timeline, then show where it is."""

        def job() -> View:
            move()
            return self._read()

        self.work("on the way", job, self._arrive)

    def _arrive(self, view: View) -> None:
        """Show where the timeline is now, and take the steps that were asked for meanwhile."""
        self.show_view(view)
        steps, self._steps_waiting = self._steps_waiting, 0
        if steps:
            self.action_step(steps)

    def stopped(self) -> None:
        """Show where the timeline is after a journey that was cancelled."""
        self._steps_waiting = 0
        self.show_message("stopped")
        self.work("reading", self._read, self.show_view)

    # -- from call to call ---------------------------------------------------------------------------

    @property
    def _number(self) -> int:
        """The call where the machine stands; 0 before the first one."""
        return self.view.call.number if self.view is not None and self.view.call is not None else 0

    def _go_to_call(self, number: int) -> None:
        if self.view is None:
            return
        count = len(self.timeline.calls)
        if not 1 <= number <= count:
            self.show_message(
                "there is no call before this one" if number < 1 else "this is the last call (r: to the end)"
            )
            return
        call = self.timeline.calls.call(number)
        self._travel(lambda: self.timeline.go_to(call.left or call.entered))

    def action_step(self, calls: int) -> None:
        """Go so many calls on, or back if *calls* is negative."""
        if self.view is None:
            self.bell()
        elif self.is_busy:
            self._steps_waiting += calls
        elif abs(calls) > 1:
            self._go_to_call(min(max(self._number + calls, 1), len(self.timeline.calls)))
        elif self.view.at_end and calls < 0:
            self._go_to_call(len(self.timeline.calls))
        elif self._number + calls == 0 and self._number:
            self._travel(lambda: self.timeline.go_to(0))
        elif calls > 0 and self.view.call is not None and self.view.call.entered == self.view.event:
            self._go_to_call(self._number)  # from a call's entry to its return
        else:
            self._go_to_call(self._number + calls)

    def action_entry(self) -> None:
        """Go to the entry of the call where the machine stands."""
        if self.view is not None and self.view.call is not None:
            entered = self.view.call.entered
            self._travel(lambda: self.timeline.go_to(entered))

    def action_next_of_block(self) -> None:
        """Go to the next call about the same block."""
        number = self._number
        found = self.timeline.search.next_of_block(number) if number else None
        if found is None:
            self.show_message("no later call is about this block")
        else:
            self._go_to_call(found)

    def on_pane_chosen(self, message: Pane.Chosen) -> None:
        """Go to the call that was picked."""
        if isinstance(message.view, CallsPane):
            self._go_to_call(message.index + 1)

    def action_failure(self) -> None:
        """Run to the end, where the failure is, if there is one."""
        if self.view is not None:
            self._travel(self.timeline.run_to_end)
            if not self.timeline.ending.failed:
                self.show_message(f"it did not fail: {ended_text(self.timeline.ending)}")

    def action_bad_access(self) -> None:
        """Show the bad accesses that come next; if they do not follow at once, go to the event before them first."""
        if self.view is None or self.is_busy:
            self.bell()
            return
        found, here = self._bad_accesses(), self.view.event + self.view.at_end
        event = found.next_event(here)
        if event is None:
            none = (
                "no bad access comes after this"
                if found.is_checked
                else "accesses were not checked: --sanitize"
            )
            self.show_message(none)
        elif self.view.bad_accesses:
            self._show_bad_accesses(self.view)
        else:
            self.work("on the way", lambda: self._read_at(event), self._arrive_before_bad_access)

    def _read_at(self, event: int) -> View:
        self.timeline.go_to(event)
        return self._read()

    def _arrive_before_bad_access(self, view: View) -> None:
        self._arrive(view)
        self._show_bad_accesses(view)

    def _show_bad_accesses(self, view: View) -> None:
        lines = "\n\n".join("\n".join(finding_lines([each], self._plain)) for each in view.bad_accesses)
        self.push_screen(MessageScreen("Next", lines))

    @property
    def _plain(self) -> Style:
        return self._style._replace(colour=False)

    # -- questions -----------------------------------------------------------------------------------

    def _ask(self, question: str, proposal: str, answer: Callable[[str], None]) -> None:
        def answered(text: str | None) -> None:
            if text:
                try:
                    answer(text)
                except ValueError as error:
                    self.show_message(str(error))

        if self.view is None or self.is_busy:
            self.bell()
        else:
            self.push_screen(Prompt(question, proposal), answered)

    def action_go(self) -> None:
        """Ask for an event."""

        def answer(text: str) -> None:
            event = int(text) if text.isdecimal() else -1
            if not 0 <= event <= self.timeline.event_count:
                raise ValueError(f"{text!r} is no event: there are 0 to {self.timeline.event_count}")
            self._travel(lambda: self.timeline.go_to(event))

        self._ask("Go to event:", "", answer)

    def action_search(self) -> None:
        """Ask for a function, and go to its next call."""

        def answer(text: str) -> None:
            found = self.timeline.search.next_of_function(text, self._number)
            if found is None:
                raise ValueError(f"no call of a function with {text!r} in its name")
            self._go_to_call(found)

        self._ask("Search a function:", "", answer)

    def action_first(self) -> None:
        """Ask for an address, and go to the first call that touched it."""

        def answer(text: str) -> None:
            address = read_address(text, self.timeline.machine.image)
            self._travel(self.coming_back(lambda: go_to_first_touch(self.timeline, address)))

        self._ask("First call that touched the address:", self._proposed(), answer)

    def action_bytes(self) -> None:
        """Ask for an address, and show the bytes there from now on; without one, those of each call's block."""

        def answer(text: str) -> None:
            self._dump_at = None if text == "-" else read_address(text, self.timeline.machine.image)
            self.show_pane("bytes")
            self.work("reading", self._read, self.show_view)

        self._ask("Bytes at (-: at the call's block):", self._proposed(), answer)

    def action_writer(self) -> None:
        """Ask for an address, and show who wrote there last."""

        def answer(text: str) -> None:
            address = read_address(text, self.timeline.machine.image)
            question = self.coming_back(lambda: last_writer(self.timeline, self._locator, address))
            self.work("looking for the writer", question, self._show_writer)

        self._ask("Who wrote the word at:", self._proposed(), answer)

    def _show_writer(self, writer: Writer | None) -> None:
        if writer is None:
            self.show_message("nobody has written there since the start")
            return
        lines = writer_lines(writer, self._bad_accesses().of_write(writer), self._plain)
        self.push_screen(MessageScreen("Last writer", "\n".join(lines)))

    def _proposed(self) -> str:
        """The address under the cursor."""
        pane = self.query_one(f"#{self.current}")
        address = pane.address if isinstance(pane, ViewPane | CallsPane) else None
        return "" if address is None else f"0x{address:08x}"

    # -- the rest ------------------------------------------------------------------------------------

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

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(MessageScreen("Keys", _HELP))

    async def action_quit(self) -> None:
        """Close the program."""
        self.leave()

    def action_help_quit(self) -> None:
        """Say which key closes the program; Ctrl-C asks for that."""
        self.show_message("q quits")

    def action_cancel(self) -> None:
        """Stop what takes long."""
        self.cancel()
