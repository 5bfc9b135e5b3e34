"""The threads that debuggers show: the tasks of a kernel whose tasks are known, or the CPU.

The id of a task's thread is the task's id. What is no task, as the kernel's start and its idle loop, is the thread `KERNEL`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.symbolizer import Symbolizer
from emulator.guest.tasks import RUNNING_KERNEL
from emulator.machine.call_stack import callers_of_call
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame
    from emulator.guest.tasks import GuestTask, TaskReader
    from emulator.machine.machine import Machine

CPU: Final = 1
"""The one thread where no tasks are known."""
KERNEL: Final = 1000


def thread_of(task: int) -> int:
    """Return the thread of a task, by the number that `GuestTask` has."""
    return task or KERNEL


def threads_of(reader: TaskReader | None) -> dict[int, GuestTask]:
    """Return all threads by their ids; without a reader the CPU alone."""
    if reader is None:
        return {CPU: RUNNING_KERNEL}
    try:
        tasks = reader.tasks()
    except IndexError:  # the kernel's symbols do not lie in memory
        tasks = [RUNNING_KERNEL]
    return {thread_of(task.number): task for task in tasks}


def parked_frames(machine: Machine, task: GuestTask) -> tuple[Frame, ...]:
    """Return the frames of a task that does not run: where it goes on, and the calls around that; none where its registers are not known."""
    registers = task.registers
    if "eip" not in registers:
        return ()
    symbolizer = Symbolizer(machine.image)
    frame = symbolizer.instruction(registers["eip"])
    if (
        not frame.offset or not {"esp", "ebp"} <= registers.keys()
    ):  # it has not begun, or its stack is not known
        return (frame,)
    slot = registers["esp"] - WORD_SIZE & WORD_MAX
    found = callers_of_call(machine, slot, registers["ebp"]).return_addresses
    return symbolizer.callers(found) if found[:1] == (registers["eip"],) else (frame,)
