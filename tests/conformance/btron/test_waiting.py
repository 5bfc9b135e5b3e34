"""Spec 2.4: who waits, who is served, in which order, with which code, and what the queues hold meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel_model.structs import POOL_MPF, POOL_MPL, TCB
from tests.conformance.btron.subjects import KERNEL, SCRATCH, WINDOW

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

E_OK, E_WAITING = 0, 1
E_PAR, E_ID, E_NOEXS, E_OBJ, E_DLT, E_TMOUT, E_RLWAI = -33, -35, -52, -63, -81, -85, -86
TMO_POL, TMO_FEVR = 0, -1
TA_TFIFO, TA_TPRI = 0, 1
READY, WAIT = 2, 4
SLEEP, MPL, MPF = 1, 2, 3
POOL = 3
MPL_SIZE = 104
"""Room for one block of 104 bytes, or for smaller ones with records of 8 bytes."""

KINDS = ("mpl", "mpf")


def create(guest: Guest, kind: str, attribute: int = TA_TFIFO) -> None:
    """Make a pool of `MPL_SIZE` bytes, or of one block."""
    words = (0, attribute, MPL_SIZE) if kind == "mpl" else (0, attribute, 1, 24)
    assert guest.er(f"{kind}_create", POOL, guest.packet(*words)) == E_OK


def get(guest: Guest, kind: str, task: int, size: int = MPL_SIZE, timeout: int = TMO_FEVR) -> int:
    """Let a task ask for a block; its address goes to slot *task*."""
    guest.run(task)
    arguments = (size, timeout) if kind == "mpl" else (timeout,)
    return guest.er(f"{kind}_get", guest.out(task), POOL, *arguments)


def taken(guest: Guest, kind: str) -> int:
    """Take all of the pool and return the block."""
    size = (MPL_SIZE,) if kind == "mpl" else ()
    assert guest.er(f"{kind}_get", guest.out(), POOL, *size, TMO_POL) == E_OK
    return guest.block()


@pytest.fixture
def tasks(guest: Guest) -> Guest:
    """Return a kernel with tasks 1 to 6 of priorities 10, 12, 8, 12, 8, 10. Task 1 runs."""
    for number, priority in enumerate((10, 12, 8, 12, 8, 10), 1):
        guest.add_task(number, priority)
    guest.run(1)
    return guest


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("timeout", "deadline"), [(TMO_FEVR, None), (1, 1001), (0x7FFFFFFF, 0x800003E7)])
def test_who_gets_no_block_waits(tasks: Guest, kind: str, timeout: int, deadline: int | None) -> None:
    create(tasks, kind)
    taken(tasks, kind)
    tasks.set("sys_tick", 1000)
    tasks.set_tcb(2, "deadline_lo", 0x55)
    before = tasks.state()
    assert get(tasks, kind, 2, 97, timeout) == E_WAITING
    assert tasks.ready(12) == [4]
    assert tasks.waiters(f"{kind}_table", POOL) == [2]
    assert tasks.tcb(2, "state") == WAIT
    assert tasks.tcb(2, "wait_kind") == (MPL if kind == "mpl" else MPF)
    assert tasks.tcb(2, "wait_id") == POOL
    assert tasks.tcb(2, "wait_size") == (104 if kind == "mpl" else 0)
    assert tasks.tcb(2, "wait_out") == tasks.out(2)
    assert tasks.tcb(2, "has_deadline") == (deadline is not None)
    assert tasks.tcb(2, "deadline_lo") == (0x55 if deadline is None else deadline)
    assert (tasks.get("current_task"), tasks.get("need_dispatch")) == (2, 0)
    assert tasks.state()[-3:] == before[-3:]  # pages, window and packets


@pytest.mark.parametrize("kind", KINDS)
def test_deadlines_wrap_with_the_system_time(tasks: Guest, kind: str) -> None:
    create(tasks, kind)
    taken(tasks, kind)
    tasks.set("sys_tick", 0xFFFFFFFE)
    assert get(tasks, kind, 2, timeout=5) == E_WAITING
    assert tasks.tcb(2, "deadline_lo") == 3


def test_leaving_a_ready_queue_of_several(tasks: Guest) -> None:
    create(tasks, "mpf")
    taken(tasks, "mpf")
    for number in (7, 8):
        tasks.add_task(number, 12)
    assert tasks.ready(12) == [2, 4, 7, 8]
    for number, left in ((7, [2, 4, 8]), (8, [2, 4]), (2, [4]), (4, [])):
        assert get(tasks, "mpf", number) == E_WAITING
        assert tasks.ready(12) == left
    assert tasks.waiters("mpf_table", POOL) == [7, 8, 2, 4]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("attribute", "order"), [(TA_TFIFO, [2, 3, 4, 5, 6]), (TA_TPRI, [3, 5, 6, 2, 4])])
def test_queues_are_in_order_of_arrival_or_of_priority(
    tasks: Guest, kind: str, attribute: int, order: list[int]
) -> None:
    create(tasks, kind, attribute)
    block = taken(tasks, kind)
    for number in (2, 3, 4, 5, 6):
        assert get(tasks, kind, number) == E_WAITING
    assert tasks.waiters(f"{kind}_table", POOL) == order
    refer_words = 4 if kind == "mpl" else 3
    assert tasks.er(f"{kind}_refer", SCRATCH, POOL) == E_OK
    assert tasks.words(SCRATCH, refer_words)[1:] == (order[0], *[0] * (refer_words - 2))
    tasks.run(1)
    for index, number in enumerate(order):
        assert tasks.er(f"{kind}_release", POOL, block) == E_OK
        assert tasks.block(number) == block
        assert tasks.wercd(number) == E_OK
        assert tasks.waiters(f"{kind}_table", POOL) == order[index + 1 :]
        assert tasks.tcb(number, "state") == READY


@pytest.mark.parametrize("kind", KINDS)
def test_a_served_task_is_ready_and_what_it_waited_for_is_stale(tasks: Guest, kind: str) -> None:
    create(tasks, kind)
    block = taken(tasks, kind)
    assert get(tasks, kind, 2, timeout=50) == E_WAITING
    tasks.set_tcb(2, "wercd", 0x55)
    tcb = tasks.words(tasks.symbols["tcb_table"] + TCB.size * 2, 20)
    waiting = dict(zip(TCB.fields, tcb, strict=True))
    tasks.run(1)
    assert tasks.er(f"{kind}_release", POOL, block) == E_OK
    tcb = tasks.words(tasks.symbols["tcb_table"] + TCB.size * 2, 20)
    ready = dict(zip(TCB.fields, tcb, strict=True))
    changed = {"state": READY, "prev": 4, "wait_kind": 0, "wercd": 0, "has_deadline": 0}
    assert ready == waiting | changed
    assert tasks.ready(12) == [4, 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("current", "expected"), [(0, 1), (2, 1), (1, 0), (3, 0)])
def test_a_dispatch_is_needed_when_a_more_urgent_task_becomes_ready(
    tasks: Guest, kind: str, current: int, expected: int
) -> None:
    """Task 6 has priority 10; tasks 1, 2 and 3 have 10, 12 and 8."""
    create(tasks, kind)
    block = taken(tasks, kind)
    assert get(tasks, kind, 6) == E_WAITING
    tasks.run(current)
    assert tasks.er(f"{kind}_release", POOL, block) == E_OK
    assert tasks.get("need_dispatch") == expected


def test_one_release_may_serve_several(tasks: Guest) -> None:
    create(tasks, "mpl")
    block = taken(tasks, "mpl")
    for number in (2, 3, 4):
        assert get(tasks, "mpl", number, 24) == E_WAITING
    assert tasks.er("mpl_release", POOL, block) == E_OK
    assert [tasks.block(number) for number in (2, 3, 4)] == [block, block + 32, block + 64]
    assert tasks.waiters("mpl_table", POOL) == []
    assert tasks.ready(12) == [2, 4]


def test_whoever_fits_is_served_and_no_one_after_a_smaller_failure(tasks: Guest) -> None:
    """48 bytes are free: 64 fail, 24 fit and leave 16; 40 fail, 40 are passed over, 16 fit."""
    create(tasks, "mpl")
    low = taken(tasks, "mpl")
    assert tasks.er("mpl_release", POOL, low) == E_OK
    assert tasks.er("mpl_get", tasks.out(), POOL, 48, TMO_POL) == E_OK
    assert tasks.er("mpl_get", tasks.out(1), POOL, 48, TMO_POL) == E_OK
    for number, size in ((2, 64), (3, 24), (4, 40), (5, 40), (6, 16)):
        assert get(tasks, "mpl", number, size) == E_WAITING
    tasks.run(1)
    assert tasks.er("mpl_release", POOL, low) == E_OK
    assert tasks.waiters("mpl_table", POOL) == [2, 4, 5]
    assert (tasks.block(3), tasks.block(6)) == (low, low + 32)


def test_a_newcomer_that_fits_need_not_queue(tasks: Guest) -> None:
    create(tasks, "mpl")
    assert tasks.er("mpl_get", tasks.out(), POOL, 48, TMO_POL) == E_OK
    assert get(tasks, "mpl", 2, 64) == E_WAITING
    assert get(tasks, "mpl", 3, 48) == E_OK
    assert tasks.waiters("mpl_table", POOL) == [2]


def test_a_request_larger_than_the_pool_waits(tasks: Guest) -> None:
    create(tasks, "mpl")
    assert get(tasks, "mpl", 2, 0x7FFFFFFF) == E_WAITING
    assert tasks.tcb(2, "wait_size") == 0x80000000
    assert get(tasks, "mpl", 3, 105) == E_WAITING
    block = taken(tasks, "mpl")
    assert tasks.er("mpl_release", POOL, block) == E_OK
    assert tasks.waiters("mpl_table", POOL) == [2, 3]


def test_a_block_passed_on_keeps_the_link_of_its_release(tasks: Guest) -> None:
    assert tasks.er("mpf_create", POOL, tasks.packet(0, 0, 2, 24)) == E_OK
    first, _ = taken(tasks, "mpf"), taken(tasks, "mpf")
    assert get(tasks, "mpf", 2) == E_WAITING
    tasks.poke(first, 0xAAAAAAAA)
    assert tasks.er("mpf_release", POOL, first) == E_OK
    assert tasks.words(first, 1) == (0,)
    assert tasks.pool("mpf_table", POOL)["free_count"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_deleting_a_pool_ends_all_waits(tasks: Guest, kind: str) -> None:
    create(tasks, kind, TA_TPRI)
    taken(tasks, kind)
    for number in (2, 3, 4, 5):
        assert get(tasks, kind, number, timeout=9) == E_WAITING
    tasks.run(1)
    assert tasks.er(f"{kind}_delete", POOL) == E_OK
    assert [tasks.wercd(number) for number in (2, 3, 4, 5)] == [E_DLT] * 4
    assert [tasks.tcb(number, "has_deadline") for number in (2, 3, 4, 5)] == [0] * 4
    assert (tasks.ready(8), tasks.ready(12)) == ([3, 5], [2, 4])
    assert tasks.get("need_dispatch") == 1
    assert set(tasks.pool(f"{kind}_table", POOL).values()) == {0}
    assert tasks.free_list() == [(KERNEL + WINDOW, 40960)]


# wait_cancel


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [E_TMOUT, E_RLWAI])
@pytest.mark.parametrize(("cancelled", "left"), [(2, [3, 4]), (3, [2, 4]), (4, [2, 3])])
def test_a_wait_can_be_cancelled(tasks: Guest, kind: str, code: int, cancelled: int, left: list[int]) -> None:
    create(tasks, kind)
    block = taken(tasks, kind)
    for number in (2, 3, 4):
        assert get(tasks, kind, number, timeout=9) == E_WAITING
    tasks.run(1)
    assert tasks.er("wait_cancel", cancelled, code) == E_OK
    assert tasks.wercd(cancelled) == code
    assert (tasks.tcb(cancelled, "state"), tasks.tcb(cancelled, "wait_kind")) == (READY, 0)
    assert tasks.tcb(cancelled, "has_deadline") == 0
    assert tasks.words(tasks.out(cancelled), 1) == (0xEEEEEEEE,)
    assert tasks.waiters(f"{kind}_table", POOL) == left
    assert tasks.get("need_dispatch") == (cancelled == 3)
    assert tasks.er(f"{kind}_release", POOL, block) == E_OK
    assert tasks.block(left[0]) == block


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_queued_after_a_cancelled_wait_are_served_again(tasks: Guest, kind: str) -> None:
    """Nothing is free while they come; then there is something, of which nobody has heard yet."""
    create(tasks, kind)
    layout = POOL_MPL if kind == "mpl" else POOL_MPF
    head = tasks.symbols[f"{kind}_table"] + layout.size * POOL + layout.offset("free")
    free = tasks.words(head, 1)[0]
    tasks.poke(head, 0)
    for number in (2, 3):
        assert get(tasks, kind, number) == E_WAITING
    tasks.poke(head, free)
    tasks.run(1)
    assert tasks.er("wait_cancel", 2, E_RLWAI) == E_OK
    assert (tasks.wercd(2), tasks.wercd(3), tasks.block(3)) == (E_RLWAI, E_OK, free + 8)
    assert tasks.waiters(f"{kind}_table", POOL) == []


@pytest.mark.parametrize("kind", KINDS)
def test_kernel_space_begins_with_its_first_byte(tasks: Guest, kind: str) -> None:
    create(tasks, kind)
    size = (MPL_SIZE,) if kind == "mpl" else ()
    assert tasks.er(f"{kind}_get", KERNEL - 1, POOL, *size, TMO_POL) == E_PAR
    assert tasks.er(f"{kind}_get", KERNEL, POOL, *size, TMO_POL) == E_OK
    assert tasks.er(f"{kind}_release", POOL, tasks.words(KERNEL, 1)[0]) == E_OK


def test_a_sleeping_task_is_in_no_queue(tasks: Guest) -> None:
    """What `slp_tsk` does is the native code's; here its words are put down."""
    tasks.set("ready_head", 4, 12)
    tasks.set_tcb(4, "prev", 0)
    tasks.set_tcb(2, "state", WAIT)
    tasks.set_tcb(2, "wait_kind", SLEEP)
    assert tasks.er("wait_cancel", 2, E_RLWAI) == E_OK
    assert tasks.ready(12) == [4, 2]
    assert (tasks.wercd(2), tasks.tcb(2, "state"), tasks.tcb(2, "wait_kind")) == (E_RLWAI, READY, 0)


@pytest.mark.parametrize(
    ("number", "code"),
    [(0, E_ID), (33, E_ID), (-1, E_ID), (-0x80000000, E_ID), (32, E_NOEXS), (2, E_OBJ), (7, E_OBJ)],
)
def test_who_does_not_wait_cannot_be_cancelled(tasks: Guest, number: int, code: int) -> None:
    tasks.set_tcb(7, "state", 1)
    before = tasks.state()
    assert tasks.er("wait_cancel", number, E_RLWAI) == code
    assert tasks.state() == before


def test_all_32_tasks_can_wait(guest: Guest) -> None:
    create(guest, "mpf", TA_TPRI)
    block = taken(guest, "mpf")
    for number in range(1, 33):
        guest.add_task(number, 1 + number % 31)
    for number in range(1, 33):
        assert get(guest, "mpf", number) == E_WAITING
    order = guest.waiters("mpf_table", POOL)
    assert order == sorted(range(1, 33), key=lambda number: (number % 31, number))
    for number in order:
        assert guest.er("mpf_release", POOL, block) == E_OK
        assert guest.block(number) == block
