"""Watchpoints, step logs and probes: several of a kind at once, and each can be closed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp, HostError
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.core.handle import lib
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import ADDING, FUNCTION, core_of, machine_of, symbol

if TYPE_CHECKING:
    from emulator.machine.core.observers import Probe, Watchpoint

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


def count_of(watchpoint: Watchpoint) -> int:
    write = watchpoint.last_write()
    return 0 if write is None else write.writes


def test_watchpoints_do_not_know_of_each_other(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    watch = machine.observers.watch
    word, byte, both = watch(0x300000, 4), watch(0x300004, 1), watch(0x300003, 2)
    machine.run()
    assert [count_of(each) for each in (word, byte, both)] == [3, 1, 4]
    changes = word.changes()
    assert changes is not None
    assert [each.after for each in changes] == [7, 8]
    changes = both.changes()
    assert changes is not None
    assert changes[1].after == 0x100
    word.close()
    word.close()
    machine.run()
    assert [count_of(each) for each in (byte, both)] == [2, 7]
    with pytest.raises(ValueError, match=r"^the watchpoint is closed$"):
        word.last_write()


def test_two_watchpoints_of_the_same_bytes_count_from_where_they_were_opened(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    first = machine.observers.watch(0x300000, 4)
    machine.run()
    with machine.observers.watch(0x300000, 4) as second:
        machine.run()
        assert (count_of(first), count_of(second)) == (5, 2)


def test_a_watchpoint_has_bytes() -> None:
    with pytest.raises(HostError):
        machine_of(WRITES).observers.watch(0x300000, 0)


def test_a_watchpoint_outside_of_memory_sees_nothing(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    watchpoint = machine.observers.watch(0xFFFFFFFE, 4)
    machine.run()
    assert watchpoint.last_write() is None


def test_step_logs_do_not_know_of_each_other(mmu: str) -> None:
    machine = machine_of(WRITES, mmu=mmu)
    short, long = machine.observers.log_steps(3), machine.observers.log_steps(100)
    machine.run()
    assert (len(short.steps()), len(long.steps())) == (3, 10)
    late = machine.observers.log_steps(100)
    short.close()
    machine.run()
    assert (len(short.steps()), len(long.steps()), len(late.steps())) == (0, 18, 8)


def test_a_probe_that_was_closed_is_not_reached_again(mmu: str) -> None:
    machine = machine_of(ADDING, mmu=mmu)
    start = machine.snapshot()
    notified: list[str] = []

    def add(name: str) -> Probe:
        def reached(_kind: int, _esp: int, _eax: int) -> int:
            notified.append(name)
            return 0

        return machine.observers.probe(symbol(machine, "add"), reached)

    first, second = add("first"), add("second")
    machine.run()
    assert notified == ["first", "second"] * 6
    start.reset()
    first.close()
    first.close()
    machine.run()
    assert notified == ["first", "second"] * 6 + ["second"] * 6
    start.reset()
    second.close()
    machine.run()
    assert len(notified) == 18


def test_what_follows_a_probe_that_was_removed_where_the_machine_stands_is_reached(mmu: str) -> None:
    machine = machine_of(FUNCTION + "call f\n exit 0\n function f\n nop\n ret\n ends f", mmu=mmu)
    notified: list[int] = []

    def reached(kind: int, _esp: int, _eax: int) -> int:
        notified.append(kind)
        return 0

    record(machine, [RecordedFunction("f")])
    machine.observers.probe(symbol(machine, "f"), reached)
    machine.run(stop_at_event=1)
    assert notified == []
    for identity in (1, 2):  # those of the recording
        assert lib.kc_probe_remove(core_of(machine).raw, identity)
    machine.run()
    assert len(notified) == 1


def test_notes_of_written_pages_are_closed_at_the_end_of_a_block() -> None:
    machine = machine_of(WRITES)
    with machine.observers.note_written() as written:
        pass
    assert not written.is_open
    written.close()
    with pytest.raises(ValueError, match=r"^watch 1 is not open$"):
        written.take()


def test_too_many_notes_of_written_pages_are_refused() -> None:
    machine = machine_of(WRITES)
    notes = [machine.observers.note_written() for _ in range(64)]
    with pytest.raises(HostError, match=r"^too many notes of written pages are open$"):
        machine.observers.note_written()
    notes[5].close()
    assert machine.observers.note_written().is_open


def test_a_second_observer_of_entries_is_refused_until_the_first_is_closed() -> None:
    machine = machine_of(ADDING)
    record(machine, [RecordedFunction("add")])
    notified: list[int] = []
    with machine.calls.at_entries(2, lambda: notified.append(machine.calls.event_count)):
        with pytest.raises(ValueError, match=r"^entries of calls are observed already$"):
            machine.calls.at_entries(1, notified.clear)
        machine.run()
    assert len(notified) == 3
    with machine.calls.at_entries(1, notified.clear):
        pass


def rest_of(mmu: str, *, observed: bool) -> tuple[int, int, bytes, bytes]:
    """Run a kernel with interrupts for a while, and to its end: instructions of that, EIP, RAM, text."""
    machine = Machine(KernelImage.read(resolve("firmware:btron_demo")), mmu=mmu)  # type: ignore[arg-type]
    with suppress(BudgetUsedUp):
        machine.run(max_instructions=100_000)
    if observed:
        with suppress(BudgetUsedUp), machine.observers.log_steps(100), machine.observers.watch(0x300000, 4):
            machine.run(max_instructions=1000)
    else:
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=1000)
    ended = machine.run(timeout_s=20)
    text = bytes(machine.output[Console.SERIAL])
    return ended.instructions, ended.eip, machine.memory.read(0, len(machine.memory)), text


def test_a_run_after_closed_observers_is_as_if_there_had_been_none(mmu: str) -> None:
    assert rest_of(mmu, observed=True) == rest_of(mmu, observed=False)
