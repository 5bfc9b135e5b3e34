"""Probes at function entries and exits, the event ring, and the watch on written pages."""

from __future__ import annotations

import pytest

from emulator.errors import HostError, UnknownFunction
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.cpu import ProbeAction, ProbeKind
from emulator.machine.machine import Machine
from emulator.machine.recording import record
from tests.helpers.guest import machine_of, results_of, symbol

ADDING = """
        movl    $6, %ecx
1:      pushl   %ecx
        pushl   $40
        pushl   $30
        pushl   $20
        pushl   %ecx
        call    add
returns:
        addl    $16, %esp
        popl    %ecx
        loop    1b
        put     eax
        exit    0
        .type   add, @function
add:    movl    4(%esp), %eax
        addl    8(%esp), %eax
        ret
        .size   add, . - add
"""


@pytest.fixture(params=["fast", "reference"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return machine_of(ADDING, mmu=request.param)


def test_entries_keep_arguments_and_exits_the_result(machine: Machine) -> None:
    recording = record(machine, ["add"], 64)
    machine.run()
    events = recording.events()
    assert [event.kind for event in events] == [ProbeKind.ENTRY, ProbeKind.EXIT] * 6
    assert [event.sequence for event in events] == list(range(12))
    assert [event.values for event in events[::2]] == [(n, 20, 30, 40) for n in range(6, 0, -1)]
    assert [event.values for event in events[1::2]] == [(n + 20, 0, 0, 0) for n in range(6, 0, -1)]
    assert {event.caller for event in events} == {symbol(machine, "returns")}
    assert len({event.esp for event in events}) == 1


def test_the_ring_keeps_the_newest_events_and_counts_all(machine: Machine) -> None:
    recording = record(machine, ["add"], 4)
    machine.run()
    assert recording.count == 12
    assert [event.sequence for event in recording.events()] == [8, 9, 10, 11]


def test_a_probe_added_to_code_that_has_run_is_reached(machine: Machine) -> None:
    assert machine.call("add", 1, 2) == 3
    recording = record(machine, ["add"], 4)
    assert machine.call("add", 3, 4) == 7
    assert [event.values[0] for event in recording.events()] == [3, 7]


def test_recording_does_not_change_what_the_guest_does(machine: Machine) -> None:
    plain = machine_of(ADDING, mmu=machine.mmu)
    plain.run()
    record(machine, ["add"], 4)
    machine.run()
    assert machine.memory.read(0, len(machine.memory)) == plain.memory.read(0, len(plain.memory))
    assert machine.cpu.registers() == plain.cpu.registers()


def test_an_unknown_function_cannot_be_recorded(machine: Machine) -> None:
    with pytest.raises(UnknownFunction):
        record(machine, ["add", "subtract"], 4)


@pytest.mark.parametrize("capacity", [0, -1, 3, 100])
def test_the_capacity_is_a_power_of_two(capacity: int, machine: Machine) -> None:
    with pytest.raises(ValueError, match="must be a power of two"):
        record(machine, ["add"], capacity)


def test_a_ring_that_the_host_cannot_give_is_refused(machine: Machine) -> None:
    with pytest.raises(HostError):
        machine.cpu.set_ring(1 << 31)


def test_a_callback_is_told_of_each_call(machine: Machine) -> None:
    seen: list[tuple[int, int]] = []

    def entered(kind: int, esp: int, _eax: int) -> int:
        seen.append((kind, machine.memory.load_u32(esp + 4)))
        return 0

    number = machine.add_callback(entered)
    machine.cpu.add_probe(symbol(machine, "add"), number, ProbeKind.ENTRY, ProbeAction.TELL)
    machine.run()
    assert seen == [(ProbeKind.ENTRY, n) for n in range(6, 0, -1)]
    assert results_of(machine, 1) == [21]


def test_a_callback_replaces_the_result(machine: Machine) -> None:
    number = machine.add_callback(lambda _kind, _esp, eax: eax * 1000)
    exit_address = symbol(machine, "add") + 8
    machine.cpu.add_probe(exit_address, number, ProbeKind.EXIT, ProbeAction.REPLACE)
    machine.run()
    assert results_of(machine, 1) == [21_000]


def test_arguments_on_a_stack_that_crosses_a_page_are_read(machine: Machine) -> None:
    recording = record(machine, ["add"], 4)
    registers = machine.cpu.registers()
    for esp in range(0x8FF0, 0x9010, 4):
        machine.cpu.set_registers(registers._replace(esp=esp))
        machine.call("add", 1, 2, 3, 4)
        assert recording.events()[-2].values == (1, 2, 3, 4)


def test_a_probe_with_a_stack_outside_ram_reads_zeroes() -> None:
    machine = machine_of("movl $0xe0000000, %esp\n add: jmp 1f\n1: hlt", mmu="fast")
    machine.cpu.set_ring(4)
    machine.cpu.add_probe(symbol(machine, "add"), 5, ProbeKind.ENTRY, ProbeAction.RECORD)
    machine.run()
    (event,) = machine.cpu.events()
    assert (event.function, event.esp, event.caller, event.values) == (5, 0xE0000000, 0, (0, 0, 0, 0))


def test_many_functions_of_a_kernel_at_once() -> None:
    machine = Machine(KernelImage.read(resolve("firmware:leak")))
    recording = record(machine, ["kmalloc", "kfree", "memset"], 1 << 12)
    machine.run()
    calls = [event for event in recording.events() if event.kind is ProbeKind.ENTRY]
    by_name = [recording.functions[event.function] for event in calls]
    assert by_name.count("kmalloc") - by_name.count("kfree") == 11
    assert {event.values[0] for event in calls if event.function == 0} == {512, 48, 100, 256}


def test_the_watch_keeps_what_written_pages_held() -> None:
    machine = machine_of(
        "1: movl 0x300000, %eax\n movl $1, 0x301004\n movl $2, 0x301004\n movl $3, 0x302ffe\n hlt\n jmp 1b"
    )
    machine.memory.store_u32(0x00301004, 0x77)
    machine.memory.store_u32(0x00300000, 0x55)
    machine.cpu.watch_begin()
    machine.run()
    touched = machine.cpu.watch_end()
    assert sorted(touched) == [0x00301000, 0x00302000, 0x00303000]
    assert touched[0x00301000][:8] == bytes((0, 0, 0, 0, 0x77, 0, 0, 0))
    assert not any(touched[0x00303000])
    machine.run()
    machine.cpu.watch_begin()
    assert machine.cpu.watch_end() == {}


def test_watches_nest() -> None:
    machine = machine_of(
        "movl $1, 0x300000\n hlt\n movl $2, 0x300000\n movl $3, 0x301000\n hlt\n movl $4, 0x302000\n hlt"
    )
    machine.cpu.watch_begin()
    machine.run()
    machine.cpu.watch_begin()
    machine.run()
    inner = machine.cpu.watch_end()
    machine.run()
    outer = machine.cpu.watch_end()
    assert {page: before[0] for page, before in inner.items()} == {0x300000: 1, 0x301000: 0}
    assert {page: before[0] for page, before in outer.items()} == {0x300000: 0, 0x301000: 0, 0x302000: 0}
