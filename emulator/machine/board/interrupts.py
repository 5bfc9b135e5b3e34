"""Interrupts and exceptions: who wants one, when the guest takes it, and how it gets into the guest's handler.

Time is virtual. While the guest computes, an instruction takes `instruction_ns`; while it waits in `hlt`, the clock jumps to
the next event. The clock starts when the guest sets a timer, or with a budget of instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from emulator.devices.pic import Pic
from emulator.machine.core.core_types import Delivery, DeliveryKind
from emulator.x86 import PUSHES_ERROR_CODE, WORD_MAX, Eflags, Vector, makes_double_fault

if TYPE_CHECKING:
    from emulator.devices.board import Timer
    from emulator.machine.core.core_types import Stop
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.handle import Core

INSTRUCTION_NS = 10  # a CPU of 100 million instructions a second, unless a machine sets another
_JUMPS = 100  # from one event to the next, after which a CPU that waits is given up


class Fault(NamedTuple):
    """An exception that the guest's own handler was entered for.

    Attributes:
        vector: 0 to 31.
        eip: The instruction that failed.
        frame: Where EIP lies in what the CPU pushed, in the stack segment.
    """

    vector: int
    eip: int
    frame: int


class Attempt(NamedTuple):
    """An interrupt that did not reach a handler.

    Attributes:
        vector: 0 to 255.
        kind: Where it comes from.
        delivery: Why it did not.
    """

    vector: int
    kind: DeliveryKind
    delivery: Delivery


class Interrupts:
    """The controllers, the timers and the clock of one machine.

    Args:
        core: Of the machine.
        cpu: Is notified when an interrupt is pending.

    Attributes:
        pic: Both interrupt controllers.
        timers: Those of the board, each with its interrupt line.
        instruction_ns: Virtual time that an instruction takes, 1 or more. A slow CPU gets its ticks after few instructions.
        last_fault: The newest exception that was no `int n`.
    """

    def __init__(self, core: Core, cpu: Cpu) -> None:
        self._core, self._cpu = core, cpu
        self.instruction_ns = INSTRUCTION_NS
        self.last_fault: Fault | None = None
        self._past_ns = 0  # virtual time at the start of the present run of the CPU
        self.pic = Pic(self._update, self._catch_up_before_write)
        self.timers: list[tuple[Timer, int]] = []

    def now_ns(self) -> int:
        """Virtual time since the machine was made."""
        return self._past_ns + self._cpu.executed() * self.instruction_ns

    def timer_moved(self) -> None:
        """Take into account that the next tick of a timer may have moved."""
        self._core.request_stop()  # the machine goes on with another slice

    def is_heard(self, line: int) -> bool:
        """Tell whether the guest would take an interrupt of a line now, if it were the only one."""
        return not self.pic.is_masked(line) and bool(self._cpu.registers().eflags & Eflags.IF)

    def slice(self) -> int | None:
        """Return the instructions until the next event; None while nothing is going to happen."""
        due = None
        for timer, line in self.timers:
            at = timer.next_tick_ns()
            if at is None or self.pic.is_requested(line):  # no tick is noticed while one waits
                continue
            due = at if due is None else min(due, at)
        return None if due is None else max(1, (due - self._past_ns) // self.instruction_ns)

    def ran(self, instructions: int) -> None:
        """The CPU ran: move the clock and let devices catch up."""
        self._past_ns += instructions * self.instruction_ns
        self._catch_up()

    def skip_idle(self) -> bool:
        """The CPU waits: jump to the next event that can wake it. False if there is none."""
        for _ in range(_JUMPS):
            if self.pic.pending:
                break
            ticks = [
                due
                for timer, line in self.timers
                if not self.pic.is_masked(line) and (due := timer.next_tick_ns()) is not None
            ]
            if not ticks:
                return False
            self._past_ns = max(self._past_ns, min(ticks))
            self._catch_up()
        return self.pic.pending

    def take(self) -> tuple[Attempt, ...]:
        """Deliver the pending interrupt, if the guest takes it now. Returns what failed, see `deliver_exception`."""
        if not self.pic.pending or not self._cpu.irq_possible():
            return ()
        return self._deliver(self.pic.acknowledge(), DeliveryKind.EXTERNAL, None)

    def deliver_exception(self, stop: Stop, address: int, *, length: int) -> tuple[Attempt, ...]:
        """Enter the guest's handler of an exception.

        When that fails, a CPU raises another one, at last a double fault (Intel SDM vol. 3A, 6.15, table 6-5).

        Args:
            stop: How the CPU stopped.
            address: Linear address of a page fault.
            length: Of an `int n` or its like, which has no error code and needs a gate that is open to it; 0: it is a fault.

        Returns:
            What was tried, in order, if the guest has not got to a handler; () if it has.
        """
        vector = stop.vector
        if vector == Vector.PAGE_FAULT and not length:
            self._cpu.set_cr2(address)
        if length:
            return self._deliver(vector, DeliveryKind.SOFTWARE, None, length)
        return self._deliver(vector, DeliveryKind.FAULT, stop.error_code)

    def _deliver(
        self, vector: int, kind: DeliveryKind, error_code: int | None, length: int = 0
    ) -> tuple[Attempt, ...]:
        failed: list[Attempt] = []
        before = self._cpu.registers()
        while True:
            has_code = kind is DeliveryKind.FAULT and vector in PUSHES_ERROR_CODE
            delivery, following = self._cpu.deliver(vector, kind, error_code if has_code else None)
            if delivery is Delivery.ENTERED:
                if kind is DeliveryKind.FAULT:
                    frame = self._cpu.registers().esp + (4 if has_code else 0)
                    self.last_fault = Fault(vector, before.eip - length, frame)
                return ()
            failed.append(Attempt(vector, kind, delivery))
            if delivery.is_lacking or vector == Vector.DOUBLE_FAULT:
                break
            if length:  # what an `int n` raises is a fault, at itself
                self._cpu.set_registers(before._replace(eip=before.eip - length & WORD_MAX))
            serious = kind is DeliveryKind.FAULT and makes_double_fault(vector, following[0])
            vector, error_code = (Vector.DOUBLE_FAULT, 0) if serious else following
            kind = DeliveryKind.FAULT
        if length:
            self._cpu.set_registers(before)
        return tuple(failed)

    def save(self) -> tuple[int, Fault | None]:
        """The clock and the last fault; controllers and timer are saved as devices."""
        return self._past_ns, self.last_fault

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        self._past_ns, self.last_fault = cast("tuple[int, Fault | None]", state)

    def _catch_up(self) -> None:
        """Let timers tick up to now."""
        for timer, line in self.timers:
            if timer.take_ticks(self._past_ns):
                self.pic.request(line)

    def _catch_up_before_write(self) -> None:
        for timer, line in self.timers:
            if self.pic.is_requested(line):  # else the run has a slice, which ends at the tick
                timer.take_ticks(self.now_ns())

    def _update(self) -> None:
        self._cpu.set_irq_pending(self.pic.pending)
        if any(
            timer.next_tick_ns() is not None and not self.pic.is_requested(line)
            for timer, line in self.timers
        ):
            self.timer_moved()
