"""The fixture ``kernel``: give one test a booted kernel."""

from __future__ import annotations

import sys
from bisect import bisect_right
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp, EmulatorError, GuestStopped, unknown_function
from emulator.machine.execution import Returned
from emulator.pytest_plugin.guest_failure import last_lines
from emulator.pytest_plugin.guest_memory import GuestMemory, NoObject
from emulator.pytest_plugin.machines import add_facts, do_nothing
from emulator.pytest_plugin.mistakes import Mistakes, lines_of
from emulator.report.text.ending import ending_text
from emulator.run.to_end import ending_of
from emulator.wording import code_location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drgn import Object

    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.execution import Outcome
    from emulator.machine.machine import Machine
    from emulator.pytest_plugin.machines import BootedKernel
    from kernel_model.address_space import AddressSpace

_TEXT_SHOWN = 60


class Kernel:
    """A kernel at the end of its boot. What a test does to it is gone after the test.

    Attributes:
        memory: Typed loads and stores at the addresses that the kernel uses.
        died: Whether it has stopped in a way after which its structures may be half changed.
    """

    def __init__(self, booted: BootedKernel) -> None:
        self._booted = booted
        self._machine = booted.machine
        self.memory = GuestMemory(booted.machine)
        self.died = False
        self._printed_before = len(booted.output())
        self._expected_up_to = self._printed_before
        self._calls_made: list[tuple[int, str]] = []

    @property
    def machine(self) -> Machine:
        """The whole PC. Layers, probes and callbacks that are added to it stay for the tests that follow."""
        return self._machine

    @property
    def console(self) -> str:
        """What the kernel has printed since the test began: on COM1, or if it never uses that, on port 0xE9."""
        return self._booted.output()[self._printed_before :].decode("utf-8", "replace")

    def call(
        self,
        function: str | int,
        *arguments: int,
        max_instructions: int | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """Call a function of the kernel and return EAX, unsigned.

        Args:
            function: Its symbol or address.
            arguments: 32-bit words, signed or unsigned, pushed as cdecl has it.
            max_instructions: Budget.
            timeout_s: Budget in seconds of the host; None: the configured one.

        Raises:
            KernelMismatch: The kernel has no such symbol.
            GuestStopped: The function did not return.
        """
        __tracebackhide__ = True
        if self._booted.log is not None:
            self._note_call(sys._getframe(1).f_code.co_filename, sys._getframe(1).f_lineno)  # noqa: SLF001 - Python's own way
        try:
            with self._booted.deadline(timeout_s):
                return self._machine.call(function, *arguments, max_instructions=max_instructions)
        except EmulatorError as error:
            self._explain(error)
            raise error.with_traceback(None) from None  # our own frames help nobody

    def run(
        self,
        *,
        max_instructions: int | None = None,
        timeout_s: float | None = None,
        until: str = "",
        until_idle: bool = False,
    ) -> Outcome:
        """Let the kernel go on from where it stands, until it exits or halts for good.

        Args:
            max_instructions: Budget.
            timeout_s: Budget in seconds of the host; None: the configured one.
            until: The run ends when a console or the text screen shows this text.
            until_idle: The run ends when the kernel has done nothing but wait, for input or ticks, for two seconds of virtual time.

        Raises:
            BudgetUsedUp: A budget is used up; the kernel can go on with another run.
            GuestStopped: It cannot go on.
        """
        __tracebackhide__ = True
        try:
            with self._booted.deadline(timeout_s):
                outcome = self._machine.run(
                    max_instructions=max_instructions, until=until, until_idle=until_idle
                )
        except EmulatorError as error:
            self._explain(error)
            raise error.with_traceback(None) from None
        if outcome.ending is Returned.BAD_ACCESS:
            location = code_location(*self._machine.image.location(outcome.eip))
            stopped = GuestStopped("the kernel was stopped before a bad access", outcome.eip, location)
            self._explain(stopped)
            raise stopped
        return outcome

    def expect(
        self, text: str, *, max_instructions: int | None = None, timeout_s: float | None = None
    ) -> str:
        """Let the kernel go on until its console has said something, after what was expected before.

        Args:
            text: What.
            max_instructions: Budget.
            timeout_s: Budget in seconds of the host; None: the configured one.

        Returns:
            What it has printed from there up to the end of *text*.

        Raises:
            AssertionError: It never said that; the message has the last lines that it did say.
            GuestStopped: It died before.
        """
        __tracebackhide__ = True
        wanted = text.encode()
        if self._end_of(wanted) < 0:
            how = self._run_until_said(wanted, max_instructions, timeout_s)
            if self._end_of(wanted) < 0:
                shown = text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + "..."
                raise AssertionError(
                    "\n".join([f"the console never said {shown!r}: {how}", *last_lines(self.console)])
                )
        end = self._end_of(wanted)
        said = self._booted.output()[self._expected_up_to : end].decode("utf-8", "replace")
        self._expected_up_to = end
        return said

    def keys(self, text: str) -> None:
        """Type on the keyboard when the kernel goes on and listens; ``{enter}``, ``{up}``, ``{f1}``, ``{ctrl+c}`` are keys.

        Raises:
            UnknownKey: A character is on no key of a US keyboard, or there is no such key.
        """
        __tracebackhide__ = True
        self._machine.keys(text)

    def send(self, data: bytes) -> None:
        """Send bytes to COM1, where they wait until the kernel reads them."""
        self._machine.send(data)

    def address_space(self, cr3: int | None = None) -> AddressSpace:
        """Return the address space in use, or that of the page directory at a physical address; `Machine.address_space`."""
        return self._machine.address_space(cr3)

    def symbol(self, name: str) -> int:
        """Return the address of a symbol, as linked.

        Raises:
            KernelMismatch: The kernel has none of this name.
        """
        __tracebackhide__ = True
        symbol = self._machine.image.symbol(name)
        if symbol is None:
            raise unknown_function(self._machine.image.path, name)
        return symbol.address

    def object(self, name: str) -> Object:
        """Return a variable of the kernel with its type, as a drgn object: ``kernel.object("memmap").bitmap``.

        Raises:
            NoObject: drgn is not installed, or the kernel's debug information has no such variable.
        """
        __tracebackhide__ = True
        path = self._machine.image.path
        try:
            return self._booted.objects.object(name)
        except EmulatorError as error:
            raise error.with_traceback(None) from None
        except LookupError:
            raise NoObject(f"{path}: no variable {name!r} in its debug information") from None

    def snapshot(self) -> Snapshot:
        """Keep the state; as a context manager it comes back at the end of the block. Snapshots nest."""
        return self._machine.snapshot()

    def called_from(self, event: int) -> str:
        """Return the line of the test, "test_heap.py:12", whose call led to an event of the recording; "" for none."""
        index = bisect_right(self._calls_made, event, key=lambda made: made[0]) - 1
        return self._calls_made[index][1] if index >= 0 else ""

    def _note_call(self, file: str, line: int) -> None:
        events = self._booted.log.recording.event_count + 1 if self._booted.log else 0
        while self._calls_made and self._calls_made[-1][0] >= events:  # the machine went back to a snapshot
            self._calls_made.pop()
        self._calls_made.append((events, f"{PurePath(file).name}:{line}"))

    def _run_until_said(self, wanted: bytes, max_instructions: int | None, timeout_s: float | None) -> str:
        """Run; return how that ended."""
        __tracebackhide__ = True
        with self._stopping_at(wanted):
            try:
                outcome = self.run(max_instructions=max_instructions, timeout_s=timeout_s)
            except BudgetUsedUp as error:
                self.died = False
                return error.problem
        if outcome.ending is Returned.ASKED:
            return "it was said"
        return ending_text(ending_of(self._machine, outcome))

    @contextmanager
    def _stopping_at(self, wanted: bytes) -> Iterator[None]:
        def check() -> None:
            if self._end_of(wanted) >= 0:
                self._machine.stop()

        self._booted.on_output = check
        try:
            yield
        finally:
            self._booted.on_output = do_nothing

    def _end_of(self, wanted: bytes) -> int:
        """Where *wanted* ends in the output; -1 if it is not there."""
        output = self._booted.output()
        start = output.find(wanted, min(self._expected_up_to, len(output)))
        return start if start < 0 else start + len(wanted)

    def _explain(self, error: EmulatorError) -> None:
        if isinstance(error, GuestStopped):
            self.died = True
            add_facts(error, self._booted.machine, self.console)
            if self._booted.halted_at:
                mistakes = Mistakes(self, self._booted)
                error.add_note("\n".join(lines_of(map(mistakes.for_people, self._booted.halted_at))))
