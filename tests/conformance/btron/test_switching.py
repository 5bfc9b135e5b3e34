"""Tasks that run: where they begin, what they find, and that whoever waits goes on where it was.

Task 1 is whoever makes the calls of these tests. The code of task 2 is put together here, from calls of the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.conftest import FIRMWARE
from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH
from tests.helpers.strict_call import DF, IF, KEPT, return_address, stepped_call, strict_call

if TYPE_CHECKING:
    from emulator.testing import Kernel
    from tests.conformance.btron.subjects import Guest

pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=FIRMWARE)], indirect=True)

E_OK, E_DLT, E_TMOUT, E_RLWAI = 0, -81, -85, -86
DORMANT, READY = 1, 2
POOL = 3
EXINF = 0x1234_5678
CODE = SCRATCH + 0x800
SAW = SCRATCH + 0x400
MORE_URGENT, LESS_URGENT = 1, 31


@pytest.fixture
def tasks(guest: Guest) -> Guest:
    """Return a kernel whose task 1, of priority 10, runs; a pool of each kind has nothing left."""
    assert guest.er("mpl_create", POOL, guest.packet(0, 0, 24)) == E_OK
    assert guest.er("mpl_get", guest.out(0), POOL, 24, 0) == E_OK
    assert guest.er("mpf_create", POOL, guest.packet(0, 0, 1, 24)) == E_OK
    assert guest.er("mpf_get", guest.out(1), POOL, 0) == E_OK
    guest.add_task(1)
    guest.run(1)
    return guest


def load(code: bytearray, opcode: str, address: int) -> None:
    code += bytes.fromhex(opcode) + address.to_bytes(4, "little")


def call(guest: Guest, code: bytearray, name: str, *arguments: int) -> None:
    """Append a call of a function of the kernel."""
    for argument in reversed(arguments):
        load(code, "68", argument & 0xFFFFFFFF)  # push
    following = CODE + len(code) + 5
    load(code, "e8", (guest.symbols[name] | KERNEL) - following & 0xFFFFFFFF)
    code += bytes((0x83, 0xC4, 4 * len(arguments)))  # add esp


def notes(code: bytearray) -> None:
    """Append instructions that write down both arguments, EFLAGS and ESP at a task's entry."""
    load(code, "8b442404 a3", SAW)  # mov eax, [esp+4]
    load(code, "8b442408 a3", SAW + 4)
    load(code, "9c 8f05", SAW + 8)  # pushf, pop
    load(code, "8925", SAW + 12)  # mov [], esp


def spoils(code: bytearray) -> None:
    """Append instructions that put other values into the registers that a function keeps, and set DF."""
    for opcode in ("bb", "be", "bf", "bd"):
        load(code, opcode, 0xDEADBEEF)
    code += b"\xfd"


@pytest.fixture(params=[False, True], ids=["interrupts off", "interrupts on"])
def interrupts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def start(guest: Guest, code: bytearray, priority: int, interrupts: bool, kernel: Kernel) -> int:
    """Create task 2 and start it; return what `sta_tsk` does."""
    guest.memory.write(CODE - KERNEL, bytes(code))
    assert guest.er("cre_tsk", 2, guest.packet(EXINF, 1, CODE, priority, PAGE)) == E_OK
    return made(kernel, interrupts, "sta_tsk", 2, 7)


def made(kernel: Kernel, interrupts: bool, name: str, *arguments: int) -> int:
    """Make a call as task 1 and return its ``ER``."""
    word = strict_call(kernel.machine, name, *arguments, interrupts=interrupts)
    return word - (word >> 31 << 32)


@pytest.mark.parametrize("returns", [False, True])
def test_a_more_urgent_task_runs_at_once(
    tasks: Guest, kernel: Kernel, interrupts: bool, returns: bool
) -> None:
    """It ends by `ext_tsk`, whether it calls that or returns."""
    code = bytearray()
    notes(code)
    call(tasks, code, "dis_dsp")
    if returns:
        code += b"\xc3"
    else:
        spoils(code)
        call(tasks, code, "ext_tsk")
    assert start(tasks, code, MORE_URGENT, interrupts, kernel) == E_OK
    stacd, exinf, flags, esp = tasks.words(SAW, 4)
    assert (stacd, exinf, flags & (IF | DF)) == (7, EXINF, IF)
    assert (esp + 4) % 16 == 0  # i386 psABI 2.2.2
    stack = tasks.tcb(2, "stack")
    assert stack < esp < stack + PAGE
    assert (tasks.tcb(2, "state"), tasks.ready(MORE_URGENT)) == (DORMANT, [])
    assert (tasks.tcb(1, "state"), tasks.ready(10)) == (READY, [1])
    assert [tasks.get(name) for name in ("current_task", "need_dispatch", "sys_dispatch_disabled")] == [
        1,
        0,
        0,
    ]


def test_the_switch_keeps_registers_on_the_stack(tasks: Guest, kernel: Kernel) -> None:
    back = return_address(kernel.machine)
    frame = SCRATCH + 0x600
    tasks.poke(frame, 11, 12, 13, 14, back)
    *_, after = stepped_call(kernel.machine, "switch_context", SAW, frame)
    assert (after.edi, after.esi, after.ebx, after.ebp, after.esp) == (11, 12, 13, 14, frame + 20)
    kept = [KEPT[name] for name in ("edi", "esi", "ebx", "ebp")]
    assert tasks.words(tasks.words(SAW, 1)[0], 5) == (*kept, back)


def test_no_interrupt_comes_between_the_timer_and_the_first_task(tasks: Guest, kernel: Kernel) -> None:
    entries = {tasks.symbols[name] | KERNEL for name in ("timer_start", "dispatch")}
    for registers in stepped_call(kernel.machine, "tasks_run"):
        if registers.eip in entries:
            assert not registers.eflags & IF
            entries.remove(registers.eip)
        if not entries:
            return


def test_a_task_of_the_same_priority_has_to_wait(tasks: Guest, kernel: Kernel, interrupts: bool) -> None:
    code = bytearray()
    notes(code)
    assert start(tasks, code, 10, interrupts, kernel) == E_OK
    assert tasks.words(SAW, 1) == (0xEEEEEEEE,)
    assert tasks.ready(10) == [1, 2]


def test_ena_dsp_lets_the_more_urgent_task_run(tasks: Guest, kernel: Kernel, interrupts: bool) -> None:
    code = bytearray()
    notes(code)
    code += b"\xc3"
    assert made(kernel, interrupts, "dis_dsp") == E_OK
    assert start(tasks, code, MORE_URGENT, interrupts, kernel) == E_OK
    assert tasks.words(SAW, 1) == (0xEEEEEEEE,)
    assert made(kernel, interrupts, "ena_dsp") == E_OK
    assert tasks.words(SAW, 1) == (7,)
    assert (tasks.get("current_task"), tasks.tcb(2, "state")) == (1, DORMANT)


BLOCKS = {"rel_blk": 0, "rel_blf": 1}
"""Slots of the blocks that are in use."""

WAITS = [
    # what task 1 calls, what task 2 then calls (with the block in use, if that is for blocks), what task 1 gets
    (("slp_tsk",), ("wup_tsk", 1), E_OK),
    (("slp_tsk",), ("rel_wai", 1), E_RLWAI),
    (("get_blk", SCRATCH, POOL, 24), ("rel_blk", POOL), E_OK),
    (("get_blk", SCRATCH, POOL, 24), ("rel_wai", 1), E_RLWAI),
    (("get_blk", SCRATCH, POOL, 24), ("del_mpl", POOL), E_DLT),
    (("tget_blk", SCRATCH, POOL, 24, 1), ("tick_handle",), E_TMOUT),
    (("get_blf", SCRATCH, POOL), ("rel_blf", POOL), E_OK),
    (("get_blf", SCRATCH, POOL), ("del_mpf", POOL), E_DLT),
    (("tget_blf", SCRATCH, POOL, 1), ("tick_handle",), E_TMOUT),
]


@pytest.mark.parametrize(("wait", "by", "result"), WAITS)
def test_who_waits_goes_on_when_that_has_an_end(
    tasks: Guest,
    kernel: Kernel,
    interrupts: bool,
    wait: tuple[str, *tuple[int, ...]],
    by: tuple[str, *tuple[int, ...]],
    result: int,
) -> None:
    block = tasks.block(BLOCKS.get(by[0], 0))
    code = bytearray()
    spoils(code)
    code += b"\xfc\xfa"  # cld; cli, as in the tick's interrupt
    call(tasks, code, *by, *([block] if by[0] in BLOCKS else []))
    assert start(tasks, code, LESS_URGENT, interrupts, kernel) == E_OK
    assert tasks.get("current_task") == 1
    assert made(kernel, interrupts, *wait) == result
    assert (tasks.get("current_task"), tasks.get("need_dispatch")) == (1, 0)
    assert (tasks.tcb(1, "state"), tasks.tcb(1, "wait_kind"), tasks.ready(10)) == (READY, 0, [1])
    assert tasks.ready(LESS_URGENT) == [2]  # in the middle of its call
    if by[0] in BLOCKS:
        assert tasks.words(SCRATCH, 1) == (block,)
