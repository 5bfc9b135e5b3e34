"""Probes that call Python, and the watch on written pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.machine.core.observed import ProbeKind
from tests.helpers.guest import ADDING, machine_of, results_of, symbol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


@pytest.fixture(params=["fast", "reference"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return machine_of(ADDING, mmu=request.param)


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
