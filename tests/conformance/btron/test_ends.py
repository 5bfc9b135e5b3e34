"""Whatever state a task is in when it ends, it leaves every queue, never runs again, and all its pages come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from kernel_model.structs import TCB
from tests.conformance.btron.subjects import PAGE, SCRATCH
from tests.conformance.btron.test_user_tasks import SLEEP, USER_KERNEL, call
from tests.helpers.ring3 import GET_TID, HEAP, TA_USER, USABLE, UserTasks
from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.testing import Kernel
    from tests.conformance.btron.subjects import Guest

pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=USER_KERNEL)], indirect=True)

E_OK, E_OBJ, E_WAITING = 0, -63, 1
DORMANT, READY, WAIT = 1, 2, 4
BEFORE, TASK, AFTER = 2, 3, 4
PRIORITY: Final = 20
POOL: Final = 3
REGION: Final = 0x2000_0000
VMAP_REG: Final = 8
KINDS: Final = {"mpl": (24,), "mpf": ()}


@pytest.fixture
def tasks(guest: Guest, kernel: Kernel) -> UserTasks:
    """Return a kernel whose task 1 runs, with a pool of each kind that has nothing left."""
    tasks = UserTasks(guest, kernel)
    assert guest.er("mpl_create", POOL, guest.packet(0, 0, 24)) == E_OK
    assert guest.er("mpl_get", guest.out(), POOL, 24, 0) == E_OK
    assert guest.er("mpf_create", POOL, guest.packet(0, 0, 1, 8)) == E_OK
    assert guest.er("mpf_get", guest.out(1), POOL, 0) == E_OK
    return tasks


def wait_for(kind: str, timeout: int = -1) -> Callable[[UserTasks, int], None]:
    """Return what lets a ready task wait for a pool, as if it ran."""

    def wait(tasks: UserTasks, number: int) -> None:
        guest = tasks.guest
        guest.run(number)
        assert guest.er(f"{kind}_get", guest.out(number), POOL, *KINDS[kind], timeout) == E_WAITING
        guest.run(1)

    return wait


STATES: Final = {
    "ready": lambda _tasks, _number: None,
    "waiting for a block": wait_for("mpl"),
    "waiting for a block, and time": wait_for("mpl", 1000),
    "waiting for a fixed block": wait_for("mpf"),
    "waiting for a fixed block, and time": wait_for("mpf", 1000),
}


def furnish(guest: Guest, number: int) -> None:
    """Give a task that has been created a region with pages."""
    assert guest.er("vcre_reg", number, REGION, 1, 8 * PAGE, USABLE, 0) == E_OK
    assert guest.er("vmap_reg", number, REGION, 3 * PAGE, USABLE) == E_OK


def create(tasks: UserTasks, number: int, attribute: int) -> None:
    start = tasks.load(SLEEP) if attribute else SCRATCH
    packet = tasks.guest.packet(0, attribute, start, PRIORITY, 2 * PAGE)
    assert tasks.guest.er("cre_tsk", number, packet) == E_OK
    furnish(tasks.guest, number)


def is_in_no_queue(guest: Guest, number: int) -> None:
    """Check that nobody leads to a task: no queue of the kernel, no neighbour in one, and no ready task."""
    queues = [guest.ready(priority) for priority in range(1, 32)]
    queues += [guest.waiters(f"{kind}_table", POOL) for kind in KINDS]
    assert number not in [each for queue in queues for each in queue]
    assert guest.call("ready_first") != number
    neighbours = [
        guest.tcb(each, field)
        for each in (1, BEFORE, AFTER)
        if guest.tcb(each, "state") in {READY, WAIT}
        for field in ("next", "prev")
    ]
    assert number not in neighbours


@pytest.mark.parametrize("attribute", [0, TA_USER], ids=["kernel", "ring 3"])
@pytest.mark.parametrize("neighbours", [(), (BEFORE,), (AFTER,), (BEFORE, AFTER)])
@pytest.mark.parametrize("state", STATES)
def test_a_task_that_is_terminated_is_gone(
    tasks: UserTasks, state: str, neighbours: tuple[int, ...], attribute: int
) -> None:
    guest = tasks.guest
    free = tasks.free
    members = sorted({*neighbours, TASK})
    for number in members:
        create(tasks, number, attribute)
        assert guest.er("sta_tsk", number, 0) == E_OK
    for number in members:
        STATES[state](tasks, number)
    assert guest.er("ter_tsk", TASK) == E_OK
    assert guest.tcb(TASK, "state") == DORMANT
    is_in_no_queue(guest, TASK)
    left = [number for number in members if number != TASK]
    assert [guest.tcb(number, "state") for number in left] == [READY if state == "ready" else WAIT] * len(
        left
    )
    for number in left:
        assert guest.er("ter_tsk", number) == E_OK
    for number in members:
        assert guest.er("del_tsk", number) == E_OK
    assert tasks.free == free
    assert guest.call("ready_first") == 1


@pytest.mark.parametrize("attribute", [0, TA_USER], ids=["kernel", "ring 3"])
def test_a_task_that_never_ran_is_deleted_with_all_it_has(tasks: UserTasks, attribute: int) -> None:
    free = tasks.free
    create(tasks, TASK, attribute)
    assert tasks.free < free - 6
    assert tasks.guest.er("del_tsk", TASK) == E_OK
    assert tasks.free == free
    assert set(tasks.guest.words(tasks.guest.symbols["tcb_table"] + TCB.size * TASK, 20)) == {0}


ENDINGS: Final = {
    # How a program in ring 3 ends, after it has used its memory.
    "it returns": "ret",
    "it ends itself": call(1),
    "it is killed by a fault": "movl $1, 0",
    "it is killed by an instruction": "hlt",
    "it is killed inside a call": call(GET_TID, HEAP + 2 * PAGE),
}
USES_MEMORY: Final = (
    call(VMAP_REG, TASK, HEAP, 2 * PAGE, USABLE) + f"movl $7, {HEAP + PAGE:#x}; movl $7, -4096(%esp)\n"
)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_running_task_that_ends_is_gone(tasks: UserTasks, ending: str) -> None:
    guest = tasks.guest
    free = tasks.free
    for number in (BEFORE, TASK):
        tasks.create(number, tasks.load(USES_MEMORY + ENDINGS[ending] if number == TASK else SLEEP))
        furnish(guest, number)
        assert guest.er("sta_tsk", number, 0) == E_OK
    assert (guest.tcb(TASK, "state"), guest.get("current_task")) == (DORMANT, 1)
    is_in_no_queue(guest, TASK)
    assert guest.er("ter_tsk", BEFORE) == E_OK
    assert tasks.free == free - 4  # kernel stack and directory of each
    for number in (BEFORE, TASK):
        assert guest.er("del_tsk", number) == E_OK
    assert tasks.free == free


def test_a_task_that_is_terminated_inside_a_call_is_gone(tasks: UserTasks) -> None:
    """It sleeps, on its kernel stack, which is used anew when it starts again."""
    guest = tasks.guest
    free = tasks.free
    tasks.create(TASK, tasks.load(f"incl {tasks.data:#x}; {USES_MEMORY} {SLEEP} hlt"))
    for _ in range(3):
        assert guest.er("sta_tsk", TASK, 0) == E_OK
        assert guest.tcb(TASK, "state") == WAIT
        assert guest.er("ter_tsk", TASK) == E_OK
        is_in_no_queue(guest, TASK)
        assert guest.er("wup_tsk", TASK) == E_OBJ
        assert tasks.free == free - 2
    assert guest.er("del_tsk", TASK) == E_OK
    assert (tasks.free, tasks.console) == (free, "")


@pytest.mark.parametrize("interrupts", [False, True])
def test_a_terminated_task_does_not_run_again(tasks: UserTasks, kernel: Kernel, interrupts: bool) -> None:
    """Not when its pool gets a block, nor at its time, nor when nobody else is ready."""
    guest = tasks.guest
    for number, state in (
        (TASK, "waiting for a block, and time"),
        (AFTER, "waiting for a fixed block, and time"),
    ):
        tasks.create(number, tasks.load("hlt"), priority=PRIORITY)
        assert guest.er("sta_tsk", number, 0) == E_OK
        STATES[state](tasks, number)
        assert guest.er("ter_tsk", number) == E_OK
    guest.set("sys_tick", 2000)
    assert strict_call(kernel.machine, "rel_blk", POOL, guest.block(), interrupts=interrupts) == E_OK
    assert strict_call(kernel.machine, "rel_blf", POOL, guest.block(1), interrupts=interrupts) == E_OK
    guest.call("tick_handle")
    assert [guest.tcb(number, "state") for number in (TASK, AFTER)] == [DORMANT, DORMANT]
    assert guest.call("ready_first") == 1
    assert tasks.console == ""
