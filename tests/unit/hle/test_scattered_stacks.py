"""Stacks whose pages lie in scattered frames: arguments are read, and what native code uses itself is left out, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.errors import GuestStopped
from emulator.hle.binding import stack_words
from emulator.hle.layers import LockstepCalls, Mode, attach_layers, lockstep_calls
from emulator.hle.lockstep import Divergence
from emulator.hle.open_call import used_stack
from tests.helpers import fault_kernel, paging_kernel
from tests.helpers.guest import results_of, symbol
from tests.helpers.paging_kernel import paging_machine

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

# The stack is two pages of the window, the upper one in the lower frame. Of the call's words the first `below` lie in the lower page.
STACK = """
        movl    $second + 7, window_table
        movl    $first + 7, window_table + 4
        movl    $0x401000 + 12 - 4 * {below}, %esp
        pushl   $0x1007
        pushl   $9
        call    entry_set
        put     eax
        exit    0
"""
DEEPER = "pushl $1\n pushl $2\n addl $8, %esp\n"


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> None:
    paging_kernel.register(monkeypatch)


@pytest.mark.parametrize("below", range(4))
@pytest.mark.parametrize("mode", list(Mode))
def test_a_call_may_lie_across_two_frames(below: int, mode: Mode) -> None:
    machine = paging_machine(STACK.format(below=below), first=DEEPER)
    attach_layers(machine, {"tables": mode})
    assert machine.run(max_instructions=10_000).exit_value == 0
    assert results_of(machine, 1) == [0]
    assert machine.memory.load_u32(symbol(machine, "window_table") + 36) == 0x1007
    if mode is Mode.LOCKSTEP:
        assert lockstep_calls(machine) == LockstepCalls(compared=1)


@pytest.mark.parametrize("below", range(4))
def test_what_is_next_to_the_stack_in_memory_is_compared(below: int) -> None:
    """Above the call's words in the lower frame is memory of somebody else, however near it lies."""
    machine = paging_machine(STACK.format(below=below), first="incl second + 0x100\n incl first + 0x100\n")
    attach_layers(machine, {"tables": Mode.LOCKSTEP})
    with pytest.raises(Divergence) as caught:
        machine.run(max_instructions=10_000)
    addresses = [symbol(machine, "first") + 0x100, symbol(machine, "second") + 0x100]
    assert [each.address for each in caught.value.differences] == addresses


def paged() -> Machine:
    """Pages 0, 1 and 3 of the window are mapped, to frames in descending order."""
    body = "movl $second + 7, window_table\n movl $first + 7, window_table + 4\n movl $0x1007, window_table + 12\n exit 0"
    machine = paging_machine(body)
    machine.run(max_instructions=1000)
    return machine


def test_the_used_part_is_translated_page_by_page() -> None:
    machine = paged()
    first, second = symbol(machine, "first"), symbol(machine, "second")
    assert used_stack(machine, 0x401010, 0x20, 2) == (
        range(second + 0xFF0, second + 0x1000),
        range(first, first + 0x1C),
    )
    assert used_stack(machine, 0x403008, 0x1000, 0) == (range(0x1000, 0x100C),)  # page 2 is not there
    assert used_stack(machine, 0x1010, 0x20, 0) == (range(0xFF0, 0x1014),)  # adjacent frames are one range


def test_words_of_a_page_that_is_not_there() -> None:
    machine = paged()
    assert len(stack_words(machine, 0x401FF8, 2)) == 2
    with pytest.raises(GuestStopped, match=r"^the stack at 0x00401ff8 is not in memory "):
        stack_words(machine, 0x401FF8, 3)


def test_a_stack_may_grow_while_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lower page is mapped by the page fault's handler, in the middle of the call."""
    fault_kernel.register(monkeypatch)
    body = "movl $frames + 0x20007, window_table + 4\n movl $0x401400, %esp\n pushl $0x402000\n call work"
    probe = "movl $7, -0x500(%esp)\n" + fault_kernel.TOUCH
    machine = fault_kernel.fault_machine(body, work=probe)
    assert machine.run(max_instructions=10_000).exit_value == 0
    assert lockstep_calls(machine) == LockstepCalls(compared=3)
    assert machine.translate(0x400EF8) is not None
