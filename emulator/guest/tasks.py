"""The tasks of a kernel that is known: which there are, which one the CPU executes, and with what registers the others go on.

Theory. A kernel says in a variable which task is current, but it says so some instructions before or after the switch. What the CPU executes
belongs to the task whose stack it uses; in ring 3, where the stack is the task's own business, the variable is right.

A task that does not run has its registers where the kernel's switch has pushed them. Only of code that is known byte by byte is
it known where that is; of others the registers are not known.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from emulator.errors import BadImage
from emulator.hle.kernels import load, recognize
from emulator.x86 import WORD_MAX, WORD_SIZE
from kernel_model.btron.tcb import TaskState, WaitKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.machine.machine import Machine
    from emulator.profile.tasks import TaskRules
    from kernel_model.btron.abi import Btron
    from kernel_model.btron.tcb import Task

_RING: Final = 3  # bits of a selector
_SWITCH: Final = "switch_context"
_SWITCH_CODE: Final = bytes.fromhex("8b4424048b54240855535657892089d45f5e5b5dc3")
"""What pushes EBP, EBX, ESI, EDI, keeps ESP at where its first argument points, and continues the second (firmware/btron/switch.S)."""
_PUSHED: Final = ("edi", "esi", "ebx", "ebp", "eip")
_STATES: Final = {TaskState.DORMANT.value: "dormant", TaskState.READY.value: "ready"}
_WAITS: Final = {
    WaitKind.SLEEP.value: "sleeps",
    WaitKind.MPL.value: "waits for memory pool {}",
    WaitKind.MPF.value: "waits for fixed-size memory pool {}",
}


class GuestTask(NamedTuple):
    """A task of the guest kernel.

    Attributes:
        number: Its id; 0: what is no task, as the kernel's start, or its idle loop.
        state: What it does, in words.
        is_running: The CPU executes it.
        registers: Of one that does not run, those general registers, and EIP, with which it goes on and that are known.
        title: What the kernel calls it; "": nothing, or that is not known.
    """

    number: int
    state: str
    is_running: bool
    registers: Mapping[str, int]
    title: str = ""

    @property
    def name(self) -> str:
        """What it is called: ``task 3``, ``task 3 sh``."""
        return f"task {self.number} {self.title}".rstrip() if self.number else "kernel"


RUNNING_KERNEL: Final = GuestTask(0, "running", is_running=True, registers=MappingProxyType({}))
"""What is no task, while it runs."""


class TaskReader(Protocol):
    """Reads the tasks of one kernel on one machine, as it stands."""

    def running(self) -> int:
        """Return the id of the task that the CPU executes; 0: none.

        Raises:
            IndexError: The kernel's symbols do not lie in memory.
        """

    def tasks(self) -> Sequence[GuestTask]:
        """Return all tasks, and what is none where it runs or has run; exactly one of them runs.

        Raises:
            IndexError: See `running`.
        """


def task_reader(machine: Machine, rules: TaskRules | None = None) -> TaskReader | None:
    """Return what reads the tasks of a machine's kernel; None: it has none, or they are not known.

    Args:
        machine: Runs the kernel.
        rules: Of the kernel's profile; they count where no other way is known.

    Raises:
        KernelMismatch: The kernel's debug information lacks what the rules name.
    """
    try:
        found = recognize(machine)
    except BadImage:
        found = None
    if found is not None and found[0].tasks:
        kernel, models = found
        reader: TaskReader = load(kernel.tasks)(machine, models)
        return reader
    if rules is None:
        return None
    from emulator.guest.described_tasks import DescribedTasks  # few profiles describe any

    return DescribedTasks(machine, rules)


class BtronTasks:
    """The tasks of BTRON/386. See `emulator.hle.kernels.Kernel.tasks`.

    Args:
        machine: Runs the kernel.
        btron: The kernel's models on it.
    """

    def __init__(self, machine: Machine, btron: Btron) -> None:
        self._machine = machine
        self._tasks = btron.tasks

    def running(self) -> int:
        """Return the id of the running task; see `TaskReader`."""
        registers = self._machine.registers()
        if registers.cs & _RING:
            return self._tasks.current()
        esp = registers.on_stack(registers.esp)
        numbers = (task.number for task in self._tasks.tasks())
        return next((number for number in numbers if self._tasks.stack(number).holds(esp)), 0)

    def tasks(self) -> list[GuestTask]:
        """Return all tasks; see `TaskReader`."""
        running = self.running()
        found = [
            GuestTask(
                task.number, _state(task, running), task.number == running, self._registers(task, running)
            )
            for task in self._tasks.tasks()
        ]
        if not running:
            found.insert(0, RUNNING_KERNEL)
        elif self._tasks.stack(0).esp:
            found.insert(0, GuestTask(0, "idle", is_running=False, registers=self._pushed(0)))
        return found

    def _registers(self, task: Task, running: int) -> Mapping[str, int]:
        if task.number == running or task.state == TaskState.DORMANT:
            return {}
        return self._pushed(task.number)

    def _pushed(self, number: int) -> Mapping[str, int]:
        """Return the registers with which a task comes back from the switch; empty where they are not known."""
        machine = self._machine
        switch = machine.image.symbols.get(_SWITCH)
        if switch is None or machine.read_linear(switch.address, len(_SWITCH_CODE)) != _SWITCH_CODE:
            return {}
        return pushed_registers(machine, self._tasks.stack(number).esp, _PUSHED)


def _state(task: Task, running: int) -> str:
    if task.number == running:
        state = "running"
    elif task.state == TaskState.WAIT:
        state = _WAITS.get(task.wait_kind, "waits").format(task.wait_id)
    else:
        state = _STATES.get(task.state, f"state {task.state}")
    return f"{state}, priority {task.priority}"


def pushed_registers(machine: Machine, esp: int, pushed: Sequence[str]) -> dict[str, int]:
    """Return the registers that a switch of tasks has pushed, and ESP as it is without them; empty where they cannot be read.

    Args:
        machine: Stopped.
        esp: Linear address of the lowest one; 0: there are none.
        pushed: Their names, upwards from there.
    """
    size = WORD_SIZE * len(pushed)
    data = machine.read_linear(esp, size) if esp else b""
    if len(data) < size:
        return {}
    words = (int.from_bytes(data[at : at + WORD_SIZE], "little") for at in range(0, size, WORD_SIZE))
    return {**dict(zip(pushed, words, strict=True)), "esp": esp + size & WORD_MAX}
