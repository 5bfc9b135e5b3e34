"""Packets that move the machine, forwards and backwards, and what is said when it stops.

Source: "Debugging with GDB", E.2 (Packets: ``bc``, ``bs``, ``vCont``), E.3 (Stop Reply Packets).
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from emulator.debug.gdb.accesses import undo_newest_access, undone
from emulator.debug.gdb.answers import Refused, answer
from emulator.debug.gdb.points import Kind
from emulator.debug.gdb.registers import NUMBERS, REGISTERS, register_bytes
from emulator.debug.gdb.words import stop_lines
from emulator.debug.stop import StopKind
from emulator.errors import EmulatorError
from emulator.x86 import Vector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.debug.gdb.answers import Answer
    from emulator.debug.gdb.connection import Connection
    from emulator.debug.gdb.points import Points
    from emulator.debug.gdb.threads import Threads
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop

_SIGINT, _SIGILL, _SIGTRAP, _SIGFPE, _SIGBUS, _SIGSEGV = 2, 4, 5, 8, 10, 11  # gdb's own numbers
_SIGNALS: Final = {
    Vector.DIVIDE_ERROR: _SIGFPE,
    Vector.OVERFLOW: _SIGFPE,
    Vector.BOUND_RANGE: _SIGSEGV,
    Vector.INVALID_OPCODE: _SIGILL,
    Vector.NO_FPU: _SIGFPE,
    Vector.DOUBLE_FAULT: _SIGSEGV,
    Vector.INVALID_TSS: _SIGSEGV,
    Vector.SEGMENT_NOT_PRESENT: _SIGSEGV,
    Vector.STACK_FAULT: _SIGSEGV,
    Vector.GENERAL_PROTECTION: _SIGSEGV,
    Vector.PAGE_FAULT: _SIGSEGV,
    Vector.FPU_ERROR: _SIGFPE,
    Vector.ALIGNMENT_CHECK: _SIGBUS,
}
_FEATURES: Final[Mapping[Kind | None, str]] = {Kind.SOFTWARE: "swbreak", Kind.HARDWARE: "hwbreak"}
_WATCHES: Final[Mapping[Kind | None, str]] = {
    Kind.WRITE: "watch",
    Kind.READ: "rwatch",
    Kind.ACCESS: "awatch",
}
_SHOWN: Final = ("esp", "ebp", "eip")
"""Registers that each stop says, so that the client need not ask."""
_SIGNAL: Final = rb"[0-9a-fA-F]{2}"  # the guest gets none: what it gets are its own exceptions
_ACTION: Final = re.compile(
    rb"(?:([cs])|([CS])[0-9a-fA-F]{2}|(r)([0-9a-fA-F]{1,8}),([0-9a-fA-F]{1,8}))(?::(-1|[0-9a-fA-F]{1,8}))?"
)


class Moves:
    """Moves a debugger's machine as a client says.

    Args:
        debugger: What is moved.
        connection: To the client; is watched meanwhile.
        points: Of the client.
        threads: Of the machine.
        say: Shows text to the client's user.

    Attributes:
        features: What the client says it can; names as in ``qSupported``.
    """

    def __init__(
        self,
        debugger: Debugger,
        connection: Connection,
        points: Points,
        threads: Threads,
        say: Callable[[str], None],
    ) -> None:
        self._debugger = debugger
        self._connection = connection
        self._points = points
        self._threads = threads
        self._say = say
        self.features: frozenset[bytes] = frozenset()
        self._last: Stop | None = None
        run = debugger.run
        self.answers: tuple[Answer, ...] = (
            answer("?", b"", self._stopped),
            answer("c", b"", lambda: self._move(run)),
            answer("s", b"", self._step),
            answer("C", _SIGNAL, lambda: self._move(run)),
            answer("S", _SIGNAL, self._step),
            answer("bc", b"", lambda: self._move(self._back)),
            answer("bs", b"", lambda: self._move(self._step_back)),
            answer("vCont?", b"", lambda: b"vCont;c;C;s;S;r"),
            answer("vCont", rb";(.+)", self._resume),
        )

    def _resume(self, text: bytes) -> bytes:
        """Do what the first action says that is for the thread that runs, as only that can move."""
        actions = [_ACTION.fullmatch(each) for each in text.split(b";")]
        if None in actions:
            raise Refused(errno.EINVAL, "the packet is malformed")
        running = self._threads.running()
        for action in filter(None, actions):
            move, with_signal, is_range, start, end, thread = action.groups()
            number = -1 if thread is None else int(thread, 16)
            if number not in (-1, running):
                if (move or with_signal or b"s").lower() != b"c":
                    raise self._refused(f"thread {number} does not run: only what runs can be stepped")
                continue
            if is_range:
                return self._move(lambda: self._step_range(int(start, 16), int(end, 16)))  # noqa: B023 - called at once
            return self._move(self._debugger.run) if (move or with_signal) in b"cC" else self._step()
        raise Refused(errno.EINVAL, f"there is nothing to do for thread {running}, which runs")

    def _step_range(self, start: int, end: int) -> Stop:
        """Step until EIP is outside of [start, end), or something else stops the machine; one step at least."""
        while True:
            stop = self._debugger.step()
            eip = self._debugger.machine.registers().eip
            if stop.kind is not StopKind.STEP or not start <= eip < end:
                return stop

    def _back(self) -> Stop:
        """Go back to a breakpoint, or in front of an instruction that has accessed watched bytes."""
        return undo_newest_access(self._debugger) or undone(self._debugger, self._debugger.back())

    def _step_back(self) -> Stop:
        return undo_newest_access(self._debugger) or self._debugger.step_back()

    def _step(self) -> bytes:
        """Step one instruction; which points there are makes no difference to that."""
        return self._move(self._debugger.step, settles=False)

    def _move(self, move: Callable[[], Stop], *, settles: bool = True) -> bytes:
        if settles:
            self._points.settle()
        self._threads.forget_choice()
        try:
            with self._connection.watched(self._debugger.cancel):
                self._last = move()
        except (EmulatorError, ValueError) as error:
            raise self._refused(str(error)) from error
        for line in stop_lines(self._debugger, self._last):
            self._say(f"{line}\n")
        return self._stopped()

    def _refused(self, why: str) -> Refused:
        """Return the refusal of a move, and say why: the client shows its user no more than a number."""
        self._say(f"kmemu: {why}\n")
        return Refused(errno.EPERM, why)

    def _stopped(self) -> bytes:
        """Return the reply that says why the machine stands, and where."""
        registers = self._debugger.machine.registers()._asdict()
        values = (
            b"%02x:%b;" % (NUMBERS[name], register_bytes(REGISTERS[NUMBERS[name]], registers))
            for name in _SHOWN
        )
        reason = "" if self._last is None else self._reason(self._last)
        signal = _SIGTRAP if self._last is None else self._signal(self._last)
        return b"T%02x%b%bthread:%x;" % (signal, reason.encode(), b"".join(values), self._threads.running())

    def _reason(self, stop: Stop) -> str:
        match stop.kind:
            case StopKind.BREAKPOINT:
                feature = _FEATURES.get(self._points.kind_of(stop.point), "")
                return f"{feature}:;" if f"{feature}+".encode() in self.features else ""
            case StopKind.WATCHPOINT if stop.access is not None:
                name = _WATCHES.get(self._points.kind_of(stop.point))
                return f"{name}:{stop.access.address:08x};" if name else ""
            case StopKind.START:
                return "replaylog:begin;"
            case StopKind.ENDED:
                return "replaylog:end;"
        return ""

    def _signal(self, stop: Stop) -> int:
        if stop.kind is StopKind.CANCELLED:
            return _SIGINT
        fault = self._debugger.machine.cpu.last_fault() if stop.kind is StopKind.EXCEPTION else None
        return _SIGTRAP if fault is None else _SIGNALS.get(fault.vector, _SIGTRAP)
