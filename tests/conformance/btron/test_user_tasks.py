"""Spec 2.6: what a task in ring 3 finds, what it may ask for, and how it shares the machine with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator.hle.layers import Mode, attach_layers
from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH
from tests.helpers.ring3 import (
    GET_TID,
    HEAP,
    PROGRAM,
    PUT_CON,
    READ,
    SLP_TSK,
    STACK_END,
    TEXT,
    USABLE,
    USER,
    WRITE,
    WUP_TSK,
    UserTasks,
    assembled,
)

if TYPE_CHECKING:
    from emulator.testing import Kernel
    from tests.conformance.btron.subjects import Guest

USER_KERNEL: Final = pytest.mark.kmemu(kernel="firmware:vm_demo", walk_heap=False, check=False)
pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=USER_KERNEL)], indirect=True)

E_OK, E_RSFN, E_PAR, E_ID, E_OBJ, E_MACV, E_OACV = 0, -20, -33, -35, -63, -65, -66
DORMANT, READY, WAIT = 1, 2, 4
TASK, OTHER = 2, 3
EXINF: Final = 0x1234_5678
LESS_URGENT: Final = 20
VCRE_REG, VDEL_REG, VMAP_REG, VUNM_REG, VPRT_REG, VSTS_REG = range(6, 12)
SLEEP: Final = f"mov ${SLP_TSK}, %eax; int $0x40\n"


@pytest.fixture
def tasks(guest: Guest, kernel: Kernel) -> UserTasks:
    return UserTasks(guest, kernel)


def notes(tasks: UserTasks, *registers: str) -> str:
    """Return instructions that write registers or memory operands to the task's data, one after the other."""
    stores = (f"push {name}; pop {tasks.data + 4 * index:#x}\n" for index, name in enumerate(registers))
    return "".join(stores)


def call(number: int, *arguments: int) -> str:
    """Return instructions that make a call; EAX has its result."""
    pushes = "".join(f"push ${argument & 0xFFFFFFFF:#x}\n" for argument in reversed(arguments))
    return f"{pushes} mov %esp, %ebx; mov ${number:#x}, %eax; int $0x40; add ${4 * len(arguments)}, %esp\n"


def kept(tasks: UserTasks, *calls: str) -> str:
    """Return instructions that make calls and keep what they answered."""
    return "".join(
        f"{each} mov %eax, {tasks.data + 0x40 + 4 * index:#x}\n" for index, each in enumerate(calls)
    )


def answers(tasks: UserTasks, count: int) -> list[int]:
    """Return what the calls of a task answered."""
    words = tasks.words(TASK, tasks.data + 0x40, count)
    return [word - (word >> 31 << 32) for word in words]


def results(tasks: UserTasks, *calls: str) -> list[int]:
    """Let a task make calls and return what they answered."""
    tasks.run(TASK, kept(tasks, *calls) + SLEEP)
    return answers(tasks, len(calls))


# The beginning.


def test_a_program_begins_in_ring_3_with_its_arguments_and_nothing_of_the_kernels(tasks: UserTasks) -> None:
    general = ("%eax", "%ebx", "%ecx", "%edx", "%esi", "%edi", "%ebp")
    saved = "".join(
        f"mov %{name}, %eax; mov %eax, {tasks.data + 0x60 + 4 * index:#x}\n"
        for index, name in enumerate(("cs", "ss", "ds", "es", "fs", "gs"))
    )
    flags = f"pushf; pop {tasks.data + 0x80:#x}\n"
    source = flags + notes(tasks, *general, "%esp") + saved + SLEEP
    tasks.run(TASK, source, stacd=77, exinf=EXINF)
    assert tasks.words(TASK, tasks.data, 8) == (0, 0, 0, 0, 0, 0, 0, STACK_END - 20)
    assert tasks.words(TASK, tasks.data + 0x60, 6) == (0x1B, 0x23, 0x23, 0x23, 0x23, 0x23)
    assert tasks.words(TASK, tasks.data + 0x80, 1)[0] & 0x7F00 == 0x200  # IF; no IOPL, no DF, no TF
    assert tasks.words(TASK, STACK_END - 20, 3) == (TEXT, 77, EXINF)


def test_what_the_kernel_has_in_registers_does_not_get_into_ring_3(tasks: UserTasks) -> None:
    """Those that a function keeps come from the new task's kernel stack, where anything may be."""
    guest = tasks.guest
    kept = ("%edi", "%esi", "%ebx", "%ebp")
    guest.set("sys_dispatch_disabled", 1)
    tasks.run(TASK, notes(tasks, *kept) + SLEEP)
    guest.poke(guest.tcb(TASK, "esp"), *(0xDEADBEEF for _ in kept))
    assert guest.er("ena_dsp") == E_OK
    assert tasks.words(TASK, tasks.data, 4) == (0, 0, 0, 0)


def test_what_was_in_a_page_before_is_not_in_the_text(tasks: UserTasks) -> None:
    size = tasks.kernel.machine.image.symbols["__user_text_size"].address
    start = tasks.guest.get("text_pages") & ~KERNEL
    assert tasks.guest.memory.read(start + size, PAGE - size) == bytes(PAGE - size)


def test_a_program_that_returns_has_ended(tasks: UserTasks) -> None:
    free = tasks.free
    tasks.run(TASK, "ret")
    assert tasks.guest.tcb(TASK, "state") == DORMANT
    assert tasks.free == free - 2  # kernel stack and directory
    assert tasks.guest.er("del_tsk", TASK) == E_OK
    assert tasks.free == free


def test_each_start_finds_the_data_of_the_image(tasks: UserTasks) -> None:
    first = tasks.kernel.machine.image.symbols["numbers"].address
    tasks.run(TASK, f"addl $41, {first:#x}; {SLEEP} ret")
    assert tasks.words(TASK, first) == (42,)
    assert tasks.guest.er("wup_tsk", TASK) == E_OK
    assert tasks.guest.er("sta_tsk", TASK, 0) == E_OK
    assert tasks.words(TASK, first) == (42,)


# Beside others.


def test_two_tasks_have_different_pages_at_one_address(tasks: UserTasks) -> None:
    for number in (TASK, OTHER):
        tasks.run(
            number, f"mov 4(%esp), %eax; mov %eax, {tasks.data:#x}; push %eax; {SLEEP} ret", stacd=number
        )
    for number in (TASK, OTHER):
        assert tasks.words(number, tasks.data) == (number,)
        assert tasks.words(number, STACK_END - 24) == (number,)


def test_the_text_is_the_same_pages_for_all(tasks: UserTasks) -> None:
    page = (tasks.guest.get("text_pages") & ~KERNEL) // PAGE
    assert tasks.guest.page(page) == (1, 1)
    tasks.run(TASK, SLEEP)
    tasks.run(OTHER, SLEEP)
    assert tasks.guest.page(page) == (1, 3)
    for number in (TASK, OTHER):
        assert tasks.guest.er("ter_tsk", number) == E_OK
    assert tasks.guest.page(page) == (1, 1)


def test_segment_registers_are_a_tasks_own(tasks: UserTasks) -> None:
    """Even where one has put nothing into those that the kernel uses."""
    source = "mov 4(%esp), %eax; mov %eax, %fs; mov %eax, %gs; mov %eax, %es; mov %eax, %ds\n" + SLEEP
    source += "mov %ds, %eax; mov %es, %ebx; mov %fs, %ecx; mov %gs, %edx; mov $0x23, %esi; mov %esi, %ds\n"
    source += notes(tasks, "%eax", "%ebx", "%ecx", "%edx") + SLEEP
    for number, selector in ((TASK, 0x1B), (OTHER, 0)):
        tasks.run(number, source, stacd=selector)
    for number, selector in ((TASK, 0x1B), (OTHER, 0)):
        assert tasks.guest.er("wup_tsk", number) == E_OK
        assert tasks.words(number, tasks.data, 4) == (selector,) * 4


def test_registers_and_flags_survive_a_call(tasks: UserTasks) -> None:
    source = "mov $11, %ecx; mov $12, %edx; mov $13, %esi; mov $14, %edi; mov $15, %ebp; std; stc\n"
    source += SLEEP + notes(tasks, "%ecx", "%edx", "%esi", "%edi", "%ebp", "%esp")
    source += f"pushf; pop {tasks.data + 0x40:#x}; cld\n{SLEEP}"
    tasks.run(TASK, source)
    assert tasks.guest.er("wup_tsk", TASK) == E_OK
    assert tasks.words(TASK, tasks.data, 6) == (11, 12, 13, 14, 15, STACK_END - 20)
    assert tasks.words(TASK, tasks.data + 0x40)[0] & 0x601 == 0x601  # DF, IF, CF


def test_the_tick_comes_in_ring_3_and_the_more_urgent_goes_on(tasks: UserTasks) -> None:
    """A less urgent program counts for ever; task 1 waits for time and is back on its own stack and in its own space."""
    guest = tasks.guest
    tasks.create(TASK, tasks.load(f"1: incl {tasks.data:#x}; jmp 1b"), priority=LESS_URGENT)
    assert guest.er("sta_tsk", TASK, 0) == E_OK
    assert guest.er("mpf_create", 3, guest.packet(0, 0, 1, 8)) == E_OK
    assert guest.er("mpf_get", guest.out(), 3, 0) == E_OK
    guest.call("timer_start")
    assert guest.er("tget_blf", guest.out(), 3, 3) == -85
    first = tasks.words(TASK, tasks.data)[0]
    assert first > 100
    assert guest.er("tget_blf", guest.out(), 3, 3) == -85
    assert tasks.words(TASK, tasks.data)[0] > first
    assert (guest.get("current_task"), guest.tcb(TASK, "state")) == (1, READY)


# Calls.


def test_an_unknown_call_is_refused(tasks: UserTasks) -> None:
    unknown = (0, 12, 0x7FFFFFFF, 0x80000001, 0xFFFFFFFF)
    assert results(tasks, *(call(number) for number in unknown)) == [E_RSFN] * len(unknown)


BAD_BLOCKS: Final = (
    0,
    TEXT - 4,
    HEAP - 4,
    STACK_END - 3,
    STACK_END,
    0x7FFFFFFC,
    0x80000000,
    0x80101000,
    0xFFFFFFFC,
)


def test_arguments_out_of_reach_are_refused(tasks: UserTasks) -> None:
    made = (f"mov ${block:#x}, %ebx; mov ${WUP_TSK}, %eax; int $0x40\n" for block in BAD_BLOCKS)
    assert results(tasks, *made) == [E_MACV] * len(BAD_BLOCKS)


def test_a_result_goes_only_where_the_task_may_write(tasks: UserTasks) -> None:
    outs = (*BAD_BLOCKS, TEXT, PROGRAM, tasks.data - 1, tasks.data - 4)
    assert results(tasks, *(call(GET_TID, out) for out in outs)) == [E_MACV] * len(outs)
    assert results_of_good(tasks) == (OTHER,)


def results_of_good(tasks: UserTasks) -> tuple[int, ...]:
    tasks.run(OTHER, call(GET_TID, tasks.data + 2) + SLEEP)
    return tasks.words(OTHER, tasks.data + 2)


def test_text_is_printed_from_where_the_task_may_read(tasks: UserTasks) -> None:
    store = f"movl $0x0a216948, {tasks.data:#x}\n"
    codes = results(
        tasks,
        store + call(PUT_CON, tasks.data, 4),
        call(PUT_CON, tasks.data, 0),
        call(PUT_CON, tasks.data, -1),
        call(PUT_CON, tasks.data, 129),
        *(call(PUT_CON, start, 1) for start in (0, 0x80101000, 0x30000000)),
    )
    assert codes == [E_OK, E_PAR, E_PAR, E_PAR, E_MACV, E_MACV, E_MACV]
    assert tasks.console == "Hi!\n"


def test_a_call_touches_pages_as_the_task_would(tasks: UserTasks) -> None:
    free = tasks.free
    tasks.run(
        TASK,
        f"mov ${STACK_END - 3 * PAGE - 2:#x}, %eax; push %eax; mov %esp, %ebx; mov ${GET_TID}, %eax; int $0x40; {SLEEP}",
    )
    assert tasks.words(TASK, STACK_END - 3 * PAGE - 2) == (TASK,)
    assert tasks.free == free - 8  # as always 6, and two more of the stack


def test_a_region_is_a_tasks_own(tasks: UserTasks) -> None:
    region = 0x2000_0000
    assert (
        results(
            tasks,
            call(VCRE_REG, 1, region, 1, 1, USABLE, 0),
            call(VDEL_REG, 1, region),
            call(VMAP_REG, 1, region, 1, USABLE),
            call(VUNM_REG, 1, region, 1),
            call(VPRT_REG, 1, region, USABLE),
            call(VSTS_REG, 1, region, HEAP),
            call(VCRE_REG, TASK, region, 1, 1, USABLE, KERNEL | 0x101000),
            call(VCRE_REG, TASK, region, 1, 1, USABLE, 0),
            call(VMAP_REG, TASK, region, 1, USABLE),
            call(VUNM_REG, TASK, region, 1),
            call(VPRT_REG, TASK, region, USABLE),
            call(VDEL_REG, TASK, region),
        )
        == [E_OACV] * 6 + [E_PAR] + [E_OK] * 5
    )


def test_the_text_is_nobodys_own(tasks: UserTasks) -> None:
    assert (
        results(
            tasks,
            call(VPRT_REG, TASK, TEXT, USABLE),
            call(VPRT_REG, TASK, TEXT + PAGE - 1, USABLE),
            call(VDEL_REG, TASK, TEXT),
            call(VUNM_REG, TASK, TEXT, 1),
            call(VCRE_REG, TASK, TEXT, 1, 1, USABLE, 0),
        )
        == [E_OACV] * 5
    )


def test_what_the_kernel_alone_may_use_is_out_of_reach(tasks: UserTasks) -> None:
    guest = tasks.guest
    tasks.create(TASK, tasks.load(call(GET_TID, 0x2000_0000) + f"mov %eax, {tasks.data:#x}; {SLEEP}"))
    assert guest.er("vcre_reg", TASK, 0x2000_0000, 1, 1, 3, 0) == E_OK
    assert guest.er("vmap_reg", TASK, 0x2000_0000, 1, 3) == E_OK
    assert guest.er("sta_tsk", TASK, 0) == E_OK
    assert tasks.words(TASK, tasks.data) == (E_MACV & 0xFFFFFFFF,)


def test_a_region_without_its_permission_is_not_a_tasks_to_change(tasks: UserTasks) -> None:
    guest, region = tasks.guest, 0x2000_0000
    calls = (
        call(VPRT_REG, TASK, region, USABLE),
        call(VMAP_REG, TASK, region, 1, READ | WRITE),
        call(VUNM_REG, TASK, region, 1),
        call(VDEL_REG, TASK, region),
    )
    tasks.create(TASK, tasks.load(kept(tasks, *calls) + SLEEP))
    assert guest.er("vcre_reg", TASK, region, 1, 1, READ | WRITE, 0) == E_OK
    assert guest.er("vmap_reg", TASK, region, 1, READ | WRITE) == E_OK
    assert guest.er("sta_tsk", TASK, 0) == E_OK
    assert answers(tasks, len(calls)) == [E_OACV] * len(calls)
    assert tasks.words(TASK, region) == (0,)


def test_a_page_of_the_kernels_in_a_tasks_region_is_out_of_reach(tasks: UserTasks) -> None:
    """Neither what the kernel copies on the task's behalf nor a new protection of the region leads to it."""
    guest, region = tasks.guest, 0x2000_0000
    block = f"mov ${region + PAGE - 4:#x}, %ebx; mov ${PUT_CON}, %eax; int $0x40\n"
    calls = (
        call(GET_TID, region + PAGE),
        call(GET_TID, region + PAGE - 2),
        call(PUT_CON, region + PAGE, 1),
        block,
        call(VPRT_REG, TASK, region, USABLE),
    )
    tasks.create(TASK, tasks.load(kept(tasks, *calls) + SLEEP))
    assert guest.er("vcre_reg", TASK, region, 1, 2 * PAGE, USABLE, 0) == E_OK
    assert guest.er("vmap_reg", TASK, region, 1, USABLE) == E_OK
    assert guest.er("vmap_reg", TASK, region + PAGE, 1, READ | WRITE) == E_OK
    assert guest.er("sta_tsk", TASK, 0) == E_OK
    assert answers(tasks, len(calls)) == [E_MACV] * 4 + [E_OACV]
    assert tasks.console == ""
    assert tasks.words(TASK, region + PAGE - 4, 2) == (0, 0)


def test_a_task_cannot_let_itself_write_to_pages_of_others(tasks: UserTasks) -> None:
    guest, region = tasks.guest, 0x2000_0000
    calls = (
        call(VPRT_REG, TASK, region, USABLE),
        call(VPRT_REG, TASK, region, READ | USER),
        call(VUNM_REG, TASK, region, 1),
        call(VPRT_REG, TASK, region, USABLE),
    )
    tasks.create(OTHER, tasks.load(SLEEP))
    assert guest.er("vcre_reg", OTHER, region, 1, 1, READ | USER, 0) == E_OK
    assert guest.er("vmap_reg", OTHER, region, 1, READ | USER) == E_OK
    tasks.create(TASK, tasks.load(kept(tasks, *calls) + SLEEP))
    assert guest.er("vshr_reg", OTHER, TASK, region) == E_OK
    assert guest.er("sta_tsk", TASK, 0) == E_OK
    assert answers(tasks, len(calls)) == [E_OACV, E_OK, E_OK, E_OK]


def test_a_task_wakes_another(tasks: UserTasks) -> None:
    tasks.run(TASK, f"{SLEEP} movl $1, {tasks.data:#x}; {SLEEP}")
    tasks.run(OTHER, call(WUP_TSK, TASK) + f"mov %eax, {tasks.data:#x}; {SLEEP}")
    assert tasks.words(TASK, tasks.data) == (1,)
    assert tasks.words(OTHER, tasks.data) == (E_OK,)
    assert [tasks.guest.tcb(number, "state") for number in (TASK, OTHER)] == [WAIT, WAIT]


def test_a_program_cannot_make_descriptors(tasks: UserTasks) -> None:
    """Neither data for its own ring nor a gate into the kernel, in the first pages, where a CPU has its local table after a reset."""
    make = call(VCRE_REG, TASK, 0, 1, 1, USABLE, 0) + call(VMAP_REG, TASK, 0, 1, USABLE)
    make += "movl $0x0000ffff, 8; movl $0x00cff200, 12; movl $0x00080000, 16; movl $0x0000ec00, 20\n"
    tasks.run(TASK, make + "mov $0xf, %eax; mov %eax, %gs\n" + SLEEP)
    assert tasks.console.endswith("error 0x0000000c\n")
    tasks.run(OTHER, make.replace(f"push ${TASK:#x}\n", f"push ${OTHER:#x}\n") + "lcall $0x17, $0\n" + SLEEP)
    assert tasks.console.endswith("error 0x00000014\n")
    assert [tasks.guest.tcb(number, "state") for number in (TASK, OTHER)] == [DORMANT, DORMANT]


@pytest.mark.parametrize("mode", [Mode.NATIVE, Mode.MODEL])
def test_a_program_is_executed_as_it_was_put_there(tasks: UserTasks, kernel: Kernel, mode: Mode) -> None:
    """Also where another one has run in the same page."""
    attach_layers(kernel.machine, {"regions": mode})
    start = tasks.load(f"mov ${tasks.data + 0x40:#x}, %eax; jmp *%eax")
    for number in (1, 2):
        code = assembled(f"movl ${number}, {tasks.data:#x}; {SLEEP}", tasks.data + 0x40)
        tasks.guest.memory.write(SCRATCH - KERNEL + 0x800, code)
        tasks.create(TASK, start)
        assert tasks.guest.er("vput_reg", TASK, tasks.data + 0x40, len(code), SCRATCH + 0x800) == E_OK
        assert tasks.guest.er("sta_tsk", TASK, 0) == E_OK
        assert tasks.words(TASK, tasks.data) == (number,)
        assert tasks.guest.er("ter_tsk", TASK) == E_OK
        assert tasks.guest.er("del_tsk", TASK) == E_OK
