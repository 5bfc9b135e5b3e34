"""The interrupt controllers, timers and the clock of a machine: a view of what the core has, and the timers of Python's.

Time is virtual. While the guest computes, an instruction takes `instruction_ns`; while it waits in `hlt`, the clock jumps to
the next tick. The core delivers interrupts and exceptions itself, and lets intervals tick. A timer that does more when its time
has come than to raise its line is one of Python's: runs of the CPU end when it is due.
"""

from __future__ import annotations

from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from emulator.machine.core.core_types import PortMode
from emulator.machine.core.handle import lib
from emulator.x86 import Eflags

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.devices.apic.bus import ApicBus
    from emulator.machine.board.ports import DeviceStates
    from emulator.machine.core.core_types import Fault
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.handle import Core

INSTRUCTION_NS = 10  # a CPU of 100 million instructions a second, unless a machine sets another
_JUMPS = 100  # from one event to the next, after which a CPU that waits is given up
_TIMER_LINE = 0
_TIMER_PORTS = (*range(0x40, 0x44), 0x61)
_NEVER = 0xFFFF_FFFF_FFFF_FFFF


class Ticking(Protocol):
    """What `emulator.devices.board.Timer` is besides a device."""

    def next_tick_ns(self) -> int | None:
        """Return when `take_ticks` is to be called next, in virtual time; None: never."""

    def take_ticks(self, now_ns: int) -> int:
        """Return how often its line was raised since that was last asked."""


class Pic:
    """Both interrupt controllers, which the core has (native/core/pic.c).

    Args:
        core: Of the machine.
    """

    ports = (0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1)

    def __init__(self, core: Core) -> None:
        self._core = core
        for port in self.ports:
            lib.kc_port_out(core.raw, port, PortMode.PIC, 0)
            lib.kc_port_in(core.raw, port, PortMode.PIC, 0)

    @property
    def pending(self) -> bool:
        """Whether the CPU is asked for an interrupt."""
        return bool(lib.kc_pic_pending(self._core.raw))

    def is_masked(self, line: int) -> bool:
        """Whether a request on a line (0 to 15) can never reach the CPU as things stand."""
        return bool(lib.kc_pic_is_masked(self._core.raw, line))

    def request(self, line: int) -> None:
        """A device raises its line (0 to 15)."""
        lib.kc_pic_request(self._core.raw, line)

    def acknowledge(self) -> int:
        """The CPU takes the interrupt: its vector. Without a pending one it is the spurious line 7."""
        vector: int = lib.kc_pic_acknowledge(self._core.raw)
        return vector

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        value: int = lib.kc_pic_in(self._core.raw, port, size)
        return value

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        lib.kc_pic_out(self._core.raw, port, size, value)


class Interrupts:
    """The controllers, the timers and the clock of one machine.

    Args:
        core: Of the machine.
        cpu: Of the machine.
        states: Those of the devices.

    Attributes:
        pic: The pair of 8259.
        ports: Those of what the core has: the interrupt controllers, and the interval timer (native/core/pit.c).
    """

    def __init__(self, core: Core, cpu: Cpu, states: DeviceStates) -> None:
        self._core, self._cpu, self._states = core, cpu, states
        self.pic = Pic(core)
        self.ports = (*self.pic.ports, *_TIMER_PORTS)
        for port in _TIMER_PORTS:
            lib.kc_port_out(core.raw, port, PortMode.PIT, 0)
            lib.kc_port_in(core.raw, port, PortMode.PIT, 0)
        self._timers: list[tuple[Ticking, int | None]] = []
        self._due: list[tuple[int, Ticking, int | None]] = []  # as timers said it last
        self._look_ns = _NEVER
        self._attended: Callable[[], bool] | None = None
        self.instruction_ns = INSTRUCTION_NS
        core.idle = self._idle

    @cached_property
    def apics(self) -> ApicBus:
        """What connects the APICs with each other, and with the CPU."""
        from emulator.devices.apic.bus import ApicBus  # not until there are any

        apics = ApicBus(self._apics_changed, lambda: lib.kc_nmi(self._core.raw))
        self._core.apic_acknowledge, self._core.apic_line = self._apic_acknowledge, self._apic_line
        return apics

    @property
    def instruction_ns(self) -> int:
        """Virtual time that an instruction takes, 1 or more. A slow CPU gets its ticks after few instructions."""
        return self._instruction_ns

    @instruction_ns.setter
    def instruction_ns(self, nanoseconds: int) -> None:
        self._instruction_ns = nanoseconds
        lib.kc_clock_rate(self._core.raw, nanoseconds)

    @property
    def last_fault(self) -> Fault | None:
        """The newest exception that was no `int n`."""
        return self._cpu.last_fault()

    def now_ns(self) -> int:
        """Virtual time since the machine was made."""
        now: int = lib.kc_clock_ns(self._core.raw)
        return now

    def add_timer(self, timer: Ticking, line: int | None) -> None:
        """Let a timer of Python's tick from now on.

        Args:
            timer: It.
            line: Its interrupt line, if it has any.
        """
        self._timers.append((timer, line))
        self.timer_moved()

    def timer_moved(self) -> None:
        """Take into account that the next tick of a timer of Python's may have moved."""
        self._due = [
            (due, timer, line) for timer, line in self._timers if (due := timer.next_tick_ns()) is not None
        ]
        self._limit()

    def look_at(self, time_ns: int | None) -> None:
        """End the present run of the CPU at this time, or where the guest wakes up after it; None: never."""
        self._look_ns = _NEVER if time_ns is None else time_ns
        self._limit()

    def attend(self, timer: Ticking, line: int, listens: Callable[[], bool]) -> None:
        """Let somebody outside take part, who may give a guest that waits what it waits for, however long that takes.

        Args:
            timer: Ticks from now on.
            line: The interrupt line (0 to 15) that the guest waits for; where that is masked, it waits for something else.
            listens: Says whether anything may come.
        """
        self._attended = listens
        self.add_timer(timer, line)

    def waited_ns(self) -> int:
        """Return for how long the guest was in `hlt` since the machine was made, snapshots or not."""
        waited: int = lib.kc_clock_waited(self._core.raw)
        return waited

    def is_heard(self, line: int) -> bool:
        """Tell whether the guest takes interrupts of a line, if it were the only one: now, or before long, as it has taken the timer's."""
        if self.pic.is_masked(line):
            return False
        takes_ticks = not self.pic.is_masked(_TIMER_LINE) and not self.pic.pending
        return takes_ticks or bool(self._cpu.registers().eflags & Eflags.IF)

    def ran(self, instructions: int) -> None:
        """The CPU ran: move the clock and let devices catch up."""
        if lib.kc_clock_ran(self._core.raw, instructions):
            self._catch_up()

    def _idle(self) -> None:
        """The CPU waits: jump to the next tick that wakes it, if there is one."""
        jumps = 0
        while jumps < _JUMPS or (self._attended is not None and self._attended()):
            jumps += 1
            if lib.kc_irq_waits(self._core.raw):
                break
            if not lib.kc_may_run(self._core.raw):  # the time is over
                self._core.request_stop()
                break
            ticks = [lib.kc_clock_next_wake(self._core.raw)]
            for timer, line in self._timers:
                is_open = line is None or not self.pic.is_masked(line)
                if is_open and (due := timer.next_tick_ns()) is not None:
                    ticks.append(due)
            if min(ticks) == _NEVER:
                break
            lib.kc_clock_skip_to(self._core.raw, min(ticks))
            self._catch_up()

    def _limit(self) -> None:
        first = min(self._due, key=itemgetter(0))[0] if self._due else _NEVER
        lib.kc_clock_limit(self._core.raw, min(first, self._look_ns))

    def switch_apic_off(self) -> None:
        """The CPU is told to do without its local APIC."""
        self._states.all_touched()
        self.apics.switch_off()

    def _apic_acknowledge(self) -> int:
        self._states.all_touched()
        return self.apics.acknowledge()

    def _apic_line(self, line: int) -> None:
        self._states.all_touched()
        self.apics.pulse(line)

    def _apics_changed(self) -> None:
        apics = self.apics
        lib.kc_apic_says(self._core.raw, apics.is_waiting(), apics.passes_8259(), apics.open_lines())

    def _catch_up(self) -> None:
        """Let timers of Python's tick up to now."""
        if not self._due:
            return
        now = self.now_ns()
        ticking = [(timer, line) for due, timer, line in self._due if due <= now]
        for timer, line in ticking:
            self._states.touched(timer)
            if timer.take_ticks(now) and line is not None:
                self.pic.request(line)
        if ticking:
            self.timer_moved()
