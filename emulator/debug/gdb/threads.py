"""Threads of the client."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from emulator.debug.gdb.answers import OK, Refused, answer
from emulator.debug.gdb.registers import register_values
from emulator.debug.threads import CPU, thread_of, threads_of
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from emulator.debug.gdb.answers import Answer
    from emulator.guest.tasks import GuestTask, TaskReader
    from emulator.machine.machine import Machine

_ID = rb"(0|-1|[0-9a-fA-F]{1,8})"


class Threads:
    """The threads of a machine as it stands.

    Args:
        machine: That stands still.
        reader: Of its kernel's tasks; None: none are known.

    Attributes:
        is_alone: Whether the client wants one thread to move, and no other.
    """

    def __init__(self, machine: Machine, reader: TaskReader | None) -> None:
        self._machine = machine
        self._reader = reader
        self._chosen = 0  # for registers and memory; 0: that which runs
        self.is_alone = False
        self.answers: tuple[Answer, ...] = (
            answer("H", rb"([gc])" + _ID, self._choose),
            answer("T", _ID, self._is_alive),
            answer("qC", b"", lambda: b"QC%x" % self.running()),
            answer("qfThreadInfo", b"", lambda: b"m" + b",".join(b"%x" % each for each in self._all())),
            answer("qsThreadInfo", b"", lambda: b"l"),
            answer("qThreadExtraInfo", b"," + _ID, self._description),
        )

    def running(self) -> int:
        """Return the thread that the CPU executes."""
        if self._reader is None:
            return CPU
        return thread_of(self._number())

    def check(self, thread: int) -> None:
        """Check that there is a thread.

        Raises:
            Refused: There is none.
        """
        self._task(thread)

    def name(self, thread: int) -> str:
        """Return what a thread is called.

        Raises:
            Refused: There is no such thread.
        """
        return self._name(self._task(thread))

    def goes_on_at(self, thread: int) -> int | None:
        """Return the linear address of the instruction with which a thread that waits goes on; None: it is not known."""
        task = self._all().get(thread)
        eip = None if task is None else task.registers.get("eip")
        return None if eip is None else self._machine.registers().cs_base + eip & WORD_MAX

    def chosen_registers(self) -> dict[str, int]:
        """Return the registers of the thread that the client has chosen, as far as they are known."""
        if self.is_running_chosen():
            return register_values(self._machine)
        return dict(self._all()[self._chosen].registers)

    def is_running_chosen(self) -> bool:
        """Return whether the client has chosen the thread that runs."""
        return self._chosen in (0, self.running()) or self._chosen not in self._all()

    def forget_choice(self) -> None:
        """Let the thread that runs be chosen: the machine has moved."""
        self._chosen = 0

    def document(self) -> str:
        """Return the XML document with all threads."""
        lines = (
            f'<thread id="{number:x}" core="0" name={quoteattr(self._name(task))}>{escape(task.state)}</thread>'
            for number, task in self._all().items()
        )
        return "\n".join(['<?xml version="1.0"?>', "<threads>", *lines, "</threads>"])

    def _name(self, task: GuestTask) -> str:
        return "CPU" if self._reader is None else task.name

    def _number(self) -> int:
        try:
            return 0 if self._reader is None else self._reader.running()
        except IndexError:  # the kernel's symbols do not lie in memory
            return 0

    def _all(self) -> dict[int, GuestTask]:
        """Return all threads by their ids."""
        return threads_of(self._reader)

    def _choose(self, what: bytes, thread: bytes) -> bytes:
        number = int(thread, 16)
        if number > 0:
            self.check(number)
        if what == b"g":
            self._chosen = max(number, 0)
        else:
            self.is_alone = number > 0
        return OK

    def _task(self, thread: int) -> GuestTask:
        task = self._all().get(thread)
        if task is None:
            raise Refused(errno.ESRCH, f"there is no thread {thread}")
        return task

    def _is_alive(self, thread: bytes) -> bytes:
        self.check(int(thread, 16))
        return OK

    def _description(self, thread: bytes) -> bytes:
        task = self._task(int(thread, 16))
        return f"{self._name(task)}: {task.state}".encode().hex().encode()
