"""Whose address spaces are, and what their ranges are for, in the two kernels that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.guest.memory_map.reader import read_memory_map
from emulator.guest.memory_map.spaces import Backing
from kernel_model.structs import REGION, SPACE_BYTES

if TYPE_CHECKING:
    from emulator.guest.memory_map.spaces import Space
    from emulator.machine.machine import Machine

PAGE = 0x1000
READ, WRITE, EXEC, STACK = 1, 2, 4, 0x2_0000


def booted(name: str) -> Machine:
    machine = boot(name)
    machine.run(timeout_s=60)
    return machine


@pytest.fixture(scope="module")
def litecore() -> Machine:
    return booted("firmware:paging_demo")


@pytest.fixture(scope="module")
def btron() -> Machine:
    return booted("firmware:vm_demo")


def spaces_of(machine: Machine) -> tuple[Space, ...]:
    found = read_memory_map(machine).spaces
    assert found is not None
    return found.spaces


def test_litecore_has_one(litecore: Machine) -> None:
    with litecore.snapshot():
        block = litecore.call("vmalloc", 2 * PAGE)
        kept = litecore.call("vspace_alloc", 3)
        (space,) = spaces_of(litecore)
    assert (space.name, space.in_use) == ("the kernel", True)
    named = [(each.start, each.end, each.name, each.backing) for each in space.ranges if each.start >= block]
    assert named == [
        (block, block + 2 * PAGE, "vmalloc", Backing.RAM),
        (kept, kept + 3 * PAGE, "vspace_alloc", Backing.UNMAPPED),
    ]


def test_ranges_that_lead_out_of_memory_are_noted(litecore: Machine) -> None:
    with litecore.snapshot():
        litecore.memory.store_u32(litecore.image.symbols["vspace_ranges"].address, 0xFFFFFFF0)
        found = read_memory_map(litecore)
    assert found.spaces is not None
    assert [each.name for each in found.spaces.spaces] == ["the kernel"]
    assert any(note.startswith("the ranges of vspace cannot be read: ") for note in found.notes)


def with_region(machine: Machine, task: int, slot: int, start: int, size: int, permission: int) -> None:
    table = machine.image.symbols["space_table"].address & 0x7FFFFFFF
    at = table + SPACE_BYTES * task + 4 + REGION.size * slot
    machine.memory.store_words(at, (start, size, size, permission, 0, 0))


def test_btrons_are_those_of_its_tasks(btron: Machine) -> None:
    with btron.snapshot():
        with_region(btron, 1, 3, 0x400000, PAGE, READ | EXEC)
        with_region(btron, 1, 1, 0x7FFF0000, 2 * PAGE, READ | WRITE | STACK)
        with_region(btron, 1, 0, 0x500000, PAGE, READ | WRITE)
        kernel, task = spaces_of(btron)
    assert (kernel.name, task.name) == ("the kernel", "task 1")
    assert kernel.directory == btron.image.symbols["page_directory"].address & 0x7FFFFFFF
    assert [kernel.in_use, task.in_use].count(True) == 1
    assert [(each.start, each.end, each.name) for each in task.ranges] == [
        (0x400000, 0x401000, "text"),
        (0x500000, 0x501000, "data"),
        (0x7FFF0000, 0x7FFF2000, "stack"),
    ]
    assert {each.backing for each in task.ranges} == {Backing.UNMAPPED}


def test_the_last_task_counts_too(btron: Machine) -> None:
    with btron.snapshot():
        table = btron.image.symbols["space_table"].address & 0x7FFFFFFF
        btron.memory.store_u32(table + SPACE_BYTES * 32, btron.memory.load_u32(table + SPACE_BYTES))
        assert [each.name for each in spaces_of(btron)] == ["the kernel", "task 1", "task 32"]


def test_regions_that_overlap_are_shown_as_far_as_they_do_not(btron: Machine) -> None:
    with btron.snapshot():
        with_region(btron, 1, 0, 0x400000, 4 * PAGE, READ)
        with_region(btron, 1, 1, 0x402000, 4 * PAGE, READ | EXEC)
        with_region(btron, 1, 2, 0x404000, PAGE, READ | EXEC)
        _, task = spaces_of(btron)
    assert [(each.start, each.name) for each in task.ranges] == [(0x400000, "data"), (0x404000, "text")]


def test_a_region_outside_user_space_is_noted(btron: Machine) -> None:
    with btron.snapshot():
        with_region(btron, 1, 0, 0x400000, PAGE, READ)
        with_region(btron, 1, 1, 0x7FFFF000, 2 * PAGE, READ)
        found = read_memory_map(btron)
    assert found.spaces is not None
    assert [each.name for each in found.spaces.spaces[1].ranges] == ["data"]
    assert any(note.startswith("the regions of task 1 cannot be read: ") for note in found.notes)
