from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import BudgetUsedUp, KernelMismatch
from emulator.guest.described_tasks import DescribedTasks
from emulator.guest.tasks import GuestTask, task_reader
from emulator.profile.tasks import TaskRules
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine

BTRON = TaskRules(
    list="tcb_table",
    id="tskid",
    unused=("state", 0),
    stack="stack",
    stack_size=0x1000,
    esp="esp",
    pushed=("edi", "esi", "ebx", "ebp", "eip"),
)
SOURCE = """
struct context { unsigned esp; };
struct task { int pid; char comm[8]; unsigned char state; struct context context; char *stack; struct task *next; };
static char stacks[3][256];
static unsigned saved[] = {0x11, 0x22, 0x33};
struct task c = {9, "last", 2, {(unsigned)saved}, stacks[2], 0};
struct task b = {7, "middle", 0, {0}, stacks[1], &c};
struct task a = {5, "\\033first!", 1, {0}, stacks[0], &b};
struct task *first = &a;
struct task *current = &a;
struct { int lock; struct task *all[4]; } table = {0, {&a, 0, &b, &c}};
struct task slots[3] = {{3, "three", 1, {0}, 0, 0}, {0}, {4, "four", 1, {0}, (char *)0xf0000000, 0}};
void _start(void) { __asm__ volatile("" :: "r"(&table), "r"(slots), "r"(first), "r"(current)); for (;;); }
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder: Path = tmp_path_factory.mktemp("tasks")
    return boot(str(compile_kernel(folder, SOURCE, ["-g"])))


LIST = TaskRules(
    list="first",
    id="pid",
    next="next",
    name="comm",
    current="current",
    esp="context.esp",
    pushed=("ebx", "eip", "esi"),
)


def summary(tasks: list[GuestTask]) -> list[tuple[int, str, bool]]:
    return [(each.number, each.title, each.is_running) for each in tasks]


def test_a_list_is_followed_to_its_end(machine: Machine) -> None:
    reader = DescribedTasks(machine, LIST)
    assert summary(reader.tasks()) == [(5, "\\x1bfirst!", True), (7, "middle", False), (9, "last", False)]
    assert reader.running() == 5


def test_registers_lie_where_esp_points_to(machine: Machine) -> None:
    _, middle, last = DescribedTasks(machine, LIST).tasks()
    assert middle.registers == {}, "its ESP is 0"
    saved = last.registers["esp"] - 12
    assert last.registers == {"ebx": 0x11, "eip": 0x22, "esi": 0x33, "esp": saved + 12}
    assert last.name == "task 9 last"


@pytest.mark.parametrize(
    ("rules", "numbers"),
    [
        (replace(LIST, list="table.all", next=""), [5, 7, 9]),
        (replace(LIST, list="table.all", next="", unused=("state", 0)), [5, 9]),
        (replace(LIST, list="slots", next="", current="first"), [0, 3, 4]),
        (replace(LIST, list="a"), [5, 7, 9]),
        (replace(LIST, next=""), [5]),
    ],
)
def test_arrays_hold_structures_or_pointers(machine: Machine, rules: TaskRules, numbers: list[int]) -> None:
    assert [task.number for task in DescribedTasks(machine, rules).tasks()] == numbers


def test_a_list_that_is_a_ring_or_leads_nowhere_has_an_end(machine: Machine) -> None:
    last = machine.image.symbols["c"].address
    following = last + 24
    before = machine.memory.read(following, 4)
    for value in (machine.image.symbols["a"].address, 0xF000_0000, 0xFFFF_FFFE):
        machine.memory.write(following, value.to_bytes(4, "little"))
        assert [task.number for task in DescribedTasks(machine, LIST).tasks()] == [5, 7, 9]
    machine.memory.write(following, before)


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        (replace(LIST, list="nothing"), "variable nothing"),
        (replace(LIST, list="stacks"), "structure in stacks"),
        (replace(LIST, list="table.some"), "member some in table.some"),
        (replace(LIST, id="number"), "member number in number"),
        (replace(LIST, esp="context.eip"), "member eip in context.eip"),
        (replace(LIST, unused=("flag", 0)), "member flag in flag"),
        (replace(LIST, current="nobody"), "variable nobody"),
    ],
)
def test_what_the_kernel_lacks_is_said(machine: Machine, rules: TaskRules, what: str) -> None:
    with pytest.raises(KernelMismatch) as caught:
        DescribedTasks(machine, rules)
    assert caught.value.problem == f"its debug information has no {what}, which the profile's [tasks] names"


@pytest.mark.parametrize(("offset", "running"), [(0, 0), (4, 5), (256, 5), (260, 7), (768, 9), (772, 0)])
def test_the_task_runs_whose_stack_esp_points_into(machine: Machine, offset: int, running: int) -> None:
    reader = DescribedTasks(machine, replace(LIST, current="", stack="stack", stack_size=256))
    before = machine.registers()
    machine.cpu.set_registers(before._replace(esp=machine.image.symbols["stacks"].address + offset))
    assert reader.running() == running
    assert [task.number for task in reader.tasks() if task.is_running] == [running]
    machine.cpu.set_registers(before)


def test_btrons_tasks_can_be_described() -> None:
    machine = boot("firmware:btron_pools_wait")
    known, described = task_reader(machine), DescribedTasks(machine, BTRON)
    assert known is not None
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=101_900)
    moves = 0
    for _ in range(300):
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=37)
        assert described.running() == known.running()
        theirs = {task.number: task for task in known.tasks() if task.number}
        ours = {task.number: task for task in described.tasks() if task.number}
        assert ours.keys() == theirs.keys()
        for number, task in theirs.items():
            if "dormant" not in task.state:
                assert ours[number].registers == task.registers
                moves += 1
    assert moves > 300
