"""Code of ring 3 has a view of its own of memory (emulator/native/core/windows.c): what page tables let users access, as the TLB has it."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.memory_programs import (
    DIRECTORIES,
    FRAMES,
    HIGH,
    PAGES,
    guest_of,
    in_ring_3,
    table_entry_at,
)
from tests.helpers.three_memories import (
    MEMORIES,
    OF_THE_CORE,
    compared,
    is_window_used,
    logged,
    prepared,
    run,
    window_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


PAGE = 0x1000
GIB = 1 << 30
AT = HIGH + 5 * PAGE
USERS, SUPERVISORS, USERS_READ_ONLY = 0x67, 0x63, 0x65
PAGE_FAULT, OF_USERS_WRITE = 14, 7


def space_switched(number: int) -> list[str]:
    return [f"movl $0x{DIRECTORIES[number]:x}, %eax", "movl %eax, %cr3"]


def faults_of(log: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return vector and error code of the faults that were logged, each with EIP and CR2 behind."""
    return [(vector, code) for vector, code in zip(log[::4], log[1::4], strict=True)]


def test_they_have_pages_there() -> None:
    steps = in_ring_3(f"movl $7, 0x{AT:x}", f"incl 0x{AT:x}", f"movl 0x{AT:x}, %eax", "log eax")
    machine = compared(guest_of(steps, lambda _space, _page: FRAMES | USERS))
    assert logged(machine) == (8,)
    assert window_of(machine)[0] > 0


@pytest.mark.parametrize("access", ["movl 0x{0:x}, %eax", "movl %eax, 0x{0:x}"])
def test_a_supervisors_page_is_none_of_theirs(access: str) -> None:
    """Although the supervisor has just accessed it."""
    at = access.format(AT)
    steps = [at, at, *in_ring_3(f"attempt {at}"), at]
    machine = compared(guest_of(steps, lambda _space, _page: FRAMES | SUPERVISORS), memories=MEMORIES)
    assert [vector for vector, _ in faults_of(logged(machine))] == [PAGE_FAULT]


def test_what_a_supervisor_may_write_is_read_only_for_them() -> None:
    """Without CR0.WP; their TLB has the page from before: long doubles are not loaded by the view."""
    steps = [
        "movl %cr0, %eax", "andl $~0x10000, %eax", "movl %eax, %cr0",
        *in_ring_3(f"fldt 0x{AT:x}"),
        f"movl $1, 0x{AT + 8:x}", f"incl 0x{AT + 8:x}",
        *in_ring_3(f"movl 0x{AT:x}, %eax", f"attempt movl $7, 0x{AT + 16:x}"),
    ]  # fmt: skip
    machine = compared(guest_of(steps, lambda _space, _page: FRAMES | USERS_READ_ONLY), memories=MEMORIES)
    assert faults_of(logged(machine)) == [(PAGE_FAULT, OF_USERS_WRITE)]


def test_another_address_space_has_the_page_for_supervisors_only() -> None:
    steps = [
        *space_switched(1),
        f"incl 0x{AT:x}",
        *space_switched(0),
        *in_ring_3(f"incl 0x{AT:x}", f"incl 0x{AT:x}"),
        *space_switched(1),
        *in_ring_3(f"attempt incl 0x{AT:x}"),
        f"incl 0x{AT:x}",
        *space_switched(0),
        *in_ring_3(f"incl 0x{AT:x}", f"movl 0x{AT:x}, %eax", "log eax"),
    ]
    kernel = guest_of(steps, lambda space, _page: FRAMES | (SUPERVISORS if space else USERS))
    assert logged(compared(kernel, memories=MEMORIES))[0] == PAGE_FAULT


def test_a_change_of_modes_empties_the_view() -> None:
    read_only = f"andl $~2, 0x{table_entry_at(0, 5):x}"
    steps = [
        *in_ring_3(f"incl 0x{AT:x}", f"incl 0x{AT:x}"),
        read_only, "movl %cr0, %eax", "xorl $0x10000, %eax", "movl %eax, %cr0",
        *in_ring_3(f"attempt incl 0x{AT:x}"),
    ]  # fmt: skip
    machine = compared(guest_of(steps, lambda _space, _page: FRAMES | USERS), memories=MEMORIES)
    assert faults_of(logged(machine)) == [(PAGE_FAULT, OF_USERS_WRITE)]


def test_their_tlb_keeps_a_page_that_page_tables_have_elsewhere() -> None:
    """Until it is told to forget it."""
    moved = f"movl $0x{FRAMES + PAGE | USERS:x}, 0x{table_entry_at(0, 5):x}"
    read = [f"movl 0x{AT:x}, %eax", "log eax"]
    steps = [
        f"movl $1, 0x{FRAMES:x}", f"movl $2, 0x{FRAMES + PAGE:x}",
        *in_ring_3(f"fldt 0x{AT:x}"), moved, *in_ring_3(*read), f"invlpg 0x{AT:x}", *in_ring_3(*read),
    ]  # fmt: skip
    machine = compared(guest_of(steps, lambda _space, _page: FRAMES | USERS), memories=OF_THE_CORE)
    assert logged(machine) == (1, 2)


def test_tasks_take_turns_so_often_that_the_view_rests() -> None:
    turns = [
        "movl $4000, %ecx", "5:",
        *in_ring_3(*(f"addl %ecx, 0x{HIGH + PAGE * page:x}" for page in range(8))),
        "movl %cr3, %ebx", f"xorl $0x{DIRECTORIES[0] ^ DIRECTORIES[1]:x}, %ebx", "movl %ebx, %cr3",
        "decl %ecx", "jnz 5b",
    ]  # fmt: skip
    kernel = guest_of(turns, lambda space, page: FRAMES + PAGE * (page % 4 + 4 * space) | USERS)
    compared(kernel, memories=OF_THE_CORE)


def test_what_users_have_there_costs_supervisors_nothing() -> None:
    """A thousand pages are compared at each load of CR3: that is more than is executed in between."""
    many = 0x0021_0000
    steps = [
        f"movl $0x{many:x}, %edi", f"movl $0x{FRAMES | USERS:x}, %eax", "movl $1000, %ecx", "rep stosl",
        f"movl $0x{many | 7:x}, 0x{DIRECTORIES[0] + 0x404:x}",
        *in_ring_3(f"movl $0x{HIGH + 1024 * PAGE:x}, %esi", "movl $1000, %ecx",
                   "1:", "incl (%esi)", f"addl $0x{PAGE:x}, %esi", "decl %ecx", "jnz 1b"),
        "movl $3000, %ecx", "1:", "reload_cr3", "movl $500, %edx", "2:", "decl %edx", "jnz 2b", "decl %ecx", "jnz 1b",
    ]  # fmt: skip
    machine = compared(guest_of(steps, lambda _space, _page: FRAMES | USERS), memories=OF_THE_CORE)
    assert is_window_used(machine)


def test_the_view_rests_where_tasks_that_take_turns_do_not_gain_from_it() -> None:
    """Each fills it with its pages, then spins: more instructions than these fills are said to cost."""
    access = [f"addl %ecx, 0x{HIGH + PAGE * page:x}" for page in range(PAGES)]
    turns = [
        "movl $150, %ecx", "5:",
        *in_ring_3(*access, "movl $200000, %edx", "1:", "decl %edx", "jnz 1b"),
        "movl %cr3, %ebx", f"xorl $0x{DIRECTORIES[0] ^ DIRECTORIES[1]:x}, %ebx", "movl %ebx, %cr3",
        "decl %ecx", "jnz 5b",
        *in_ring_3(*access),
    ]  # fmt: skip
    kernel = guest_of(turns, lambda space, page: FRAMES + PAGE * (page % 4 + 4 * space) | USERS)
    machine = compared(kernel, memories=OF_THE_CORE, drive=lambda machine: run(machine, 100_000_000))
    shown, _ = window_of(machine)
    assert shown < PAGES


@pytest.fixture
def little_room() -> Iterator[None]:
    """What the process may reserve besides what it has is more than one view needs, and less than two."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 6 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_room")
def test_where_there_is_no_room_for_it_supervisors_have_theirs() -> None:
    steps = [f"incl 0x{AT:x}", *in_ring_3(f"incl 0x{AT + PAGE:x}"), f"movl 0x{AT + PAGE:x}, %eax", "log eax"]
    machine = prepared(guest_of(steps, lambda _space, _page: FRAMES | USERS), "fast")
    run(machine)
    assert logged(machine) == (0x12345 + 2,)
    assert is_window_used(machine)
