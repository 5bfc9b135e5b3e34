"""The tasks of a kernel, while each instruction of its switches is executed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import BudgetUsedUp
from emulator.guest.tasks import GuestTask, TaskReader, task_reader

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

KERNEL = "firmware:btron_pools_wait"


def reader_of(machine: Machine) -> TaskReader:
    reader = task_reader(machine)
    assert reader is not None
    return reader


def step(machine: Machine, count: int = 1) -> None:
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=count)


def function(machine: Machine, eip: int) -> str:
    return machine.image.location(eip).function


def task(machine: Machine, number: int) -> GuestTask:
    return next(each for each in reader_of(machine).tasks() if each.number == number)


def test_before_there_are_tasks_the_kernel_runs() -> None:
    machine = boot(KERNEL)
    assert reader_of(machine).tasks() == [GuestTask(0, "running", is_running=True, registers={})]


def test_a_kernel_without_tasks_has_no_reader() -> None:
    assert task_reader(boot("firmware:demo")) is None


def test_a_task_runs_as_long_as_its_stack_is_used_and_goes_on_with_the_registers_it_had() -> None:
    machine = boot(KERNEL)
    reader = reader_of(machine)
    step(machine, 101_900)
    left: dict[int, dict[str, int]] = {}
    switches = 0
    for _ in range(8_000):
        step(machine)
        if function(machine, machine.registers().eip) != "switch_context":
            continue
        before, registers = reader.running(), machine.registers()
        (back,) = machine.memory.load_words(machine.translate(registers.esp) or 0, 1)
        kept = {name: getattr(registers, name) for name in ("ebx", "esi", "edi", "ebp")}
        left[before] = {**kept, "eip": back, "esp": registers.esp + 4}
        running = []
        while function(machine, machine.registers().eip) == "switch_context":
            running.append(reader.running())
            assert [task.number for task in reader.tasks() if task.is_running] == running[-1:]
            step(machine)
        after, now = reader.running(), machine.registers()
        assert running == [before] * running.count(before) + [after] * running.count(after), "it changes once"
        if task(machine, before).state.startswith("dormant"):
            assert task(machine, before).registers == {}, "it does not go on"
            del left[before]
        else:
            assert task(machine, before).registers == left[before]
        if after in left:
            assert {name: getattr(now, name) for name in left[after]} == left[after]
            switches += 1
    assert switches == 2


def test_states_are_said_in_words() -> None:
    machine = boot(KERNEL)
    step(machine, 101_000)
    states = {task.name: task.state for task in reader_of(machine).tasks()}
    assert states["kernel"] == "idle"
    assert states["task 1"] == "running, priority 30"
    assert states["task 2"] == "waits for memory pool 1, priority 20"


def test_registers_behind_another_switch_are_not_known() -> None:
    machine = boot(KERNEL)
    step(machine, 101_000)
    assert task(machine, 2).registers
    machine.memory.store_u8(machine.translate(machine.address_of("switch_context")) or 0, 0x90)
    assert task(machine, 2).registers == {}
    assert task(machine, 2).state.startswith("waits")
