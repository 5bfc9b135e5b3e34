"""Steps of one thread, during which the others run.

Another thread may run after an instruction: it has switched tasks. A step of the one that was to be stepped then ends where that runs again, as a debugger expects of any
system that runs programs. It goes on where it has stopped running, or where the kernel has put down that it will; going back, it has run at the same instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.debug.gdb.accesses import undone
from emulator.debug.stop import StopKind
from emulator.guest.disassembler import address_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug.gdb.threads import Threads
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop


class Steps:
    """Steps the threads of one machine.

    Args:
        debugger: Of the machine.
        threads: Of the machine.
    """

    def __init__(self, debugger: Debugger, threads: Threads) -> None:
        self._debugger = debugger
        self._threads = threads

    def forwards(self, thread: int, addresses: range = range(0), *, alone: bool = False) -> Stop:
        """Step a thread until its EIP is not one of *addresses*, or something else stops the machine; one step at least.

        Args:
            thread: By its number.
            addresses: From which on to which it is stepped.
            alone: Stop where another thread runs.

        Raises:
            ValueError: The thread does not run, and where it will is not known.
        """
        stop = None if thread == self._threads.running() else self._until_runs(thread, alone=alone)
        while stop is None or stop.kind is StopKind.STEP:
            stop = self._step(thread, alone=alone)
            if alone and thread != self._threads.running():
                break
            if self._debugger.machine.registers().eip not in addresses:
                break
        return stop

    def backwards(self, step_back: Callable[[], Stop], *, alone: bool) -> Stop:
        """Step the running thread back by an instruction, or to where something else stops the machine.

        Args:
            step_back: Goes back by an instruction of whatever runs.
            alone: Stop where another thread has run.
        """
        thread = self._threads.running()
        stop = step_back()
        if stop.kind is not StopKind.STEP or alone or self._threads.running() == thread:
            return stop
        here = stop.moment
        before = self._debugger.run_back_to(self._debugger.machine.registers().pc, self._runs(thread))
        return self._debugger.go_to(here) if before.kind is StopKind.START else undone(self._debugger, before)

    def _until_runs(self, thread: int, *, alone: bool) -> Stop:
        """Go on to where a thread that waits runs."""
        goes_on = self._threads.goes_on_at(thread)
        if alone:
            raise ValueError(f"thread {thread} does not run: alone only what runs can be stepped")
        if goes_on is None:
            raise ValueError(f"thread {thread} does not run, and where it will is not known")
        return self._debugger.run_to(goes_on, self._runs(thread))

    def _step(self, thread: int, *, alone: bool) -> Stop:
        """Execute an instruction of the running thread, and go on to where it runs again."""
        machine = self._debugger.machine
        before = machine.registers().pc
        stop = self._debugger.step()
        if stop.kind is not StopKind.STEP or alone or self._threads.running() == thread:
            return stop
        goes_on = self._threads.goes_on_at(thread)
        after = {address_after(machine, before)} | (set() if goes_on is None else {goes_on})
        return self._debugger.run_to(after, self._runs(thread))

    def _runs(self, thread: int) -> Callable[[Debugger], bool]:
        return lambda _: self._threads.running() == thread
