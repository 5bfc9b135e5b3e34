"""A forked process has machines of its own: neither sees what the other's do."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import traceback
from typing import TYPE_CHECKING

import pytest

from emulator.machine.consoles import Console
from tests.helpers.guest import machine_of, symbol
from tests.helpers.page_tables import enable_paging, identity_tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from emulator.machine.core.handle import Mmu
    from emulator.machine.machine import Machine

PAGE = 4096
DATA = 0x0030_0000

COUNTER = f"""
1:      hlt
        movl    $0x{DATA:x}, %esi
        movl    $100, %ecx
2:      incl    (%esi)
        addl    $0x1000, %esi
        decl    %ecx
        jnz     2b
        incl    counter
        movb    $0x2e, %al
        outb    %al, $0xe9
        jmp     1b
        .data
        .globl  counter
counter: .long  0
"""


def in_child(look: Callable[[], object]) -> None:
    """Call a function in a forked process, and wait until it has ended."""
    child = os.fork()
    if not child:
        try:
            look()
        except BaseException:  # noqa: BLE001 - pytest must not go on here
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def state(machine: Machine) -> tuple[object, ...]:
    return (
        hashlib.sha256(machine.memory.view(0, len(machine.memory))).digest(),
        machine.cpu.registers(),
        bytes(machine.output[Console.DEBUG]),
    )


def counters(machine: Machine) -> tuple[int, int]:
    return machine.memory.load_u32(symbol(machine, "counter")), machine.memory.load_u32(DATA + 99 * PAGE)


def machine_with(mmu: Mmu, *, paging: bool) -> Machine:
    machine = machine_of((enable_paging() if paging else "") + COUNTER, mmu=mmu)
    identity_tables(machine)
    machine.run()
    machine.run()
    return machine


@pytest.mark.parametrize("paging", [False, True])
@pytest.mark.parametrize("mmu", ["fast", "ordinary", "reference"])
def test_both_go_on(mmu: Mmu, paging: bool) -> None:
    machine = machine_with(mmu, paging=paging)

    def go_on() -> None:
        assert counters(machine) == (1, 1)
        for _ in range(3):
            machine.run()
        machine.memory.store_u32(DATA, 1234)
        assert counters(machine) == (4, 4)

    before = state(machine)
    in_child(go_on)
    assert state(machine) == before
    machine.run()
    assert counters(machine) == (2, 2)


@pytest.mark.parametrize("mmu", ["fast", "ordinary", "reference"])
def test_snapshots_are_those_of_each(mmu: Mmu) -> None:
    machine = machine_with(mmu, paging=True)
    outer, at_outer = machine.snapshot(), state(machine)
    machine.run()
    inner, at_inner = machine.snapshot(), state(machine)
    machine.run()

    def go_back() -> None:
        assert counters(machine) == (3, 3)
        machine.memory.store_u32(DATA + 200 * PAGE, 1)
        inner.reset()
        assert state(machine) == at_inner
        machine.run()
        assert DATA + 99 * PAGE in outer.pages_written()
        outer.reset()
        assert state(machine) == at_outer

    before = state(machine)
    in_child(go_back)
    assert state(machine) == before
    go_back()


def test_a_process_forks_in_the_middle_of_a_run() -> None:
    machine = machine_with("fast", paging=True)
    children = []

    machine.pause_after(150, lambda: children.append(os.fork()))
    machine.run(timeout_s=60)
    assert counters(machine) == (2, 2)
    if children == [0]:
        os._exit(0 if counters(machine) == (2, 2) else 1)
    machine.run()
    assert len(children) == 1
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert counters(machine) == (3, 3)


def test_a_child_of_a_child() -> None:
    machine = machine_with("fast", paging=False)

    def go_on() -> None:
        machine.run()
        in_child(lambda: (machine.run(), machine.run()))
        assert counters(machine) == (2, 2)

    in_child(go_on)
    assert counters(machine) == (1, 1)


FRAME_BUFFER = """
        .macro  dispi index, value
        movw    $0x1ce, %dx
        movw    $\\index, %ax
        outw    %ax, %dx
        incw    %dx
        movw    $\\value, %ax
        outw    %ax, %dx
        .endm
        dispi   1, 640
        dispi   2, 480
        dispi   3, 8
        dispi   4, 1
1:      incl    0xa0000
        movl    0xa0000, %eax
        movl    %eax, seen
        hlt
        jmp     1b
        .data
        .globl  seen
seen:   .long   0
"""


def test_the_frame_buffer_is_of_each_too() -> None:
    machine = machine_of(FRAME_BUFFER)
    seen = symbol(machine, "seen")
    machine.run()

    def go_on() -> None:
        machine.run()
        machine.run()
        assert machine.memory.load_u32(seen) == 3

    in_child(go_on)
    with machine.snapshot():
        in_child(go_on)
    machine.run()
    assert machine.memory.load_u32(seen) == 2


def run_twice(machine: Machine, answer: Connection) -> None:
    machine.run()
    machine.run()
    answer.send(counters(machine))


def test_a_process_of_multiprocessing() -> None:
    machine = machine_with("fast", paging=True)
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    processes = [context.Process(target=run_twice, args=(machine, theirs)) for _ in range(3)]
    for process in processes:
        process.start()
    machine.run()
    assert [mine.recv() for _ in processes] == [(3, 3)] * 3
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert counters(machine) == (2, 2)


def test_many_machines() -> None:
    machines = [machine_with("fast", paging=number % 2 == 1) for number in range(10)]
    in_child(lambda: [machine.run() for machine in machines])
    assert [counters(machine) for machine in machines] == [(1, 1)] * 10
    del machines[::2]
    in_child(lambda: [machine.run() for machine in machines])
    assert [counters(machine) for machine in machines] == [(1, 1)] * 5
