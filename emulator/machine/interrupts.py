"""Interrupts and exceptions: who wants one, when the guest takes it, and how it gets into the guest's handler.

Time is virtual. While the guest computes, an instruction takes `instruction_ns`; while it waits in `hlt`, the clock jumps to
the next event. The clock starts when the guest sets a timer, or with a budget of instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.devices.pic import Pic
from emulator.devices.pit import Pit
from emulator.machine.core_types import Delivery, DeliveryKind

if TYPE_CHECKING:
    from emulator.machine.core_types import Stop
    from emulator.machine.cpu import Cpu

INSTRUCTION_NS = 10  # a CPU of 100 million instructions a second, unless a machine is told otherwise
TIMER_LINE = 0
PAGE_FAULT, GENERAL_PROTECTION, DOUBLE_FAULT = 14, 13, 8
_WITH_ERROR_CODE = frozenset({8, 10, 11, 12, 13, 14, 17})


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


class Interrupts:
    """The controllers, the timer and the clock of one machine.

    Args:
        cpu: Gets told when an interrupt is pending.

    Attributes:
        pic: Both interrupt controllers.
        pit: The interval timer.
        instruction_ns: Virtual time that an instruction takes, 1 or more. A slow CPU gets its ticks after few instructions.
        last_fault: The newest exception that was no `int n`.
    """

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu
        self.instruction_ns = INSTRUCTION_NS
        self.last_fault: Fault | None = None
        self._past_ns = 0  # virtual time at the start of the present run of the CPU
        self.pic = Pic(self._update, self._catch_up_before_write)
        self.pit = Pit(self.now_ns, self._timer_moved)

    def now_ns(self) -> int:
        """Virtual time since the machine was made."""
        return self._past_ns + self._cpu.executed() * self.instruction_ns

    def slice(self) -> int | None:
        """Instructions until the next event; None while nothing is going to happen."""
        due = self.pit.next_tick_ns()
        if due is None or self.pic.is_requested(TIMER_LINE):  # no tick is noticed while one waits
            return None
        return max(1, (due - self._past_ns) // self.instruction_ns)

    def ran(self, instructions: int) -> None:
        """The CPU ran: move the clock and let devices catch up."""
        self._past_ns += instructions * self.instruction_ns
        self._catch_up()

    def skip_idle(self) -> bool:
        """The CPU waits: jump to the next event that can wake it. False if there is none."""
        if not self.pic.pending:
            due = self.pit.next_tick_ns()
            if due is None or self.pic.is_masked(TIMER_LINE):
                return False
            self._past_ns = max(self._past_ns, due)
            self._catch_up()
        return self.pic.pending

    def take(self) -> bool:
        """Deliver the pending interrupt, if the guest takes it now. False if its IDT has no handler."""
        if not self.pic.pending or not self._cpu.irq_possible():
            return True
        vector = self.pic.acknowledge()
        return self._cpu.deliver(vector, DeliveryKind.EXTERNAL, None) is Delivery.ENTERED

    def deliver_exception(self, stop: Stop, address: int, *, software: bool) -> bool:
        """Enter the guest's handler of an exception. False when there is no way: on a PC a triple fault.

        Args:
            stop: How the CPU stopped.
            address: Linear address of a page fault.
            software: It is an `int n` or its like, which has no error code and needs a gate that is open to it.
        """
        vector = stop.vector
        if vector == PAGE_FAULT:
            self._cpu.set_cr2(address)
        error_code = (stop.error_code if vector == PAGE_FAULT else 0) if vector in _WITH_ERROR_CODE else None
        kind = DeliveryKind.SOFTWARE if software else DeliveryKind.FAULT
        delivery = self._cpu.deliver(vector, kind, None if software else error_code)
        if delivery is Delivery.ENTERED:
            if not software:
                frame = self._cpu.registers().esp + (0 if error_code is None else 4)
                self.last_fault = Fault(vector, stop.eip, frame)
            return True
        if delivery is Delivery.NO_RIGHT:
            return (
                self._cpu.deliver(GENERAL_PROTECTION, DeliveryKind.FAULT, vector * 8 + 2) is Delivery.ENTERED
            )
        return self._cpu.deliver(DOUBLE_FAULT, DeliveryKind.FAULT, 0) is Delivery.ENTERED

    def save(self) -> tuple[int, Fault | None]:
        """The clock and the last fault; controllers and timer are saved as devices."""
        return self._past_ns, self.last_fault

    def restore(self, state: tuple[int, Fault | None]) -> None:
        """Go back to a state that `save` returned."""
        self._past_ns, self.last_fault = state

    def _catch_up(self) -> None:
        if self.pit.take_ticks(self._past_ns):
            self.pic.request(TIMER_LINE)

    def _catch_up_before_write(self) -> None:
        if self.pic.is_requested(TIMER_LINE):  # else the run has a slice, which ends at the tick
            self.pit.take_ticks(self.now_ns())

    def _update(self) -> None:
        self._cpu.set_irq_pending(self.pic.pending)
        if not self.pic.is_requested(TIMER_LINE):
            self._timer_moved()

    def _timer_moved(self) -> None:
        self._cpu.request_stop()  # the machine goes on with another slice
