"""The keys that ask something, and the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from emulator.debug.addresses import read_address
from emulator.debug.first_touch import go_to_first_touch
from emulator.debug.step.dialogs import MessageScreen, Prompt, StopsScreen
from emulator.debug.step.moves_app import MovesApp
from emulator.debug.step.panes import CallsPane, ViewPane
from emulator.debug.step.view_text import writer_lines
from emulator.debug.timeline import read_place
from emulator.debug.writer import last_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType

    from emulator.debug.writer import Writer

_HELP = """\
n p   next, previous call           s S   next, previous source line
N     next call of this block       o O   the same, over calls
enter the call under the cursor     i I   next, previous instruction
e     entry of this call            u U   out of the function, to its call
g     an event, or @instructions    c C   run on, back, to what stops
/     search a function             r     the end, where the failure is
f     first call that touched       a A   next, previous bad access

b     stop at a place               W     stop where bytes are written
B     list of stops                 x     show the bytes at an address
w     who wrote a word last

tab   next pane                     1-9 0 t   this pane
enter opens a variable, shows a level of the call stack, or a task
arrows  move in a pane              < >   scroll sideways
escape  stop what takes long        q     quit; ctrl+z for a while

An address is a number (0x0010a008), a symbol (heap_free_list, memmap+8), or
that of the line under the cursor, which is proposed. A place is a function, an
address or heap.c:168, and perhaps a condition in Python, with registers and
variables: kmalloc if size > 100."""


class StepApp(MovesApp):
    """The program: asks what keys want to know. See `MovesApp`."""

    TITLE = "kmemu step"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "first", "First", show=False),
        Binding("g", "go", "Go"),
        Binding("w", "writer", "Who"),
        Binding("b", "break", "Break"),
        Binding("W", "watch", show=False),
        Binding("B", "stops", show=False),
        Binding("x", "bytes", "Bytes"),
        Binding("slash", "search", "Find", key_display="/"),
    ]

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
        """Ask for an event, or a number of instructions."""

        def answer(text: str) -> None:
            place = read_place(text)
            self.travel(lambda: self.timeline.go_to_place(place))

        self._ask("Go to event, or @INSTRUCTIONS:", "", answer)

    def action_search(self) -> None:
        """Ask for a function, and go to its next call."""
        if self.lacks_calls():
            return

        def answer(text: str) -> None:
            found = self.timeline.search.next_of_function(text, self.number)
            if found is None:
                raise ValueError(f"no call of a function with {text!r} in its name")
            self.go_to_call(found)

        self._ask("Search a function:", "", answer)

    def action_first(self) -> None:
        """Ask for an address, and go to the first call that touched it."""
        if self.lacks_calls():
            return

        def answer(text: str) -> None:
            address = read_address(text, self.timeline.machine.image)
            self.travel(self.coming_back(lambda: go_to_first_touch(self.timeline, address)))

        self._ask("First call that touched the address:", self._proposed(), answer)

    def action_bytes(self) -> None:
        """Ask for an address, and show the bytes there from now on; without one, those of each call's block."""

        def answer(text: str) -> None:
            address = None if text == "-" else read_address(text, self.timeline.machine.image)
            self.wanted = self.wanted._replace(dump_at=address)
            self.show_pane("bytes")
            self.read_again()

        self._ask("Bytes at (-: at the call's block):", self._proposed(), answer)

    def action_writer(self) -> None:
        """Ask for an address, and show who wrote there last."""

        def answer(text: str) -> None:
            address = read_address(text, self.timeline.machine.image)
            question = self.coming_back(
                lambda: last_writer(self.timeline.debugger, self.reader.locator, address)
            )
            self.work("looking for the writer", question, self._show_writer)

        self._ask("Who wrote the word at:", self._proposed(), answer)

    def action_break(self) -> None:
        """Ask for a place, and stop there from now on."""

        def answer(text: str) -> None:
            self.stops.break_at(text)
            self._stops_changed(None)

        proposal = self._proposed() if self.current == "code" else ""
        self._ask("Stop at (FUNCTION, ADDRESS or FILE:LINE, if CONDITION):", proposal, answer)

    def action_watch(self) -> None:
        """Ask for bytes, and stop behind what writes them from now on."""

        def answer(text: str) -> None:
            self.stops.watch(text)
            self._stops_changed(None)

        self._ask("Stop at writes to (ADDRESS SIZE, if CONDITION):", self._proposed(), answer)

    def action_stops(self) -> None:
        """List what stops the run."""
        if self.view is None or self.is_busy:
            self.bell()
        elif self.stops.texts():
            self.push_screen(StopsScreen(self.stops), self._stops_changed)
        else:
            self.show_message("nothing stops the run: b, W")

    def _stops_changed(self, _: None) -> None:
        self.read_again(keeps="code")

    def _show_writer(self, writer: Writer | None) -> None:
        if writer is None:
            self.show_message("nobody has written there since the start")
            return
        plain = self._style._replace(colour=False)
        lines = writer_lines(writer, self.timeline.bad_accesses.of_write(writer), plain)
        self.push_screen(MessageScreen("Last writer", "\n".join(lines)))

    def _proposed(self) -> str:
        """The address under the cursor."""
        pane = self.query_one(f"#{self.current}")
        address = pane.address if isinstance(pane, ViewPane | CallsPane) else None
        return "" if address is None else f"0x{address:08x}"

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(MessageScreen("Keys", _HELP))
