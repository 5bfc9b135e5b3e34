"""Random lives of BTRON/386's tasks, most of them in ring 3, with too few pages: the kernel knows each page's owners, and all come back.

Programs map, touch, share, grow their stacks, and end: by themselves, by a fault, by a fault inside a call, or by others. After
each step every page in use is explained by a stack, a directory, a table, a mapping, the shared text, or what the test has taken.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH, WINDOW, FirmwareSubject, Guest
from tests.helpers.ring3 import GET_TID, HEAP, SLP_TSK, STACK_END, TA_USER, TEXT, USABLE, UserTasks

if TYPE_CHECKING:
    from emulator.machine.core.snapshots import Snapshot

E_OK, E_NOMEM, E_PAR, E_NOEXS, E_OBJ, E_QOVR, E_RLWAI = 0, -10, -33, -52, -63, -73, -86
E_MACV: Final = -65
DORMANT, READY, WAIT = 1, 2, 4
PAGES: Final = 40
"""Pages of RAM: three tasks fit with what they ask for."""

TASKS: Final = (2, 3, 4, 5)
REGION: Final = 0x2000_0000
PRESENT: Final = 1
VMAP_REG: Final = 8

SLEEP: Final = f"mov ${SLP_TSK}, %eax; int $0x40\n"
OWN: Final = f"push %eax; mov %esp, %edx; push %edx; mov %esp, %ebx; mov ${GET_TID}, %eax; int $0x40; mov (%edx), %esi\n"
"""Puts the task's id into ESI."""


def maps(start: int, pages: int) -> str:
    """Return instructions that map pages of the task's own; ESI has its id. No page may be left for them."""
    return (
        f"push ${USABLE:#x}; push ${pages * PAGE:#x}; push ${start:#x}; push %esi; mov %esp, %ebx\n"
        f"mov ${VMAP_REG}, %eax; int $0x40\n"
    )


PROGRAMS: Final = (
    f"{SLEEP} ret",
    f"{OWN} {maps(HEAP, 3)} movl $1, {HEAP + PAGE:#x}; {SLEEP} mov ${STACK_END - 20:#x}, %esp; ret",
    f"movl $1, {STACK_END - 3 * PAGE:#x}; {SLEEP} movl $1, {STACK_END - 2 * PAGE:#x}; {SLEEP} movl $1, 0",
    f"{OWN} {maps(HEAP + 0x40_0000, 1)} {SLEEP} hlt",
    f"mov $1, %eax; push ${HEAP:#x}; mov %esp, %ebx; mov ${GET_TID}, %eax; int $0x40",
    f"1: {SLEEP} movl $1, {REGION:#x}; movl $1, {REGION + PAGE:#x}; jmp 1b",
)


class Booted(NamedTuple):
    """The kernel as `UserTasks` wants it."""

    machine: Machine

    @property
    def console(self) -> str:
        return self.machine.output[Console.SERIAL].decode()


@cache
def booted() -> Booted:
    machine = Machine(KernelImage.read(builtin.resolve("firmware:vm_demo")))
    machine.run()
    return Booted(machine)


@cache
def at_end() -> Snapshot:
    return booted().machine.snapshot()


tasks = st.sampled_from(TASKS)
programs = st.integers(0, len(PROGRAMS) - 1)


class LifeMachine(RuleBasedStateMachine):
    @initialize()
    def boot(self) -> None:
        at_end().reset()
        self.guest = Guest(FirmwareSubject(booted().machine))
        self.guest.boot(PAGES)
        self.tasks = UserTasks(self.guest, booted())
        self.starts = [self.tasks.load(source) for source in PROGRAMS]
        self.before = self.guest.pages()
        self.taken: list[int] = []
        self.stackless: set[int] = set()

    def call(self, name: str, *arguments: int, may: tuple[int, ...]) -> int:
        code = self.guest.er(name, *arguments)
        assert code in {E_OK, *may}, (name, arguments, code)
        return code

    @rule(task=tasks, program=programs, user=st.booleans() | st.just(value=True))
    def create(self, task: int, program: int, user: bool) -> None:
        start, attribute = (self.starts[program], TA_USER) if user else (SCRATCH, 0)
        packet = self.guest.packet(0, attribute, start, 5 if user else 20, 4 * PAGE)
        self.call("cre_tsk", task, packet, may=(E_NOMEM, E_OBJ))

    @rule(task=tasks)
    def start(self, task: int) -> None:
        """Start a task. Where that fails its regions are as they were."""
        before = self.guest.space(task)
        may = {E_MACV} if task in self.stackless else set()
        code = self.call("sta_tsk", task, 0, may=(E_NOMEM, E_OBJ, E_NOEXS, *may))
        if code == E_OK:
            self.has_nothing_if_it_has_ended(task)
        elif code != E_MACV:
            assert self.guest.space(task) == before

    @rule(task=tasks, name=st.sampled_from(["wup_tsk", "wup_tsk", "rel_wai", "ter_tsk", "del_tsk"]))
    def end(self, task: int, name: str) -> None:
        if self.call(name, task, may=(E_OBJ, E_NOEXS, E_QOVR)) == E_OK and name != "del_tsk":
            self.has_nothing_if_it_has_ended(task)

    def has_nothing_if_it_has_ended(self, task: int) -> None:
        if self.guest.tcb(task, "state") == DORMANT:
            self.stackless.discard(task)
            assert len(self.table_pages(self.guest.space(task)["directory"])) == 1

    @rule(task=tasks, pages=st.integers(1, 3))
    def furnish(self, task: int, pages: int) -> None:
        self.call("vcre_reg", task, REGION, 1, 4 * PAGE, USABLE, 0, may=(E_OBJ, E_NOEXS, E_NOMEM))
        self.call("vmap_reg", task, REGION, pages * PAGE, USABLE, may=(E_OBJ, E_NOEXS, E_NOMEM))

    @rule(task=tasks, to=tasks, start=st.sampled_from([REGION, HEAP, TEXT, STACK_END - 1]))
    def share(self, task: int, to: int, start: int) -> None:
        self.call("vshr_reg", task, to, start, may=(E_PAR, E_OBJ, E_NOEXS, E_NOMEM))

    @rule(task=tasks, start=st.sampled_from([REGION, HEAP, TEXT, STACK_END - 1]))
    def drop(self, task: int, start: int) -> None:
        """Delete a region, of a task that may run in it."""
        if self.call("vdel_reg", task, start, may=(E_PAR, E_NOEXS)) == E_OK and start == STACK_END - 1:
            self.stackless.add(task)

    @rule(task=tasks, start=st.sampled_from([REGION, HEAP, STACK_END - 1]))
    def unmap(self, task: int, start: int) -> None:
        if (
            self.call("vunm_reg", task, start, 1, may=(E_PAR, E_OBJ, E_NOEXS)) == E_OK
            and start == STACK_END - 1
        ):
            self.stackless.add(task)

    @rule(left=st.integers(0, 8))
    def take(self, left: int) -> None:
        """Leave no more than so many pages free."""
        while self.tasks.free > left:
            self.taken.append(self.guest.call("pmem_alloc", PAGE))

    @rule()
    def give_back(self) -> None:
        for page in self.taken:
            assert self.guest.er("pmem_free", page, PAGE) == E_OK
        self.taken.clear()

    def table_pages(self, directory: int) -> list[int]:
        """Return the page of a directory, of its tables for user space, none of which is empty, and each that they map."""
        pages = [directory // PAGE]
        for word in self.guest.words(directory, 512):
            if word & PRESENT:
                mapped = [entry // PAGE for entry in self.guest.words(word & -PAGE, 1024) if entry & PRESENT]
                assert mapped
                pages += [word // PAGE, *mapped]
        return pages

    @invariant()
    def every_owner_is_known(self) -> None:
        owners = Counter(page % KERNEL // PAGE for page in self.taken)
        owners[self.guest.get("text_pages") % KERNEL // PAGE] += 1
        for task in TASKS:
            if self.guest.tcb(task, "state"):
                stack, size = (self.guest.tcb(task, name) for name in ("stack", "stack_size"))
                owners.update(range(stack % KERNEL // PAGE, (stack % KERNEL + size) // PAGE))
                owners.update(self.table_pages(self.guest.space(task)["directory"]))
            else:
                assert self.guest.space(task)["directory"] == 0
        window = range(WINDOW // PAGE, WINDOW // PAGE + PAGES)
        assert {page: self.guest.page(page) for page in window} == {
            page: (int(owners[page] > 0), owners[page]) for page in window
        }

    @invariant()
    def the_test_runs_and_the_others_do_not(self) -> None:
        """Whoever is more urgent has run until it waits or has ended."""
        assert (self.guest.get("current_task"), self.guest.ready(10), self.guest.ready(5)) == (1, [1], [])
        assert all(line.startswith("task ") for line in self.tasks.console.splitlines())

    def teardown(self) -> None:
        for task in TASKS:
            self.end(task, "ter_tsk")
            self.end(task, "del_tsk")
        self.give_back()
        assert self.guest.pages() == self.before


TestLives = LifeMachine.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
