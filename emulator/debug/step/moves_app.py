"""The keys that move the machine: from call to call, line to line, instruction to instruction, stop to stop, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding

from emulator.debug.step.dialogs import MessageScreen
from emulator.debug.step.panes import CallsPane, ViewPane
from emulator.debug.step.panes_app import PanesApp
from emulator.debug.step.stops import Stops
from emulator.debug.step.variable_lines import ARGUMENTS, LOCALS
from emulator.debug.step.view import ViewReader, Wanted
from emulator.debug.step.view_text import ended_text, stop_text
from emulator.debug.stop import StopKind
from emulator.debug.timeline import NO_EVENTS, arrived
from emulator.report.text.findings import finding_lines
from emulator.run.ending import How
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType

    from emulator.check.findings import Finding
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.step.pane import Pane
    from emulator.debug.step.view import View
    from emulator.debug.stop import Stop
    from emulator.debug.timeline import Timeline
    from emulator.report.text.style import Style

_STEPS: Final[dict[str, tuple[Callable[[Debugger], Stop], Callable[[Debugger], Stop]]]] = {
    "line": (lambda d: d.step_line(), lambda d: d.step_line_back()),
    "over": (lambda d: d.next_line(), lambda d: d.next_line_back()),
    "instruction": (lambda d: d.step(), lambda d: d.step_back()),
}
"""What a step is -> one forwards, one back."""


class MovesApp(PanesApp):
    """Moves a timeline as keys ask for it.

    Args:
        timeline: Not recorded yet.
        begin: A function that records its run, and goes to where the program opens.
        style: What the terminal can show.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,right", "step(1)", "Next", key_display="n"),
        Binding("p,left", "step(-1)", "Prev", key_display="p"),
        Binding("N", "next_of_block", "Block", show=False),
        Binding("e", "entry", "Entry", show=False),
        Binding("r", "failure", "Fail", show=False),
        Binding("s", "move('line', 1)", "Line", key_display="s"),
        Binding("S", "move('line', -1)", show=False),
        Binding("o", "move('over', 1)", "Over", key_display="o"),
        Binding("O", "move('over', -1)", show=False),
        Binding("i", "move('instruction', 1)", "Instr", key_display="i"),
        Binding("I", "move('instruction', -1)", show=False),
        Binding("u", "out", show=False),
        Binding("U", "out_back", show=False),
        Binding("c", "run", "Run", key_display="c"),
        Binding("C", "run_back", show=False),
        Binding("a", "bad_access", show=False),
        Binding("A", "bad_access_back", show=False),
    ]

    def __init__(self, timeline: Timeline, begin: Callable[[], None], style: Style) -> None:
        super().__init__(timeline, style)
        self._begin = begin
        self.reader = ViewReader(timeline)
        self.stops = Stops(timeline.debugger, self.reader.globals_)
        self._opened: set[tuple[str, ...]] = {(ARGUMENTS,), (LOCALS,)}
        has_variables = timeline.machine.image.has_section(".debug_info")
        self.wanted = Wanted(opens=lambda path, _value: path in self._opened, all_globals=has_variables)
        self._waiting: dict[
            str, int
        ] = {}  # steps, by what they are: asked for while the machine was on its way

    def on_mount(self) -> None:
        """Begin with the recording."""
        super().on_mount()

        def begin() -> View:
            self._begin()
            return self.read()

        self.work("recording the run", begin, self._open, "Esc: open what there is so far")

    def _open(self, view: View) -> None:
        """Show where the program opens, and say it where the kernel might have gone on."""
        self.show_view(view)
        if self.timeline.ending.how is How.IDLE:
            self.show_message("recorded until the kernel only waits; --timeout SECONDS records more")

    def read(self) -> View:
        """Read what is seen now."""
        return self.reader.read(self.wanted)

    def read_again(self, *, keeps: str = "") -> None:
        """Show the same moment as it is wanted now.

        Args:
            keeps: A pane in which the cursor stays where it is.
        """
        view = self.view
        if view is None or self.is_busy:
            self.bell()
            return
        self.work(
            "reading", lambda: self.reader.again(view, self.wanted), lambda now: self.show_view(now, keeps)
        )

    def travel(self, move: Callable[[], Stop | None]) -> None:
        """Move the timeline, then show where it is.

        Args:
            move: Does it; what it returns is the stop, None: nothing else can have stopped it.
        """
        debugger = self.timeline.debugger

        def job() -> View:
            self.wanted = self.wanted._replace(level=0, thread=None)
            stop = move()
            self.why = ""
            if stop is not None:
                problem = self.stops.problem(arrived(stop))
                self.why = f"{stop_text(debugger, stop)}{': ' if problem else ''}{printable(problem)}"
            return self.read()

        self.work("on the way", job, self.arrive)

    def arrive(self, view: View) -> None:
        """Show where the timeline is now, and take the steps that were asked for meanwhile."""
        self.show_view(view)
        waiting, self._waiting = self._waiting, {}
        for what, count in waiting.items():
            if count:
                self._take(what, count)

    def stopped(self) -> None:
        """Show where the timeline is after a journey that was cancelled."""
        self._waiting = {}
        self.why = ""
        self.show_message("stopped")
        self.work("reading", self.read, self.show_view)

    def _take(self, what: str, count: int) -> None:
        """Take steps, or let them wait for the one on the way."""
        if self.view is None:
            self.bell()
        elif self.is_busy:
            self._waiting[what] = self._waiting.get(what, 0) + count
        elif what == "call":
            self._step_calls(count)
        else:
            debugger, step = self.timeline.debugger, _STEPS[what][count < 0]

            def move() -> Stop:
                stop = step(debugger)
                for _ in range(abs(count) - 1):
                    if stop.kind is not StopKind.STEP:
                        break
                    stop = step(debugger)
                return stop

            self.travel(move if count < 0 else lambda: self.timeline.step(move))

    # -- from call to call ---------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """The newest call; 0 before the first one."""
        return self.view.call.number if self.view is not None and self.view.call is not None else 0

    def go_to_call(self, number: int) -> None:
        """Go to where a call has returned."""
        if self.view is None or self.lacks_calls():
            return
        count = len(self.timeline.calls)
        if not 1 <= number <= count:
            self.show_message(
                "there is no call before this one" if number < 1 else "this is the last call (r: to the end)"
            )
            return
        call = self.timeline.calls.call(number)
        self.travel(lambda: self.timeline.go_to(call.left or call.entered))

    def lacks_calls(self) -> bool:
        """Return whether no calls are known, and say so then."""
        if self.timeline.unknown:
            self.show_message(NO_EVENTS)
        return bool(self.timeline.unknown)

    def action_step(self, calls: int) -> None:
        """Go so many calls on, or back if *calls* is negative."""
        if not self.lacks_calls():
            self._take("call", calls)

    def _step_calls(self, calls: int) -> None:
        view = self.view
        assert view is not None  # noqa: S101 - something is shown when steps are taken
        if abs(calls) > 1:
            self.go_to_call(min(max(self.number + calls, 1), len(self.timeline.calls)))
        elif calls < 0 and self.number and not view.at_event:
            self.travel(lambda: self.timeline.go_to(view.event))  # which is behind already
        elif self.number + calls == 0 and self.number:
            self.travel(lambda: self.timeline.go_to(0))
        elif calls > 0 and view.call is not None and view.call.entered == view.event:
            self.go_to_call(self.number)  # from a call's entry to its return
        else:
            self.go_to_call(self.number + calls)

    def action_entry(self) -> None:
        """Go to the entry of the call where the machine stands."""
        if not self.lacks_calls() and self.view is not None and self.view.call is not None:
            entered = self.view.call.entered
            self.travel(lambda: self.timeline.go_to(entered))

    def action_next_of_block(self) -> None:
        """Go to the next call about the same block."""
        if self.lacks_calls():
            return
        found = self.timeline.search.next_of_block(self.number) if self.number else None
        if found is None:
            self.show_message("no later call is about this block")
        else:
            self.go_to_call(found)

    def on_pane_chosen(self, message: Pane.Chosen) -> None:
        """Go to the call that was picked, open the variable, or show the level or the task."""
        if isinstance(message.view, CallsPane):
            self.go_to_call(message.index + 1)
        elif isinstance(message.view, ViewPane) and message.view.item is not None:
            self._choose(message.view.id or "", message.view.item)

    def _choose(self, pane: str, item: tuple[str, ...] | int) -> None:
        if isinstance(item, tuple):
            self._opened ^= {item}
        elif pane == "tasks":
            self.wanted = self.wanted._replace(level=0, thread=item)
        else:
            self.wanted = self.wanted._replace(level=item)
        self.read_again(keeps=pane)

    def action_failure(self) -> None:
        """Run to the end, where the failure is, if there is one."""
        if self.view is not None:
            self.travel(self.timeline.go_to_end)
            if not self.timeline.ending.failed:
                self.show_message(f"it did not fail: {ended_text(self.timeline.ending)}")

    # -- by lines and instructions -------------------------------------------------------------------

    def action_move(self, what: str, count: int) -> None:
        """Take steps, back if *count* is negative."""
        self._take(what, count)

    def action_out(self) -> None:
        """Go to where the function has returned to."""
        self._go(self.timeline.debugger.finish)

    def action_out_back(self) -> None:
        """Go back to the call of the function."""
        self._go(self.timeline.debugger.finish_back)

    # -- from stop to stop ---------------------------------------------------------------------------

    def action_run(self) -> None:
        """Go on to what stops the machine."""
        self._go(self.timeline.debugger.run)

    def action_run_back(self) -> None:
        """Go back to what stops the machine."""
        self._go(self.timeline.debugger.back)

    def _go(self, move: Callable[[], Stop]) -> None:
        if self.view is None or self.is_busy:
            self.bell()
        else:
            self.travel(move)

    def action_bad_access(self) -> None:
        """Go on to the next bad access, and show it."""
        self._go_to_bad_access(self.timeline.debugger.run, "no bad access comes after this")

    def action_bad_access_back(self) -> None:
        """Go back to the bad access before this, and show it."""
        self._go_to_bad_access(self.timeline.debugger.back, "there is no bad access before this")

    def _go_to_bad_access(self, move: Callable[[], Stop], none: str) -> None:
        debugger, found = self.timeline.debugger, self.timeline.bad_accesses
        if not found.findings:
            self.show_message(none if found.is_checked else "accesses were not checked: --sanitize")
            return

        def go() -> Stop:
            here = debugger.moment
            with debugger.only(findings=True):
                stop = arrived(move())
            if stop.finding is None:
                debugger.go_to(here)
                raise ValueError(none)
            self.call_later(self.show_finding, stop.finding)
            return stop

        self._go(self.coming_back(go))

    def show_finding(self, finding: Finding) -> None:
        """Show a bad access as a whole."""
        lines = finding_lines([finding], self._style._replace(colour=False))
        self.push_screen(MessageScreen("Next", "\n".join(lines)))
