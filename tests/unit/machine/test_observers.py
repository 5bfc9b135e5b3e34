"""Watchpoints, step logs and probes of the core: several of a kind at once, and each can be removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.machine.core_types import ProbeAction, ProbeKind
from emulator.machine.recording import RecordedFunction, record
from emulator.native import _core
from tests.helpers.guest import ADDING, FUNCTION, machine_of, symbol

if TYPE_CHECKING:
    from typing import Any

    from emulator.machine.machine import Machine

ffi, lib = _core.ffi, _core.lib

WRITES = """
        movl    $0, 0x300000
again:  movl    $7, 0x300000
        movb    $1, 0x300004
        movl    $8, 0x300000
        hlt
        jmp     again
"""


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def core_of(machine: Machine) -> Any:  # noqa: ANN401 - cffi has no types
    return machine.cpu._core  # noqa: SLF001 - what the core promises to the layer above


def writes(core: Any, number: int) -> Any:  # noqa: ANN401
    out = ffi.new("kc_writes *")
    assert lib.kc_watchpoint_writes(core, number, out)
    return out


def test_watchpoints_do_not_know_of_each_other(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    core = core_of(machine)
    word, byte = lib.kc_watchpoint_open(core, 0x300000, 4), lib.kc_watchpoint_open(core, 0x300004, 1)
    all_of_it = lib.kc_watchpoint_open(core, 0x300003, 2)
    assert (word, byte, all_of_it) == (1, 2, 3)
    machine.run()
    assert [writes(core, n).last.count for n in (word, byte, all_of_it)] == [3, 1, 4]
    assert (writes(core, word).first_change.after, writes(core, word).last_change.after) == (7, 8)
    assert writes(core, all_of_it).last_change.after == 0x100
    lib.kc_watchpoint_close(core, word)
    machine.run()
    assert [writes(core, n).last.count for n in (byte, all_of_it)] == [2, 7]
    assert not lib.kc_watchpoint_writes(core, word, ffi.new("kc_writes *"))
    assert lib.kc_watchpoint_open(core, 0x300000, 4) == 4


def test_two_watchpoints_of_the_same_bytes_count_from_where_they_were_opened(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    core = core_of(machine)
    first = lib.kc_watchpoint_open(core, 0x300000, 4)
    machine.run()
    second = lib.kc_watchpoint_open(core, 0x300000, 4)
    machine.run()
    assert (writes(core, first).last.count, writes(core, second).last.count) == (5, 2)


@pytest.mark.parametrize("size", [0, 5])
def test_a_watchpoint_has_one_to_four_bytes(size: int) -> None:
    core = core_of(machine_of(WRITES))
    assert lib.kc_watchpoint_open(core, 0x300000, size) < 0


def test_a_watchpoint_outside_of_memory_sees_nothing(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    core = core_of(machine)
    number = lib.kc_watchpoint_open(core, 0xFFFFFFFE, 4)
    machine.run()
    assert writes(core, number).last.count == 0


def log_of(core: Any, number: int) -> int:  # noqa: ANN401
    count = ffi.new("uint32_t *")
    lib.kc_step_log(core, number, count)
    return int(count[0])


def test_step_logs_do_not_know_of_each_other(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    core = core_of(machine)
    short, long = lib.kc_step_log_open(core, 3), lib.kc_step_log_open(core, 100)
    machine.run()
    assert (log_of(core, short), log_of(core, long)) == (3, 10)
    late = lib.kc_step_log_open(core, 100)
    lib.kc_step_log_close(core, short)
    machine.run()
    assert (log_of(core, short), log_of(core, long), log_of(core, late)) == (0, 18, 8)


def noted(seen: list[str], name: str) -> int:
    seen.append(name)
    return 0


def test_a_probe_that_was_removed_is_not_reached_again(mmu: str) -> None:
    machine = machine_of(ADDING, mmu=mmu)
    start = machine.snapshot()
    seen: list[str] = []

    def add(name: str) -> int:
        number = machine.add_callback(lambda *_: noted(seen, name))
        return machine.cpu.add_probe(symbol(machine, "add"), number, ProbeKind.ENTRY, ProbeAction.TELL)

    first, second = add("first"), add("second")
    machine.run()
    assert seen == ["first", "second"] * 6
    start.reset()
    machine.cpu.remove_probe(first)
    machine.cpu.remove_probe(first)
    machine.run()
    assert seen == ["first", "second"] * 6 + ["second"] * 6
    start.reset()
    machine.cpu.remove_probe(second)
    machine.run()
    assert len(seen) == 18


def test_what_follows_a_probe_that_was_removed_where_the_machine_stands_is_reached(mmu: str) -> None:
    machine = machine_of(FUNCTION + "call f\n exit 0\n function f\n nop\n ret\n ends f", mmu=mmu)
    seen: list[str] = []
    number = machine.add_callback(lambda *_: noted(seen, "told"))
    record(machine, [RecordedFunction("f")])
    told = machine.cpu.add_probe(symbol(machine, "f"), number, ProbeKind.ENTRY, ProbeAction.TELL)
    machine.run(stop_at_event=1)
    assert seen == []
    for identity in range(1, told):
        machine.cpu.remove_probe(identity)
    machine.run()
    assert seen == ["told"]
