"""Probes that call Python, and the watch on written pages."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from emulator.machine.core.observed import ProbeKind
from tests.helpers.guest import ADDING, machine_of, results_of, symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.machine import Machine


@pytest.fixture(params=["fast", "reference"])
def machine_with(request: pytest.FixtureRequest) -> Callable[[str], Machine]:
    return partial(machine_of, mmu=request.param)


@pytest.fixture
def machine(machine_with: Callable[[str], Machine]) -> Machine:
    return machine_with(ADDING)


def test_a_callback_is_notified_of_each_call(machine: Machine) -> None:
    calls: list[tuple[int, int]] = []

    def entered(kind: int, esp: int, _eax: int) -> int:
        calls.append((kind, machine.memory.load_u32(esp + 4)))
        return 0

    machine.observers.probe(symbol(machine, "add"), entered)
    machine.run()
    assert calls == [(ProbeKind.ENTRY, n) for n in range(6, 0, -1)]
    assert results_of(machine, 1) == [21]


def test_a_callback_replaces_the_result(machine: Machine) -> None:
    exit_address = symbol(machine, "add") + 8
    machine.observers.probe(
        exit_address, lambda _kind, _esp, eax: eax * 1000, kind=ProbeKind.EXIT, answers=True
    )
    machine.run()
    assert results_of(machine, 1) == [21_000]


FLAGS = """
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    subl $3, %eax
changed: leal 1(%ecx), %ecx
    nop
unchanged: pushfl
pushed: popl 0x300000-4(, %ecx, 4)
    cmpl $6, %ecx
    jne 1b
2:  hlt
    jmp 2b
"""
ARITHMETIC, BORROWED, ZERO = 0x8D1, 0x91, 0x40  # CF, AF, ZF, SF, OF; CF, AF, SF: Intel SDM vol. 1, 3.4.3


def test_a_callback_sees_the_flags_and_leaves_them_alone(machine_with: Callable[[str], Machine]) -> None:
    machine, seen = machine_with(FLAGS), list[int]()

    def reached(*_: int) -> int:
        seen.append(machine.registers().eflags & ARITHMETIC)
        return 0

    for name in ("changed", "unchanged", "pushed"):
        machine.observers.probe(symbol(machine, name), reached)
    machine.run()
    pushed = [machine.memory.load_u32(0x300000 + 4 * n) & ARITHMETIC for n in range(6)]
    assert pushed == [BORROWED] * 3 + [ZERO, 0, 0]
    assert seen == [flags for flags in pushed for _ in range(3)]


def test_the_watch_keeps_what_written_pages_held() -> None:
    machine = machine_of(
        "1: movl 0x300000, %eax\n movl $1, 0x301004\n movl $2, 0x301004\n movl $3, 0x302ffe\n hlt\n jmp 1b"
    )
    machine.memory.store_u32(0x00301004, 0x77)
    machine.memory.store_u32(0x00300000, 0x55)
    watch = machine.observers.note_written()
    machine.run()
    touched = watch.take().pages
    assert sorted(touched) == [0x00301000, 0x00302000, 0x00303000]
    assert touched[0x00301000][:8] == bytes((0, 0, 0, 0, 0x77, 0, 0, 0))
    assert not any(touched[0x00303000])
    machine.run()
    watch = machine.observers.note_written()
    assert watch.take().pages == {}


def test_watches_nest() -> None:
    machine = machine_of(
        "movl $1, 0x300000\n hlt\n movl $2, 0x300000\n movl $3, 0x301000\n hlt\n movl $4, 0x302000\n hlt"
    )
    first = machine.observers.note_written()
    machine.run()
    second = machine.observers.note_written()
    machine.run()
    inner = second.take().pages
    machine.run()
    outer = first.take().pages
    assert {page: before[0] for page, before in inner.items()} == {0x300000: 1, 0x301000: 0}
    assert {page: before[0] for page, before in outer.items()} == {0x300000: 0, 0x301000: 0, 0x302000: 0}
