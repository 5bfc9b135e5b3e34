"""An interactive run of a machine: what is typed goes in, what the guest says is shown at once, and time is that of the wall.

Theory. The session is a timer of the machine that raises no line. At each of its ticks, 10 ms apart, it waits until as much time has
passed on the wall as in the machine, and looks meanwhile whether something was typed. So the machine, at 100 million instructions a
second, is never faster than its clocks say, and a guest that waits takes no time of the host's. Where the host is slower, the
machine does not run to catch up.
"""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, cast

from emulator.cli.terminal.output import complain
from emulator.run.ending import Left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.cli.interactive.raw_terminal import RawTerminal
    from emulator.cli.interactive.screen_view import ScreenView
    from emulator.cli.terminal.output import Output
    from emulator.devices.keyboard.controller import KeyboardController
    from emulator.devices.uart import Uart
    from emulator.machine.machine import Machine

    _Destination = tuple[Callable[[bytes], None], Callable[[], int]]

TICK_NS: Final = 10_000_000
_LAG_NS: Final = 100_000_000  # what the host is late by is forgotten
_READ_SIZE: Final = 1024
_ESCAPE: Final = 0x01  # Ctrl-A
_COM1_LINE, _KEYBOARD_LINE = 4, 1
_COMMANDS: Final = "Ctrl-A x leaves, Ctrl-A z suspends"
_HELP: Final = f"{_COMMANDS}, Ctrl-A a types Ctrl-A"


class Session:
    """Takes part in the runs of a machine as long as there is input.

    Args:
        machine: The machine.
        output: Where it shows what the guest says.
        descriptor: Where input comes from; None: nowhere.
        deliver: Takes what was typed.
        waits: Says how much of that the guest has not taken.
    """

    def __init__(
        self,
        machine: Machine,
        output: Output,
        descriptor: int | None,
        deliver: Callable[[bytes], None],
        waits: Callable[[], int],
    ) -> None:
        self._machine = machine
        self._output = output
        self._descriptor = descriptor
        self._deliver = deliver
        self._waits = waits
        self._escaped = False
        self._next_ns = 0
        # The machine's time when the wall's clock was 0.
        self._start_ns = machine.interrupts.now_ns() - time.monotonic_ns()
        self.terminal: RawTerminal | None = None
        self.view: ScreenView | None = None

    def listens(self) -> bool:
        """Whether there may be more input."""
        return self._descriptor is not None

    def next_tick_ns(self) -> int | None:
        """Return when to look at the input next; None: it is at its end, and nobody looks at the screen."""
        return self._next_ns if self.listens() or self.view is not None else None

    def take_ticks(self, now_ns: int) -> int:
        """Show what there is, then wait for the wall's clock, or for input.

        Raises:
            Left: Who types has had enough.
        """
        due_ns = self.next_tick_ns()
        if due_ns is not None and now_ns >= due_ns:
            self._next_ns = now_ns + TICK_NS
            self._machine.consoles.flush()
            if self.view is not None:
                self.view.draw()
            self._wait(self._ahead(now_ns))
        return 0

    def _ahead(self, now_ns: int) -> int:
        """Return by how much the machine is ahead of the wall's clock; 0: it is not."""
        ahead = now_ns - time.monotonic_ns() - self._start_ns
        if ahead < -_LAG_NS:
            self._start_ns += ahead
        return max(ahead, 0)

    def _wait(self, wait_ns: int) -> None:
        # Who types wants to be heard all the same; a pipe can wait.
        is_full = self.terminal is None and self._waits() > _READ_SIZE
        if self._descriptor is None or is_full:
            time.sleep(wait_ns / 1e9)
        elif select.select([self._descriptor], [], [], wait_ns / 1e9)[0]:
            data = _read(self._descriptor)
            if not data:
                self._descriptor = None
            elif self.terminal is None:
                self._deliver(data)
            else:
                self._typed(data)

    def _typed(self, data: bytes) -> None:
        """Take what was typed on a terminal: after Ctrl-A it is a command."""
        plain = bytearray()
        for byte in data:
            if self._escaped:
                self._escaped = False
                plain += self._command(byte)
            elif byte == _ESCAPE:
                self._escaped = True
            else:
                plain.append(byte)
        if plain:
            if self.view is not None:
                self.view.hide_status()
            self._deliver(bytes(plain))

    def _command(self, byte: int) -> bytes:
        """Do what was asked for after Ctrl-A. Return what that types."""
        if byte in b"xX":
            raise Left
        if byte in b"zZ" and self.terminal is not None:
            self.terminal.suspend()
        elif byte in (*b"aA", _ESCAPE):
            return bytes((_ESCAPE,))
        elif byte in b"hH?" and self.view is not None:
            self.view.show_status(f"kmemu: {_HELP}")
        elif byte in b"hH?":
            self._output.end_line()
            complain(_HELP)
        return b""


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_SIZE)
    except OSError:  # the terminal is gone
        return b""


@contextmanager
def interaction(machine: Machine, output: Output, *, keyboard: bool) -> Iterator[None]:
    """Let standard input reach a machine that runs in the body.

    Args:
        machine: The machine.
        output: Standard output.
        keyboard: Whether what is typed goes to the PC's keyboard, and its text screen is shown; otherwise it goes to COM1.
    """
    descriptor = None if sys.stdin is None else sys.stdin.fileno()
    is_terminal = descriptor is not None and os.isatty(descriptor)
    deliver, waits = _to_keyboard(machine) if keyboard else _to_com1(machine)
    session = Session(machine, output, descriptor, deliver, waits)
    where = "the keyboard" if keyboard else "COM1"
    status = f"what is typed goes to {where}; {_COMMANDS}" if is_terminal else f"input goes to {where}"
    if is_terminal:
        complain(status)
    with ExitStack() as stack:
        if keyboard:
            from emulator.cli.interactive.screen_view import ScreenView  # not for COM1

            session.view = ScreenView(machine, output, f"kmemu: {status}")
            session.view.open()
            stack.callback(session.view.close)
        if descriptor is not None and is_terminal:
            from emulator.cli.interactive.raw_terminal import RawTerminal  # not for pipes

            session.terminal = stack.enter_context(RawTerminal(descriptor, session.view))
        machine.interrupts.attend(session, _KEYBOARD_LINE if keyboard else _COM1_LINE, session.listens)
        yield
        if session.view is not None:
            session.view.draw()


def _to_com1(machine: Machine) -> _Destination:
    return machine.send, lambda: cast("Uart", machine.device("COM1")).waits


def _to_keyboard(machine: Machine) -> _Destination:
    from emulator.cli.interactive.typed_keys import typed_keys  # not for COM1

    def waits() -> int:
        return cast("KeyboardController", machine.device("keyboard")).waits

    return lambda data: machine.keys(typed_keys(data)), waits
