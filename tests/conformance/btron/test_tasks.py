"""The contracts of the calls that only the firmware has: tasks, their wake-ups, time, and the public face of the pools.

No task of these tests runs: dispatching is disabled, or nothing more urgent becomes ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel_model.structs import TCB
from tests.conformance.btron.conftest import FIRMWARE
from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH, WINDOW

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=FIRMWARE)], indirect=True)

E_OK, E_NOMEM, E_RSATR, E_PAR, E_ID, E_NOEXS, E_OBJ = 0, -10, -24, -33, -35, -52, -63
E_CTX, E_QOVR, E_DLT, E_TMOUT, E_RLWAI = -69, -73, -81, -85, -86
TMO_POL, TMO_FEVR, TMPL_OS = 0, -1, -4
DORMANT, READY, WAIT = 1, 2, 4
SLEEP, MPF = 1, 3
POOL = 3
EXINF, CODE = 0x1234_5678, 0x8010_2030


@pytest.fixture
def tasks(guest: Guest) -> Guest:
    """Return a kernel whose task 1, of priority 10, runs alone; dispatching is disabled."""
    guest.add_task(1)
    guest.run(1)
    guest.set("sys_dispatch_disabled", 1)
    return guest


def tcb(guest: Guest, number: int) -> dict[str, int]:
    words = guest.words(guest.symbols["tcb_table"] + TCB.size * number, len(TCB.fields))
    return dict(zip(TCB.fields, words, strict=True))


def created(guest: Guest, number: int = 2, priority: int = 10, stack: int = PAGE) -> None:
    assert guest.er("cre_tsk", number, guest.packet(EXINF, 1, CODE, priority, stack)) == E_OK


def started(guest: Guest, number: int = 2, priority: int = 10) -> None:
    created(guest, number, priority)
    assert guest.er("sta_tsk", number, 7) == E_OK


def refused(guest: Guest, code: int, name: str, *arguments: int) -> None:
    """Make a call that gives an error and changes nothing."""
    before = guest.state()
    assert guest.er(name, *arguments) == code
    assert guest.state() == before


def waiting(guest: Guest, number: int, timeout: int = TMO_FEVR, priority: int = 10) -> None:
    """Let a task wait for a block of pool `POOL`, which has none."""
    if not guest.pool("mpf_table", POOL)["exists"]:
        assert guest.er("mpf_create", POOL, guest.packet(0, 0, 1, 8)) == E_OK
        assert guest.er("mpf_get", guest.out(), POOL, TMO_POL) == E_OK
    guest.add_task(number, priority)
    current, disabled = guest.get("current_task"), guest.get("sys_dispatch_disabled")
    guest.run(number)
    guest.set("sys_dispatch_disabled", 0)
    assert guest.er("mpf_get", guest.out(number), POOL, timeout) == 1
    guest.run(current)
    guest.set("sys_dispatch_disabled", disabled)


# cre_tsk, del_tsk


@pytest.mark.parametrize(("size", "pages"), [(1, 1), (PAGE, 1), (PAGE + 1, 2), (3 * PAGE, 3)])
@pytest.mark.parametrize("attribute", [0, 1])
@pytest.mark.parametrize(("number", "priority"), [(2, 1), (32, 31)])
def test_a_new_task_is_dormant_and_has_a_stack_of_whole_pages(
    tasks: Guest, size: int, pages: int, attribute: int, number: int, priority: int
) -> None:
    packet = tasks.packet(EXINF, attribute, CODE, priority, size)
    assert tasks.er("cre_tsk", number, packet) == E_OK
    assert tcb(tasks, number) == dict.fromkeys(TCB.fields, 0) | {
        "tskid": number,
        "state": DORMANT,
        "priority": priority,
        "start": CODE,
        "exinf": EXINF,
        "stack": KERNEL + WINDOW,
        "stack_size": pages * PAGE,
    }
    assert tasks.space(number)["directory"] == WINDOW + pages * PAGE
    assert [tasks.page(WINDOW // PAGE + index)[0] for index in range(pages + 2)] == [1] * pages + [1, 0]
    assert tasks.er("del_tsk", number) == E_OK
    assert set(tcb(tasks, number).values()) == {0}
    assert tasks.space(number)["directory"] == 0
    assert tasks.call("pmem_free_pages") == 64


@pytest.mark.parametrize(
    ("number", "words", "code"),
    [
        (0, (0, 1, CODE, 10, PAGE), E_ID),
        (33, (0, 1, CODE, 10, PAGE), E_ID),
        (-1, (0, 1, CODE, 10, PAGE), E_ID),
        (33, (0, 2, CODE, 10, PAGE), E_ID),
        (2, (0, 2, CODE, 10, PAGE), E_RSATR),
        (2, (0, 2, 0, 10, PAGE), E_RSATR),
        (2, (0, 1, 0, 10, PAGE), E_PAR),
        (2, (0, 1, CODE, 0, PAGE), E_PAR),
        (2, (0, 1, CODE, -1, PAGE), E_PAR),
        (2, (0, 1, CODE, 32, PAGE), E_PAR),
        (2, (0, 1, CODE, 10, 0), E_PAR),
        (2, (0, 1, CODE, 10, -1), E_PAR),
        (1, (0, 1, CODE, 10, 0), E_PAR),
        (1, (0, 1, CODE, 10, PAGE), E_OBJ),
        (2, (0, 1, CODE, 10, 65 * PAGE), E_NOMEM),
        (2, (0, 1, CODE, 10, 64 * PAGE), E_NOMEM),  # no page is left for the page directory
    ],
)
def test_a_task_that_cannot_be(tasks: Guest, number: int, words: tuple[int, ...], code: int) -> None:
    refused(tasks, code, "cre_tsk", number, tasks.packet(*words))


def test_a_task_needs_a_packet(tasks: Guest) -> None:
    refused(tasks, E_ID, "cre_tsk", 33, 0)
    refused(tasks, E_PAR, "cre_tsk", 2, 0)


@pytest.mark.parametrize("call", ["del_tsk", "sta_tsk"])
def test_what_is_for_dormant_tasks(tasks: Guest, call: str) -> None:
    started(tasks, 2)
    waiting(tasks, 3)
    for number, code in ((0, E_ID), (33, E_ID), (-1, E_ID), (4, E_NOEXS), (1, E_OBJ), (2, E_OBJ), (3, E_OBJ)):
        refused(tasks, code, call, number, 5)


# sta_tsk, ter_tsk


def test_a_task_that_starts_is_ready_after_the_others(tasks: Guest) -> None:
    created(tasks, 2, 10, 2 * PAGE)
    tasks.set_tcb(2, "wakeups", 3)
    assert tasks.er("sta_tsk", 2, 7) == E_OK
    assert tasks.ready(10) == [1, 2]
    assert (tasks.tcb(2, "state"), tasks.tcb(2, "wakeups")) == (READY, 0)
    esp = tasks.tcb(2, "esp")
    assert esp == KERNEL + WINDOW + 2 * PAGE - 40
    begin = tasks.symbols["task_begin"] | KERNEL
    assert tasks.words(esp, 10) == (0, 0, 0, 0, begin, 0, 7, 0, 0, 0)
    assert tasks.get("need_dispatch") == 0


@pytest.mark.parametrize(("priority", "expected"), [(9, 1), (10, 0), (11, 0)])
def test_a_more_urgent_task_wants_the_cpu(tasks: Guest, priority: int, expected: int) -> None:
    started(tasks, 2, priority)
    assert tasks.get("need_dispatch") == expected
    assert tasks.get("current_task") == 1


@pytest.mark.parametrize(("number", "left"), [(2, [1, 3, 4]), (3, [1, 2, 4]), (4, [1, 2, 3])])
def test_a_terminated_task_is_in_no_queue(tasks: Guest, number: int, left: list[int]) -> None:
    for each in (2, 3, 4):
        started(tasks, each)
    assert tasks.er("ter_tsk", number) == E_OK
    assert tasks.ready(10) == left
    assert tasks.tcb(number, "state") == DORMANT
    assert tasks.er("sta_tsk", number, 0) == E_OK
    assert tasks.ready(10) == [*left, number]


def test_a_task_that_waits_leaves_the_pools_queue_when_it_is_terminated(tasks: Guest) -> None:
    for number in (2, 3, 4):
        waiting(tasks, number)
    assert tasks.er("ter_tsk", 3) == E_OK
    assert tasks.waiters("mpf_table", POOL) == [2, 4]
    assert tasks.ready(10) == [1]
    assert (tasks.tcb(3, "state"), tasks.tcb(3, "wait_kind"), tasks.wercd(3)) == (DORMANT, 0, E_OK)


def test_only_others_that_are_not_dormant_can_be_terminated(tasks: Guest) -> None:
    created(tasks, 2)
    for number, code in ((0, E_ID), (33, E_ID), (4, E_NOEXS), (2, E_OBJ), (1, E_OBJ)):
        refused(tasks, code, "ter_tsk", number)


# slp_tsk, wup_tsk


def test_wakeups_are_counted_up_to_255_and_slept_for_one_by_one(tasks: Guest) -> None:
    started(tasks, 2)
    for count in range(1, 256):
        assert tasks.er("wup_tsk", 2) == E_OK
        assert tasks.tcb(2, "wakeups") == count
    refused(tasks, E_QOVR, "wup_tsk", 2)
    tasks.run(2)
    tasks.set("sys_dispatch_disabled", 0)
    for count in range(254, -1, -1):
        assert tasks.er("slp_tsk") == E_OK
        assert tasks.tcb(2, "wakeups") == count
    assert (tasks.tcb(2, "state"), tasks.ready(10)) == (READY, [1, 2])


def test_only_others_that_are_not_dormant_can_be_woken_up(tasks: Guest) -> None:
    created(tasks, 2)
    for number, code in ((0, E_ID), (33, E_ID), (4, E_NOEXS), (2, E_OBJ), (1, E_OBJ)):
        refused(tasks, code, "wup_tsk", number)


def test_a_sleeping_task_becomes_ready_and_its_wakeups_stay(tasks: Guest) -> None:
    started(tasks, 2)
    assert tasks.er("ter_tsk", 2) == E_OK  # out of the ready queue
    for field, value in (("state", WAIT), ("wait_kind", SLEEP), ("wercd", 0x55)):
        tasks.set_tcb(2, field, value)
    assert tasks.er("wup_tsk", 2) == E_OK
    assert tasks.ready(10) == [1, 2]
    after = tcb(tasks, 2)
    assert (after["state"], after["wait_kind"], after["wercd"], after["wakeups"]) == (READY, 0, E_OK, 0)


def test_a_wakeup_of_a_task_that_waits_for_a_block_is_kept(tasks: Guest) -> None:
    waiting(tasks, 2)
    assert tasks.er("wup_tsk", 2) == E_OK
    assert (tasks.tcb(2, "state"), tasks.tcb(2, "wakeups")) == (WAIT, 1)


def test_who_may_not_wait_cannot_sleep(tasks: Guest) -> None:
    tasks.set_tcb(1, "wakeups", 1)
    refused(tasks, E_CTX, "slp_tsk")
    tasks.run(0)
    tasks.set("sys_dispatch_disabled", 0)
    refused(tasks, E_CTX, "slp_tsk")


# dis_dsp, ena_dsp, rel_wai


def test_dispatching_is_disabled_and_enabled(tasks: Guest) -> None:
    assert tasks.er("ena_dsp") == E_OK
    assert tasks.get("sys_dispatch_disabled") == 0
    assert tasks.er("dis_dsp") == E_OK
    assert tasks.get("sys_dispatch_disabled") == 1


@pytest.mark.parametrize("call", ["dis_dsp", "ena_dsp"])
@pytest.mark.parametrize("disabled", [0, 1])
def test_dispatching_is_a_tasks_business(tasks: Guest, call: str, disabled: int) -> None:
    tasks.run(0)
    tasks.set("sys_dispatch_disabled", disabled)
    refused(tasks, E_CTX, call)


def test_rel_wai_ends_a_wait(tasks: Guest) -> None:
    waiting(tasks, 2)
    assert tasks.er("rel_wai", 2) == E_OK
    assert (tasks.wercd(2), tasks.ready(10)) == (E_RLWAI, [1, 2])
    for number, code in ((0, E_ID), (33, E_ID), (4, E_NOEXS), (2, E_OBJ), (1, E_OBJ)):
        refused(tasks, code, "rel_wai", number)


# Time.


@pytest.mark.parametrize("now", [1000, 0xFFFFFFFE, 0x7FFFFFFE])
@pytest.mark.parametrize("timeout", [1, 2, 5])
def test_a_wait_ends_with_the_tick_of_its_deadline(tasks: Guest, now: int, timeout: int) -> None:
    tasks.set("sys_tick", now)
    waiting(tasks, 2, timeout)
    for ticks in range(1, timeout):
        tasks.call("tick_handle")
        assert tasks.get("sys_tick") == now + ticks & 0xFFFFFFFF
        assert tasks.tcb(2, "state") == WAIT
    tasks.call("tick_handle")
    assert (tasks.tcb(2, "state"), tasks.wercd(2)) == (READY, E_TMOUT)
    assert tasks.waiters("mpf_table", POOL) == []
    assert tasks.get("current_task") == 1


def test_a_tick_ends_every_wait_whose_time_is_up(tasks: Guest) -> None:
    timeouts = {2: 3, 3: TMO_FEVR, 4: 1, 5: 1, 32: 1, 6: 0x7FFFFFFF}
    for number, timeout in timeouts.items():
        waiting(tasks, number, timeout)
    tasks.set_tcb(3, "deadline_lo", 1)
    tasks.call("tick_handle")
    assert tasks.waiters("mpf_table", POOL) == [2, 3, 6]
    assert tasks.ready(10) == [1, 4, 5, 32]
    assert {number: tasks.wercd(number) for number in (4, 5, 32)} == {4: E_TMOUT, 5: E_TMOUT, 32: E_TMOUT}


def test_a_tick_leaves_alone_who_does_not_wait(tasks: Guest) -> None:
    started(tasks, 2)
    tasks.set_tcb(2, "has_deadline", 1)
    before = tcb(tasks, 2)
    tasks.call("tick_handle")
    assert tcb(tasks, 2) == before


def test_nobody_is_dispatched_while_that_is_disabled(tasks: Guest) -> None:
    waiting(tasks, 2, 1, priority=5)
    tasks.call("tick_handle")
    assert (tasks.get("current_task"), tasks.get("need_dispatch")) == (1, 1)
    tasks.call("dispatch_if_needed")
    assert (tasks.get("current_task"), tasks.get("need_dispatch")) == (1, 1)


@pytest.mark.parametrize("needed", [0, 1])
def test_whoever_should_run_and_runs_goes_on(tasks: Guest, needed: int) -> None:
    tasks.set("sys_dispatch_disabled", 0)
    tasks.set("need_dispatch", needed)
    tasks.call("dispatch_if_needed")
    assert (tasks.get("current_task"), tasks.get("need_dispatch")) == (1, 0)


def test_tasks_cannot_be_reordered_before_they_run(tasks: Guest) -> None:
    tasks.set("sys_dispatch_disabled", 0)
    tasks.call("tasks_init")
    assert tasks.get("sys_dispatch_disabled") == 1


# The public calls of the pools: what the inner functions do, which the other tests hold.


@pytest.mark.parametrize("kind", ["mpl", "mpf"])
def test_a_pool_lives_through_its_public_calls(tasks: Guest, kind: str) -> None:
    get = {"mpl": "get_blk", "mpf": "get_blf"}[kind]
    size = (24,) if kind == "mpl" else ()
    release = {"mpl": "rel_blk", "mpf": "rel_blf"}[kind]
    packet = tasks.packet(EXINF, 0, 120) if kind == "mpl" else tasks.packet(EXINF, 0, 4, 24)
    tasks.set("sys_dispatch_disabled", 0)
    assert tasks.er(f"cre_{kind}", POOL, packet) == E_OK
    assert tasks.er(get, tasks.out(0), POOL, *size) == E_OK
    assert tasks.er(f"p{get}", tasks.out(1), POOL, *size) == E_OK
    assert tasks.er(f"t{get}", tasks.out(2), POOL, *size, 9) == E_OK
    assert [tasks.block(slot) - tasks.block(0) for slot in range(3)] == [0, 32, 64]
    assert tasks.er(release, POOL, tasks.block(1)) == E_OK
    assert tasks.er(f"ref_{kind}", SCRATCH, POOL) == E_OK
    free = (48, 24) if kind == "mpl" else (2,)
    assert tasks.words(SCRATCH, 2 + len(free)) == (EXINF, 0, *free)
    assert tasks.er(f"del_{kind}", POOL) == E_OK
    assert set(tasks.pool(f"{kind}_table", POOL).values()) == {0}


@pytest.mark.parametrize("kind", ["mpl", "mpf"])
def test_the_public_calls_of_a_pool_hand_on_errors(tasks: Guest, kind: str) -> None:
    get = {"mpl": "get_blk", "mpf": "get_blf"}[kind]
    size = (24,) if kind == "mpl" else ()
    release = {"mpl": "rel_blk", "mpf": "rel_blf"}[kind]
    packet = tasks.packet(0, 0, 24) if kind == "mpl" else tasks.packet(0, 0, 1, 24)
    refused(tasks, E_ID, f"cre_{kind}", 0, packet)
    refused(tasks, E_NOEXS, f"del_{kind}", POOL)
    refused(tasks, E_NOEXS, f"ref_{kind}", SCRATCH, POOL)
    refused(tasks, E_NOEXS, release, POOL, KERNEL + WINDOW)
    assert tasks.er(f"cre_{kind}", POOL, packet) == E_OK
    assert tasks.er(f"p{get}", tasks.out(), POOL, *size) == E_OK
    refused(tasks, E_PAR, f"t{get}", tasks.out(), POOL, *size, -2)
    refused(tasks, E_TMOUT, f"p{get}", tasks.out(), POOL, *size)
    refused(tasks, E_CTX, get, tasks.out(), POOL, *size)
    refused(tasks, E_CTX, f"t{get}", tasks.out(), POOL, *size, 1)
    refused(tasks, E_PAR, release, POOL, tasks.block() + 8)


def test_a_pool_that_is_deleted_releases_who_waits(tasks: Guest) -> None:
    waiting(tasks, 2)
    assert tasks.er("del_mpf", POOL) == E_OK
    assert (tasks.wercd(2), tasks.ready(10)) == (E_DLT, [1, 2])
