"""Spec 2.5 and 2.6: exceptions of tasks in ring 3. What can be resolved is; anything else ends the task, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH
from tests.conformance.btron.test_user_tasks import SLEEP, TASK, USER_KERNEL, call
from tests.helpers.ring3 import (
    GET_TID,
    HEAP,
    PROGRAM,
    PUT_CON,
    READ,
    STACK_END,
    TEXT,
    USABLE,
    USER,
    UserTasks,
    assembled,
)

if TYPE_CHECKING:
    from emulator.testing import Kernel
    from tests.conformance.btron.subjects import Guest

pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=USER_KERNEL)], indirect=True)

E_OK: Final = 0
DORMANT, WAIT = 1, 4
REGION: Final = 0x2000_0000
HANDLER: Final = SCRATCH + 0x800
SAW: Final = SCRATCH + 0x400
LIMIT: Final = STACK_END - 4 * PAGE
AT: Final = f"0x{PROGRAM:08x}"

ENDS: Final = [
    # what the program does, and the line after "task 2 ends: "
    ("movl $1, 0", f"write to 0x00000000 at {AT}, in no region"),
    ("movl 0x10, %eax", f"read of 0x00000010 at {AT}, in no region"),
    ("call 0", "execution of 0x00000000 at 0x00000000, in no region"),
    (f"movl %eax, {TEXT:#x}", f"write to 0x00400000 at {AT}, in a region that does not permit it"),
    ("movl 0x80101000, %eax", f"read of 0x80101000 at {AT}, in kernel space"),
    ("movl %eax, 0x80101000", f"write to 0x80101000 at {AT}, in kernel space"),
    ("movl %eax, 0xfffffffc", f"write to 0xfffffffc at {AT}, in kernel space"),
    ("call 0x80101000", "execution of 0x80101000 at 0x80101000, in kernel space"),
    (f"movl {HEAP:#x}, %eax", f"read of 0x10000000 at {AT}, where nothing is mapped"),
    (f"call {HEAP:#x}", "execution of 0x10000000 at 0x10000000, where nothing is mapped"),
    (f"movb %al, {LIMIT - 1:#x}", f"write to 0x{LIMIT - 1:08x} at {AT}, in no region"),
    (f"movb %al, {STACK_END:#x}", f"write to 0x{STACK_END:08x} at {AT}, in no region"),
    ("hlt", f"exception 13 at {AT} error 0x00000000"),
    ("cli", f"exception 13 at {AT} error 0x00000000"),
    ("inb $0x60, %al", f"exception 13 at {AT} error 0x00000000"),
    ("mov %cr3, %eax", f"exception 13 at {AT} error 0x00000000"),
    ("mov %eax, %cr0", f"exception 13 at {AT} error 0x00000000"),
    ("lgdt 0", f"exception 13 at {AT} error 0x00000000"),
    ("fld1", f"exception 7 at {AT} error 0x00000000"),
    ("fnsave (%esp)", f"exception 7 at {AT} error 0x00000000"),
    ("movd %mm0, %eax", f"exception 6 at {AT} error 0x00000000"),
    ("movd %xmm0, %eax", f"exception 6 at {AT} error 0x00000000"),
    ("ud2", f"exception 6 at {AT} error 0x00000000"),
    ("div %eax", f"exception 0 at {AT} error 0x00000000"),
    ("int3", f"exception 13 at {AT} error 0x0000001a"),
    ("int $0x20", f"exception 13 at {AT} error 0x00000102"),
    ("int $14", f"exception 13 at {AT} error 0x00000072"),
    ("ljmp $0x08, $0", f"exception 13 at {AT} error 0x00000008"),
    ("orl $0x100, (%esp); popf; nop; nop", f"exception 1 at 0x{PROGRAM + 9:08x} error 0x00000000"),
]


@pytest.fixture
def tasks(guest: Guest, kernel: Kernel) -> UserTasks:
    return UserTasks(guest, kernel)


def has_ended(tasks: UserTasks, free: int) -> None:
    """Check that task 2 is dormant and has what a dormant task has, and that it can be used again, and deleted."""
    guest = tasks.guest
    assert (guest.tcb(TASK, "state"), guest.get("current_task"), guest.ready(5)) == (DORMANT, 1, [])
    assert tasks.free == free - 2
    again = tasks.load(SLEEP)
    guest.set_tcb(TASK, "start", again)
    assert guest.er("sta_tsk", TASK, 0) == E_OK
    assert guest.tcb(TASK, "state") == WAIT
    assert guest.er("ter_tsk", TASK) == E_OK
    assert guest.er("del_tsk", TASK) == E_OK
    assert tasks.free == free


@pytest.mark.parametrize(("source", "line"), ENDS)
def test_what_a_program_must_not_do_ends_its_task(tasks: UserTasks, source: str, line: str) -> None:
    free = tasks.free
    tasks.run(TASK, source)
    assert tasks.console == f"task 2 ends: {line}\n"
    has_ended(tasks, free)


def test_data_are_executed_until_they_fault(tasks: UserTasks) -> None:
    free = tasks.free
    tasks.run(TASK, f"movb $0xf4, {tasks.data:#x}; jmp {tasks.data:#x}")
    where = f"0x{tasks.data:08x}"
    assert tasks.console == (
        f"task 2 ends: execution of {where}, in a region that does not permit it: exception 13 at {where} error 0x00000000\n"
    )
    has_ended(tasks, free)


@pytest.mark.parametrize(
    ("number", "arguments", "access"), [(GET_TID, (), "write to"), (PUT_CON, (8,), "read of")]
)
def test_a_fault_of_the_kernel_on_its_behalf_is_the_tasks(
    tasks: UserTasks, number: int, arguments: tuple[int, ...], access: str
) -> None:
    """The pointer lies in a region, so that it is good, but there is no page."""
    free = tasks.free
    tasks.run(TASK, call(number, HEAP + 4, *arguments))
    at = tasks.guest.symbols["user_copy_instruction"] | KERNEL
    assert tasks.console == f"task 2 ends: {access} 0x10000004 at 0x{at:08x}, where nothing is mapped\n"
    has_ended(tasks, free)


def test_a_stack_grows_by_the_page_touched_up_to_its_limit(tasks: UserTasks) -> None:
    free = tasks.free
    source = f"movl $7, {LIMIT:#x}; {SLEEP} mov {LIMIT + PAGE:#x}, %eax; {SLEEP}"
    source += f"mov ${STACK_END - PAGE:#x}, %esp; push $9; {SLEEP} movl $1, {LIMIT - 4:#x}"
    tasks.run(TASK, source)
    assert tasks.words(TASK, LIMIT) == (7,)
    for grown in (1, 2, 3):
        assert tasks.free == free - 6 - grown
        assert tasks.guest.er("wup_tsk", TASK) == E_OK
    assert tasks.console.startswith(f"task 2 ends: write to 0x{LIMIT - 4:08x} at ")
    has_ended(tasks, free)


def test_a_stack_does_not_grow_when_no_page_is_free(tasks: UserTasks) -> None:
    free = tasks.free
    start = tasks.load(f"movl $7, {LIMIT:#x}")
    tasks.create(TASK, start)
    pages = tasks.free
    taken = tasks.guest.call("pmem_alloc", pages * PAGE)
    assert tasks.guest.er("sta_tsk", TASK, 0) == E_OK
    assert tasks.console == f"task 2 ends: write to 0x{LIMIT:08x} at {AT}, and no page is free\n"
    assert tasks.guest.er("pmem_free", taken, pages * PAGE) == E_OK
    has_ended(tasks, free)


# Handlers of regions: code of the kernel.


def handled(tasks: UserTasks, handler: str, program: str, permission: int = USABLE) -> None:
    """Run a program whose region at `REGION` has a handler, a function of the kernel."""
    guest = tasks.guest
    guest.memory.write(HANDLER - KERNEL, assembled(handler, HANDLER))
    tasks.create(TASK, tasks.load(program))
    assert guest.er("vcre_reg", TASK, REGION, 1, 2 * PAGE, permission, HANDLER) == E_OK
    assert guest.er("sta_tsk", TASK, 0) == E_OK


def kernel_call(tasks: UserTasks, name: str, *arguments: str) -> str:
    pushes = "".join(f"pushl {argument}\n" for argument in reversed(arguments))
    return f"{pushes} call {tasks.guest.symbols[name] | KERNEL:#x}; add ${4 * len(arguments)}, %esp\n"


def maps(tasks: UserTasks, access: int = USABLE) -> str:
    return kernel_call(tasks, "vmap_reg", f"${TASK}", f"${REGION + PAGE:#x}", "$1", f"${access:#x}")


def test_a_handler_is_asked_and_the_task_tries_again(tasks: UserTasks) -> None:
    note = "".join(f"mov {4 + 4 * index}(%esp), %eax; mov %eax, {SAW + 4 * index:#x}\n" for index in range(3))
    flags = f"pushf; pop {SAW + 12:#x}; cld\n"
    segments = f"mov %ds, %eax; mov %eax, {SAW + 16:#x}; mov %es, %eax; mov %eax, {SAW + 20:#x}\n"
    store = f"std; xor %eax, %eax; mov %eax, %es; movl $9, {REGION + PAGE + 8:#x}; {SLEEP}"
    handled(tasks, note + flags + segments + maps(tasks) + "ret", store)
    number, address, error_code, flags_seen, *data_segments = tasks.guest.words(SAW, 6)
    assert (number, address, error_code) == (TASK, REGION + PAGE + 8, 6)
    assert flags_seen & 0x600 == 0x200  # IF, as in the task; no DF
    assert data_segments == [0x10, 0x10]
    assert tasks.words(TASK, REGION + PAGE + 8) == (9,)
    assert tasks.console == ""


def test_a_handler_is_asked_for_a_right_that_is_missing(tasks: UserTasks) -> None:
    give = kernel_call(tasks, "vprt_reg", f"${TASK}", f"${REGION:#x}", f"${USABLE:#x}")
    guest = tasks.guest
    guest.memory.write(HANDLER - KERNEL, assembled(give + "ret", HANDLER))
    tasks.create(TASK, tasks.load(f"mov {REGION:#x}, %eax; movl $9, {REGION:#x}; {SLEEP}"))
    assert guest.er("vcre_reg", TASK, REGION, 1, 1, READ | USER, HANDLER) == E_OK
    assert guest.er("vmap_reg", TASK, REGION, 1, READ | USER) == E_OK
    assert guest.er("sta_tsk", TASK, 0) == E_OK
    assert tasks.words(TASK, REGION) == (9,)


def test_a_handler_is_asked_when_the_kernel_copies(tasks: UserTasks) -> None:
    handled(tasks, maps(tasks) + "ret", call(GET_TID, REGION + PAGE) + SLEEP)
    assert tasks.words(TASK, REGION + PAGE) == (TASK,)
    assert tasks.console == ""


@pytest.mark.parametrize("access", [None, READ | USER, 3])
def test_a_handler_has_to_map_the_page_with_the_right_that_was_missing(
    tasks: UserTasks, access: int | None
) -> None:
    free = tasks.free
    mapping = "" if access is None else maps(tasks, access)
    handled(tasks, mapping + "xor %eax, %eax; ret", f"movl $9, {REGION + PAGE:#x}")
    line = f"write to 0x{REGION + PAGE:08x} at {AT}, and its handler has not mapped it"
    assert tasks.console == f"task 2 ends: {line}\n"
    has_ended(tasks, free)


def test_a_handler_has_to_map_for_ring_3_what_the_kernel_copies(tasks: UserTasks) -> None:
    handled(tasks, maps(tasks, 3) + "xor %eax, %eax; ret", call(GET_TID, REGION + PAGE))
    assert tasks.console.endswith(", and its handler has not mapped it\n")


def test_a_handler_may_refuse(tasks: UserTasks) -> None:
    free = tasks.free
    handled(tasks, maps(tasks) + "mov $-33, %eax; ret", f"movl $9, {REGION + PAGE:#x}")
    line = f"write to 0x{REGION + PAGE:08x} at {AT}, and its handler refuses"
    assert tasks.console == f"task 2 ends: {line}\n"
    has_ended(tasks, free)


def test_a_fault_of_the_kernel_itself_is_not_the_tasks(tasks: UserTasks) -> None:
    """In the task's context and in its user space, too."""
    with pytest.raises(AssertionError, match="sta_tsk did not return"):
        handled(tasks, "mov 0, %eax; ret", f"movl $9, {REGION + PAGE:#x}")
    assert tasks.console == f"exception 14 at 0x{HANDLER:08x} error 0x00000000\n"
