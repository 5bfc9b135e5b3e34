"""The threads that debuggers show: the tasks of a kernel whose tasks are known, or the CPU.

The id of a task's thread is the task's id. What is no task, as the kernel's start and its idle loop, is the thread `KERNEL`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.tasks import RUNNING_KERNEL

if TYPE_CHECKING:
    from emulator.guest.tasks import GuestTask, TaskReader

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
