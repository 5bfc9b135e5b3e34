"""What ends a run well besides the kernel itself: a text on its console, or that it does nothing but wait.

All of it is looked at at points that depend on nothing but the guest: at the `out` that completes the text, and every 10 ms of virtual time.

A guest waits if for two virtual seconds it has written to no console and not to the screen, no recorded call was entered or left, and
if it was in `hlt` for nine tenths of each of them, or is found at the end of each in the same loop, which changes nothing: registers,
and the stores of two turns, are the same. Such a loop goes on until an interrupt comes, or a device answers something else; so interrupts
have to be on, or a port that a device has is read in it. A loop that waits for a time to come is another one for each such time.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from emulator.machine.core.core_types import Reason
from emulator.machine.core.observed import StepKind
from emulator.x86 import Eflags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.machine.board.interrupts import Interrupts
    from emulator.machine.consoles import Console, Consoles
    from emulator.machine.core.call_recorder import CallRecorder
    from emulator.machine.core.core_types import Registers, Stop
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.observed import Step
    from emulator.machine.core.observers import Observers, StepLog
    from emulator.machine.unanswered import Unanswered

LOOK_NS = 10_000_000
"""Virtual time between two looks."""
IDLE_NS = 1_000_000_000
"""Virtual time after which a guest that has done nothing else is looked at; it waits if it does so twice."""
_WAITING = 0.9  # share of the time in hlt
_TRACED = 8192  # instructions in which a loop has to be seen three times
_LONGEST = _TRACED // 3
_STEPS = 8 * _TRACED
_ATTEMPTS = 3  # to see a loop between two interrupts


class Awaited(Enum):
    """What a run was to go on until."""

    TEXT = "text"
    IDLE = "idle"


class Until:
    """Looks whether what a run goes on until has happened.

    Args:
        cpu: What runs.
        interrupts: Have the clock.
        calls: Recorded ones.
        consoles: What the guest says.
        observers: Trace a loop.
        unanswered: Knows what was read last.
        screen: Returns the bytes of the text screen.
        request_stop: Ends the present run of the CPU.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a guest can do
        self,
        cpu: Cpu,
        interrupts: Interrupts,
        calls: CallRecorder,
        consoles: Consoles,
        observers: Observers,
        unanswered: Unanswered,
        screen: Callable[[], bytes],
        request_stop: Callable[[], None],
    ) -> None:
        self._cpu = cpu
        self._interrupts = interrupts
        self._calls = calls
        self._consoles = consoles
        self._screen = screen
        self._request_stop = request_stop
        self._loop = _Loop(cpu, observers, unanswered)
        self._text = b""
        self._idle = self._seen = False
        self._tails: dict[Console, bytes] = {}
        self._next_look_ns = self._since_ns = self._waited_ns = 0  # waited: at `since`
        self._signs: tuple[int, int, bytes] = (0, 0, b"")
        self._left_ns = -1  # when the last run ended, before it was known
        self._found: object = None  # how the guest waited when it was looked at last; None: it did not

    def start(self, text: str, *, idle: bool) -> None:
        """A run starts that goes on until something; for one that only waits, perhaps since the run before, where that has ended here.

        Args:
            text: What is to appear on a console or the text screen; "": nothing is waited for.
            idle: Whether the run ends when the guest only waits.
        """
        now_ns = self._interrupts.now_ns()
        goes_on = idle and self._idle and self._left_ns == now_ns
        self._text, self._idle, self._seen = text.encode(), idle, False
        self._tails = {}
        if text:
            self._consoles.watch(self._said, self._text[-1:])
        if not goes_on:
            self._found = None
            self._since_ns, self._waited_ns = now_ns, self._interrupts.waited_ns()
            self._signs = (0, 0, b"")
        self._look_again(now_ns)

    def end(self) -> None:
        """The run has ended."""
        self._consoles.watch(None, b"")
        self._loop.give_up()
        self._interrupts.look_at(None)
        self._left_ns = self._interrupts.now_ns()

    def _look_again(self, now_ns: int) -> None:
        self._next_look_ns = now_ns + LOOK_NS
        self._interrupts.look_at(self._next_look_ns)

    def limit(self) -> int | None:
        """Return the exact number of instructions that the CPU may run next; None: any."""
        return self._loop.limit

    def look(self, stop: Stop) -> Awaited | None:
        """Return what has happened after a run of the CPU that ended so."""
        if self._seen:
            return Awaited.TEXT
        if self._loop.limit is not None:
            found = self._loop.ran(stop)
            return None if found is None else self._waits(found)
        now_ns = self._interrupts.now_ns()
        if now_ns < self._next_look_ns:
            return None
        self._look_again(now_ns)
        screen = self._screen()
        if self._text and self._text in screen[::2]:
            return Awaited.TEXT
        return self._is_idle(now_ns, screen) if self._idle else None

    def halted(self) -> Awaited | None:
        """Return what it is when the guest halts for good: it waits for input, if interrupts are on."""
        if self._text and self._text in self._screen()[::2]:
            return Awaited.TEXT
        waits = self._idle and bool(self._cpu.registers().eflags & Eflags.IF)
        return Awaited.IDLE if waits else None

    def _said(self, console: Console, data: bytes) -> None:
        said = self._tails.get(console, b"") + data
        self._tails[console] = said[-len(self._text) :]
        if self._text in said and not self._seen:
            self._seen = True
            self._request_stop()

    def _waits(self, how: object) -> Awaited | None:
        """The guest was found to wait somehow: has it done so the last time, too?"""
        before, self._found = self._found, how
        if how != before:
            return None
        self._idle = False
        return Awaited.IDLE

    def _is_idle(self, now_ns: int, screen: bytes) -> Awaited | None:
        signs = (self._consoles.written, self._calls.event_count, screen)
        waited_ns, past_ns = self._interrupts.waited_ns() - self._waited_ns, now_ns - self._since_ns
        is_same = signs == self._signs
        if is_same and past_ns < IDLE_NS:
            return None
        self._signs, self._since_ns, self._waited_ns = signs, now_ns, self._interrupts.waited_ns()
        if not is_same:
            self._found = None
        elif waited_ns >= _WAITING * past_ns:
            return self._waits("in hlt")
        else:
            self._loop.start()
        return None


class _Loop:
    """Finds out whether the guest is in a loop that changes nothing: traces it, then runs two turns of it exactly.

    Args:
        cpu: What runs.
        observers: Trace it.
        unanswered: Knows what was read last.

    Attributes:
        limit: Instructions to run next; None: nothing is to be found out.
    """

    def __init__(self, cpu: Cpu, observers: Observers, unanswered: Unanswered) -> None:
        self._cpu = cpu
        self._observers = observers
        self._unanswered = unanswered
        self._log: StepLog | None = None
        self._attempts = 0
        self._settles = False
        self._turns: list[tuple[Registers, Sequence[Step]]] = []
        self._addresses: tuple[int, ...] = ()  # of a turn, once that is known
        self.limit: int | None = None

    def start(self) -> None:
        """Begin to find out."""
        self._attempts = _ATTEMPTS
        self._addresses = ()
        self._trace(_TRACED)

    def give_up(self) -> None:
        """Find out nothing."""
        self.limit, self._settles = None, False
        self._close()

    def ran(self, stop: Stop) -> object:
        """Take a run of `limit` instructions. Return the loop if it has shown that the guest is in one, to compare it; else None."""
        if self._settles:
            self.give_up()
            return None
        steps = self._close()
        if stop.reason is not Reason.SLICE or stop.instructions != self.limit:
            self._again()
        elif not self._addresses:
            self._align([step.address for step in steps if step.kind is StepKind.INSTRUCTION])
        else:
            self._turns.append((self._cpu.registers(), steps))
            if len(self._turns) == 1:
                self._turns[0] = (self._turns[0][0], [])
            if len(self._turns) <= 2:  # noqa: PLR2004 - before, and after each of two turns
                self._trace(len(self._addresses))
            else:
                return self._compared()
        return None

    def _align(self, traced: Sequence[int]) -> None:
        """Go to where the loop begins: to the same instruction whenever it is found."""
        period = _period(traced)
        if not period:
            self._again()
            return
        turn = tuple(traced[len(traced) - period :])
        begin = min(range(period), key=lambda each: turn[each:] + turn[:each])
        self._addresses = turn[begin:] + turn[:begin]
        self._turns = []
        self._trace(begin or period)

    def _compared(self) -> object:
        (start, _), (first, first_steps), (second, second_steps) = self._turns
        if start == first == second and first_steps == second_steps:
            addresses = self._addresses
            self._settle()
            return (start, addresses) if self._may_end(start, len(addresses)) else None
        self._again()  # an interrupt may have come
        return None

    def _may_end(self, registers: Registers, turn: int) -> bool:
        """Return whether an interrupt or a device can end a loop of so many instructions."""
        last = self._unanswered.last_read()
        is_read = last is not None and last.instructions_ago <= 2 * turn
        if last is not None and is_read:
            return last.is_answered
        return bool(registers.eflags & Eflags.IF)

    def _again(self) -> None:
        self._attempts -= 1
        self._addresses = ()
        if self._attempts:
            self._trace(_TRACED)
        else:
            self._settle()

    def _settle(self) -> None:
        """Run one instruction more: the engine forgets the hooks of a step log at the end of the run that follows, which is slow."""
        self.limit, self._settles = 1, True

    def _trace(self, instructions: int) -> None:
        self.limit = instructions
        self._log = self._observers.log_steps(_STEPS)

    def _close(self) -> list[Step]:
        if self._log is None:
            return []
        steps = self._log.steps()
        self._log.close()
        self._log = None
        return steps


def _period(addresses: Sequence[int]) -> int:
    """Return after how many instructions the last ones repeat, twice; 0: they do not."""
    count = len(addresses)
    for length in range(1, _LONGEST + 1):
        if count < 3 * length:
            break
        last = addresses[count - length :]
        if (
            last
            == addresses[count - 2 * length : count - length]
            == addresses[count - 3 * length : count - 2 * length]
        ):
            return length
    return 0
