"""Accesses of ring 3 are checked, too: by single instructions of the host where a page may be accessed as a whole, else by the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.machine.core.core_types import Access
from emulator.machine.core.observed import Poison
from emulator.machine.recording import record
from tests.helpers.frame_allocator import ALLOCATOR, FUNCTIONS, ROLES
from tests.helpers.guest import FUNCTION, symbol
from tests.helpers.memory_programs import FRAMES, HIGH, guest_of, in_ring_3
from tests.helpers.three_memories import prepared, run, window_of

if TYPE_CHECKING:
    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.core.handle import Mmu
    from emulator.machine.core.observed import BadAccess
    from emulator.machine.machine import Machine

PAGE = 0x1000
USERS = 0x67
AT = HIGH + 5 * PAGE
FRAME = FRAMES // PAGE + 5

WAY = """
        .data
way:    .long   0
        .text
"""


def made(size: int = PAGE) -> list[str]:
    return [f"pushl $0x{size:x}", f"pushl $0x{FRAME:x}", "call make", "addl $8, %esp"]


READ = "movb 0x{:x}, %al"
DROPPED = [f"pushl $0x{FRAME:x}", "call drop", "popl %eax"]


def accessed(label: str, offset: int = 0, how: str = "movb $1, 0x{:x}") -> list[str]:
    """Return lines that access a byte in ring 3, over and over."""
    return in_ring_3("movl $100, %ecx", "1:", f"{label}: {how.format(AT + offset)}", "decl %ecx", "jnz 1b")


def machine_of(steps: list[str], mmu: Mmu) -> tuple[Machine, CheckedAccesses]:
    source = guest_of(steps, lambda _space, page: FRAMES + PAGE * page | USERS)
    machine = prepared(FUNCTION + WAY + ALLOCATOR + source, mmu)
    record(machine, FUNCTIONS)
    return machine, machine.observers.check_accesses(ROLES)


def places(machine: Machine, found: tuple[BadAccess, ...], *labels: str) -> list[str]:
    at = {symbol(machine, label): label for label in labels}
    return [at[each.registers.eip] for each in found]


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_what_they_access_after_its_free_is_found(mmu: Mmu) -> None:
    steps = [*made(), *accessed("good"), *DROPPED, *accessed("bad"), *made(), *accessed("good_again")]
    machine, checked = machine_of(steps, mmu)
    run(machine)
    (found,) = checked.seen().accesses
    assert places(machine, (found,), "bad") == ["bad"]
    assert (found.access, found.poison, found.linear, found.times) == (Access.WRITE, Poison.FREED, AT, 100)


def test_whole_pages_are_accessed_by_instructions_of_the_host() -> None:
    machine, checked = machine_of([*made(), *accessed("good")], "fast")
    run(machine)
    assert not checked.seen().accesses
    pages, slow = window_of(machine)
    assert pages
    assert not slow


@pytest.mark.parametrize("mmu", ["fast", "ordinary"])
def test_a_page_that_is_a_part_of_a_block_is_looked_at(mmu: Mmu) -> None:
    steps = [*made(21), *accessed("good", 20), *accessed("bad", 21)]
    machine, checked = machine_of(steps, mmu)
    run(machine)
    (found,) = checked.seen().accesses
    assert places(machine, (found,), "bad") == ["bad"]
    assert (found.poison, found.distance, found.times) == (Poison.REDZONE, 21, 100)


def test_a_snapshot_brings_back_that_a_page_was_freed() -> None:
    steps = [
        *made(), *accessed("before", how=READ), *DROPPED, "hlt",
        "cmpl $0, way", "jne 6f",
        *made(), *accessed("good", how=READ), "hlt",
        "6:", *accessed("bad", how=READ),
    ]  # fmt: skip
    machine, checked = machine_of(steps, "fast")
    run(machine)
    with machine.snapshot() as freed:
        run(machine)
        assert not checked.seen().accesses
        freed.reset()
        machine.memory.store_u32(symbol(machine, "way"), 1)
        run(machine)
        assert places(machine, checked.seen().accesses, "bad") == ["bad"]
