"""Tasks as far as memory pools touch them: task control blocks, ready queues, wait queues.

Theory. A task is a ``struct tcb``; ids are 1 to 32 and index the table. It is linked, by ids through ``next`` and ``prev``
(0 = none), into at most one queue: the ready queue of its priority, or the queue of the pool that it waits for. The
running task is READY and stays in its ready queue. Priorities are 1 (most urgent) to 31.

A model never switches contexts. `Tasks.begin_wait` takes the current task out of its ready queue and puts it into a wait
queue; `Tasks.end_wait` does the reverse, notes the code that the interrupted call will answer (``wercd``), and
asks for a dispatch (``need_dispatch``) if the task is more urgent than the current one. The switching is up to the
guest's native code, which finds these words.

Whatever ends a wait leaves what it waited for, and its deadline, as stale words.

Shortcoming. The queues are believed; one that the guest broke is noticed when it does not end, or names a task or
a priority that cannot be (`BrokenStructure`). C goes on with whatever lies there.

Source: spec 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import BrokenStructure, Defect, Invariant, variable
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.tcb import (
    MAX_TASKS,
    PRIORITIES,
    TMO_FEVR,
    TMO_POL,
    Task,
    TaskStack,
    TaskState,
    WaitKind,
)
from kernel_model.structs import TCB, WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.audit import Location
    from kernel_model.btron.kernel_globals import Globals
    from kernel_model.btron.tcb import Wait
    from kernel_model.memory import Memory

_WORD_MASK: Final = 0xFFFF_FFFF
_STEPS_MAX: Final = 1000
"""A queue that is longer does not end: it has no more than `MAX_TASKS`."""

_TSKID: Final = TCB.offset("tskid")
_STATE: Final = TCB.offset("state")
_PRIORITY: Final = TCB.offset("priority")
_NEXT: Final = TCB.offset("next")
_PREV: Final = TCB.offset("prev")
_WAIT_KIND: Final = TCB.offset("wait_kind")
_WAIT_ID: Final = TCB.offset("wait_id")
_WAIT_SIZE: Final = TCB.offset("wait_size")
_WAIT_OUT: Final = TCB.offset("wait_out")
_WERCD: Final = TCB.offset("wercd")
_DEADLINE: Final = TCB.offset("deadline_lo")
_HAS_DEADLINE: Final = TCB.offset("has_deadline")

_WAIT_FOR: Final = Invariant("task-wait-id", "there is no such pool")
_TASK_ID: Final = Invariant("task-id", "there is no such task")
_OWN_ID: Final = Invariant("task-own-id", "that is another task")
_PRIORITIES: Final = Invariant("task-priority", "there is no such priority")
_QUEUE_END: Final = Invariant(
    "task-queue-end", "the task queue at 0x{:08x} is broken: it does not end", names_word=True
)
_QUEUED_TASK: Final = Invariant(
    "task-queue-task", "the task queue at 0x{:08x} is broken: there is no task 0x{:x}", names_word=True
)


class Tasks:
    """Task control blocks and queues in guest memory.

    Args:
        memory: Physical guest memory.
        addresses: Where the kernel's globals lie.
    """

    def __init__(self, memory: Memory, addresses: Globals) -> None:
        self._memory = memory
        self.addresses = addresses

    def exists(self, number: int) -> bool:
        """Return whether there is a task with an id from 1 to 32."""
        return self._load(number, _STATE) != TaskState.NON_EXISTENT

    def current(self) -> int:
        """Return the id of the running task, or 0."""
        return self._memory.load_u32(self.addresses.current_task)

    def check_may_wait(self, timeout: int) -> None:
        """Accept a call that waits for *timeout* ms, if need be.

        Raises:
            BtronError: E_CTX: it might wait, but dispatching is disabled or no task is running.
        """
        if timeout == TMO_POL:
            return
        if self._memory.load_u32(self.addresses.sys_dispatch_disabled) or not self.current():
            raise BtronError(Error.E_CTX)

    def init(self) -> None:
        """Let nothing be dispatched before the scheduler is started. C: ``tasks_init``."""
        self._memory.store_u32(self.addresses.sys_dispatch_disabled, 1)

    def begin_wait(self, head: int, wait: Wait, *, by_priority: bool) -> None:
        """Let the current task wait.

        Args:
            head: Physical address of the word that holds the queue's first task.
            wait: What for.
            by_priority: Queue before the first less urgent task; otherwise at the end.
        """
        number = self.current()
        self._check(number, self.addresses.current_task)
        tcb = self._tcb(number)
        store = self._memory.store_u32
        self._leave_ready_queue(number)
        store(tcb + _STATE, TaskState.WAIT)
        self._memory.store_words(tcb + _WAIT_KIND, (wait.kind, wait.number, wait.size, wait.out))
        if wait.timeout != TMO_FEVR:
            deadline = self._memory.load_u32(self.addresses.sys_tick) + wait.timeout
            store(tcb + _DEADLINE, deadline & _WORD_MASK)
        store(tcb + _HAS_DEADLINE, int(wait.timeout != TMO_FEVR))
        self._enqueue(head, number, by_priority=by_priority)

    def end_wait(self, head: int | None, number: int, code: int) -> None:
        """Make a waiting task ready.

        Args:
            head: Physical address of the word that holds its queue's first task; None for a sleeping task.
            number: Its id.
            code: What the call that it waits in will answer.
        """
        tcb = self._tcb(number)
        self._check(number, tcb)
        store = self._memory.store_u32
        if head is not None:
            self._dequeue(head, number)
        store(tcb + _WAIT_KIND, WaitKind.NONE)
        store(tcb + _WERCD, code & _WORD_MASK)
        store(tcb + _HAS_DEADLINE, 0)
        self._make_ready(number)

    def waiters(self, head: int) -> Iterator[int]:
        """Yield the ids of the tasks in a wait queue, first to last. Each may leave the queue when it was yielded.

        Raises:
            BrokenStructure: The queue is none.
        """
        number = self._memory.load_u32(head)
        for _ in range(_STEPS_MAX):
            if not number:
                return
            if number > MAX_TASKS:
                raise self._broken_queue(_QUEUED_TASK, head, number)
            following = self._load(number, _NEXT)
            yield number
            number = following
        raise self._broken_queue(_QUEUE_END, head)

    def first_waiters(self, head: int) -> Iterator[int]:
        """Yield the id of the first task in a wait queue, and again, until the queue is empty.

        Raises:
            BrokenStructure: It does not become empty.
        """
        for _ in range(_STEPS_MAX):
            number = self._memory.load_u32(head)
            if not number:
                return
            self._check(number, head)
            yield number
        raise self._broken_queue(_QUEUE_END, head)

    def waiting_for(self, number: int) -> tuple[int, int]:
        """Return kind and id of what a task waits for.

        Raises:
            BtronError: E_ID, E_NOEXS: there is no such task; E_OBJ: it does not wait.
        """
        if not 1 <= number <= MAX_TASKS:
            raise BtronError(Error.E_ID)
        state = self._load(number, _STATE)
        if state == TaskState.NON_EXISTENT:
            raise BtronError(Error.E_NOEXS)
        if state != TaskState.WAIT:
            raise BtronError(Error.E_OBJ)
        return self._load(number, _WAIT_KIND), self._load(number, _WAIT_ID)

    def wait_id_defect(self, number: int) -> Defect:
        """Return the defect of a task that waits for a pool that cannot be."""
        return Defect(_WAIT_FOR, "", self._member(number, "wait_id"), self._load(number, _WAIT_ID))

    def wait_size(self, number: int) -> int:
        """Return the bytes that a task waits for."""
        return self._load(number, _WAIT_SIZE)

    def wait_out(self, number: int) -> int:
        """Return the kernel address of the word that receives the block a task waits for."""
        return self._load(number, _WAIT_OUT)

    def tasks(self) -> list[Task]:
        """Return all tasks that exist, by id."""
        tasks = (self.task(number) for number in range(1, MAX_TASKS + 1))
        return [task for task in tasks if task.state != TaskState.NON_EXISTENT]

    def task(self, number: int) -> Task:
        """Return the task with an id from 1 to 32, whether or not it exists."""
        words = self._memory.load_words(self._tcb(number), len(TCB.fields))
        tcb = dict(zip(TCB.fields, words, strict=True))
        return Task(
            number=number,
            state=tcb["state"],
            priority=tcb["priority"],
            wait_kind=tcb["wait_kind"],
            wait_id=tcb["wait_id"],
            wait_size=tcb["wait_size"],
            wercd=tcb["wercd"] - (tcb["wercd"] >> 31 << 32),
            deadline=tcb["deadline_lo"] if tcb["has_deadline"] else None,
        )

    def stack(self, number: int) -> TaskStack:
        """Return where the kernel stack lies of the task with an id from 1 to 32, whether or not it exists; 0: of the idle task."""
        esp, start, size = (self._load(number, TCB.offset(each)) for each in ("esp", "stack", "stack_size"))
        return TaskStack(esp, start, size)

    def _tcb(self, number: int) -> int:
        """Return the physical address of a task's control block."""
        return self.addresses.tcb_table + TCB.size * number

    def _check(self, number: int, location: int) -> None:
        """Refuse a task that cannot be.

        Args:
            number: Its id.
            location: Physical address of the word that names it.

        Raises:
            BrokenStructure: The id is none, or the task's control block names another.
        """
        if not 1 <= number <= MAX_TASKS:
            raise BrokenStructure(Defect(_TASK_ID, "", variable("task id", location), number))
        named = self._load(number, _TSKID)
        if named != number:
            raise BrokenStructure(Defect(_OWN_ID, "", self._member(number, "tskid"), named))

    def _broken_queue(self, invariant: Invariant, head: int, *task: int) -> BrokenStructure:
        """Return what is raised for a queue whose first task is named at the physical address *head*."""
        queue = variable("task queue", head)
        return BrokenStructure(Defect(invariant, "", queue, self._memory.load_u32(head), (head, *task)))

    def _ready_queue(self, number: int) -> int:
        """Return where the words of a task's ready queue lie in ``ready_head`` and ``ready_tail``, as an offset.

        Raises:
            BrokenStructure: The task's priority cannot be.
        """
        priority = self._load(number, _PRIORITY)
        if priority not in PRIORITIES:
            raise BrokenStructure(Defect(_PRIORITIES, "", self._member(number, "priority"), priority))
        return WORD * priority

    def _member(self, number: int, field: str) -> Location:
        return variable("tcb_table", self._tcb(number), item=number).member(TCB, field)

    def _load(self, number: int, offset: int) -> int:
        return self._memory.load_u32(self._tcb(number) + offset)

    def _store(self, number: int, offset: int, value: int) -> None:
        self._memory.store_u32(self._tcb(number) + offset, value)

    def _enqueue(self, head: int, number: int, *, by_priority: bool) -> None:
        """Put a task into a wait queue: at the end, or before the first that is less urgent."""
        priority = self._ready_queue(number)
        before = after = 0
        for waiter in self.waiters(head):
            if by_priority and self._ready_queue(waiter) > priority:
                after = waiter
                break
            before = waiter
        self._memory.store_words(self._tcb(number) + _NEXT, (after, before))
        self._link(head, before, number)
        self._link_back(head, after, number)

    def _dequeue(self, head: int, number: int) -> None:
        """Take a task out of a wait queue; its own links stay for the queue that it enters next."""
        following, before = self._memory.load_words(self._tcb(number) + _NEXT, 2)
        self._link(head, before, following)
        self._link_back(head, following, before)

    def _link(self, head: int, before: int, number: int) -> None:
        """Let *number* follow the task *before*, or be the first where *before* is 0."""
        if before:
            self._check(before, head)
            self._store(before, _NEXT, number)
        else:
            self._memory.store_u32(head, number)

    def _link_back(self, head: int, number: int, before: int) -> None:
        """Let *before* stand in front of the task *number*, if there is one."""
        if number:
            self._check(number, head)
            self._store(number, _PREV, before)

    def _make_ready(self, number: int) -> None:
        """Append a task to the ready queue of its priority, and ask for a dispatch if it is the most urgent."""
        memory, addresses = self._memory, self.addresses
        at = self._ready_queue(number)
        tail = addresses.ready_tail + at
        last = memory.load_u32(tail)
        memory.store_words(self._tcb(number) + _NEXT, (0, last))
        self._link(addresses.ready_head + at, last, number)
        memory.store_u32(tail, number)
        self._store(number, _STATE, TaskState.READY)
        current = self.current()
        if current:
            self._check(current, addresses.current_task)
        if not current or at < self._ready_queue(current):
            memory.store_u32(addresses.need_dispatch, 1)

    def _leave_ready_queue(self, number: int) -> None:
        """Take a task out of its ready queue; its own links stay for the queue that it enters next."""
        following, before = self._memory.load_words(self._tcb(number) + _NEXT, 2)
        at = self._ready_queue(number)
        head, tail = self.addresses.ready_head + at, self.addresses.ready_tail + at
        self._link(head, before, following)
        self._link_back(head, following, before)
        if self._memory.load_u32(tail) == number:
            self._memory.store_u32(tail, self._load(number, _PREV))
