"""Packets that move the machine, forwards and backwards, and what is said when it stops.

Source: "Debugging with GDB", E.2 (Packets: ``bc``, ``bs``, ``vCont``), E.3 (Stop Reply Packets).
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.gdb.accesses import undo_newest_access, undone
from emulator.debug.gdb.answers import Refused, answer
from emulator.debug.gdb.points import Kind
from emulator.debug.gdb.registers import NUMBERS, REGISTERS, register_bytes
from emulator.debug.gdb.steps import Steps
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
_ALL: Final = -1
"""The number that stands for all threads."""


class _Action(NamedTuple):
    """What a client wants one thread, or all the others, to do.

    Attributes:
        thread: Its number, or `_ALL`.
        steps: It is to be stepped; else it goes on.
        addresses: From which on to which.
    """

    thread: int
    steps: bool
    addresses: range


def _actions(text: bytes) -> list[_Action]:
    """Return the actions of a packet that count: for each thread it is the first one."""
    actions: list[_Action] = []
    for each in text.split(b";"):
        found = _ACTION.fullmatch(each)
        if found is None:
            raise Refused(errno.EINVAL, "the packet is malformed")
        move, with_signal, is_range, start, end, thread = found.groups()
        addresses = range(int(start, 16), int(end, 16)) if is_range else range(0)
        number = _ALL if thread is None else int(thread, 16)
        steps = (move or with_signal or b"s").lower() == b"s"
        if not any(other.thread in (_ALL, number) for other in actions):
            actions.append(_Action(number, steps, addresses))
    return actions


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
        self._steps = Steps(debugger, threads)
        self.features: frozenset[bytes] = frozenset()
        self._last: Stop | None = None
        run = debugger.run
        self.answers: tuple[Answer, ...] = (
            answer("?", b"", self._stopped),
            answer("qThreadStopInfo", rb"([0-9a-fA-F]{1,8})", self._stopped_thread),
            answer("c", b"", lambda: self._move(run)),
            answer("s", b"", self._step_cpu),
            answer("C", _SIGNAL, lambda: self._move(run)),
            answer("S", _SIGNAL, self._step_cpu),
            answer("bc", b"", lambda: self._move(self._back)),
            answer("bs", b"", lambda: self._move(self._step_back)),
            answer("vCont?", b"", lambda: b"vCont;c;C;s;S;r"),
            answer("vCont", rb";(.+)", self._resume),
        )

    def _resume(self, text: bytes) -> bytes:
        """Step the thread that the packet says is to be stepped, or go on: there is one CPU, and what runs on it is the kernel's business."""
        actions = _actions(text)
        running = self._threads.running()
        for number in {each.thread for each in actions} - {_ALL, running}:
            self._threads.check(number)
        step = next((each for each in actions if each.steps), None)
        if step is not None:
            thread = running if step.thread == _ALL else step.thread
            alone = self._locks and all(each.steps or each.thread == thread for each in actions)
            return self._step(thread, step.addresses, alone=alone)
        if self._locks and not any(each.thread in (_ALL, running) for each in actions):
            raise self._refused(f"there is nothing to do for thread {running}, which runs")
        return self._move(self._debugger.run)

    @property
    def _locks(self) -> bool:
        """Whether a thread that alone is to be moved is meant alone: lldb, which steps all threads so, gives up where that cannot be."""
        return b"vContSupported+" in self.features

    def _back(self) -> Stop:
        """Go back to a breakpoint, or in front of an instruction that has accessed watched bytes."""
        return undo_newest_access(self._debugger) or undone(self._debugger, self._debugger.back())

    def _step_back(self) -> Stop:
        return self._steps.backwards(self._undo_instruction, alone=self._threads.is_alone)

    def _undo_instruction(self) -> Stop:
        return undo_newest_access(self._debugger) or self._debugger.step_back()

    def _step_cpu(self) -> bytes:
        """Step one instruction of whatever runs."""
        return self._step(self._threads.running())

    def _step(self, thread: int, addresses: range = range(0), *, alone: bool = True) -> bytes:
        """Step a thread; where it is one instruction of what runs, it makes no difference which points there are."""
        settles = bool(addresses) or not alone
        return self._move(lambda: self._steps.forwards(thread, addresses, alone=alone), settles=settles)

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

    def _stopped_thread(self, thread: bytes) -> bytes:
        """Return the same of one thread, with its name; one that does not run has no reason to stand."""
        number = int(thread, 16)
        stop = self._stopped() if number == self._threads.running() else b"T00thread:%x;" % number
        return b"%bhexname:%b;" % (stop, self._threads.name(number).encode().hex().encode())

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
