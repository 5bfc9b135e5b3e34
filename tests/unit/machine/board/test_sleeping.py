"""A device is made when it is first needed, as it would have been at the start: nobody sees a difference."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

import pytest

from emulator.devices import addresses
from emulator.devices.apic.local_apic import LocalApic
from emulator.devices.board import Row, pc_board
from emulator.devices.post_port import PostPort
from emulator.errors import BudgetUsedUp
from tests.helpers.guest import machine_of, results_of
from tests.unit.machine.board.test_interrupts import IDT

if TYPE_CHECKING:
    from emulator.devices.board import Wires
    from emulator.devices.device import Device
    from emulator.machine.machine import Machine

PC = pc_board()
AWAKE = tuple(row._replace(ports=None) for row in PC)
NAMES = [row.name for row in PC]
PORTS = [port for row in PC for port in row.ports or ()]
WRITTEN = [port for port in PORTS if port not in addresses.DEBUG_EXIT]
WAIT = "movl $100000, %ecx\n 1: loop 1b\n"  # a second, where an instruction takes 10 us
REGISTERS = [0xFEE00020, 0xFEE00030, 0xFEE000D0, 0xFEE00390, 0xFEC00000, 0xFEC00010]


def read(port: int) -> str:
    return f"movw ${port}, %dx\n inb %dx, %al\n movzbl %al, %eax\n put eax\n"


def write(port: int) -> str:
    return f"movw ${port}, %dx\n movb $2, %al\n outb %al, %dx\n"


def load(address: int) -> str:
    return f"movl {address:#x}, %eax\n put eax\n"


READING = "".join([*(read(port) for port in PORTS), *(load(address) for address in REGISTERS)])
WRITING = "".join(
    [
        *(write(port) for port in WRITTEN),
        "movl $0x05000000, 0xfee00020\n movl $12345, 0xfee00380\n movl $1, 0xfec00000\n",
    ]
)
BOTH_WAYS = {
    "read first": WAIT + READING + WAIT + WRITING + WAIT + READING,
    "written first": WAIT + WRITING + WAIT + READING,
}
RESULTS = 2 * (len(PORTS) + len(REGISTERS))


def machine_with(source: str, board: tuple[Row, ...] | None = None, mmu: str = "fast") -> Machine:
    machine = machine_of(f"{source} hlt\n", mmu=mmu, board=board)
    machine.interrupts.instruction_ns = 10_000
    return machine


def seen(machine: Machine) -> object:
    """Run, and return all that a guest and a user can see."""
    machine.run(timeout_s=20)
    output = {console: bytes(text) for console, text in machine.output.items()}
    return results_of(machine, RESULTS), machine.registers(), machine.interrupts.now_ns(), output


@pytest.mark.parametrize("mmu", ["fast", "reference"])
@pytest.mark.parametrize("touch", BOTH_WAYS)
def test_a_device_that_slept_is_like_one_that_was_there_from_the_start(touch: str, mmu: str) -> None:
    source = BOTH_WAYS[touch]
    assert seen(machine_with(source, mmu=mmu)) == seen(machine_with(source, AWAKE, mmu))


@pytest.mark.parametrize("touch", BOTH_WAYS)
def test_a_snapshot_before_waking_is_one_of_a_device_that_sleeps(touch: str) -> None:
    machine = machine_with(BOTH_WAYS[touch])
    with machine.snapshot() as start:
        first = seen(machine)
        start.reset()
        assert seen(machine) == first


def test_snapshots_nest_while_devices_wake() -> None:
    expected = seen(machine_with(BOTH_WAYS["read first"]))
    machine = machine_with(BOTH_WAYS["read first"])
    outer = machine.snapshot()
    for instructions in (100_050, 100_700, 202_000):
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=instructions)
        with machine.snapshot():
            assert seen(machine) == expected
        assert seen(machine) == expected
        outer.reset()
    assert seen(machine) == expected


def test_what_nobody_touches_is_not_made() -> None:
    def never(_wires: Wires) -> NoReturn:
        raise AssertionError

    machine = machine_with(WAIT, tuple(row._replace(make=never) for row in PC))
    machine.run(timeout_s=20)


@pytest.mark.parametrize("name", NAMES)
def test_a_device_is_made_in_the_state_of_the_start_whenever_that_is(name: str) -> None:
    early, late = machine_with(WAIT), machine_with(WAIT)
    state = early.device(name).save()
    early.run(timeout_s=20)
    late.run(timeout_s=20)
    assert late.device(name).save() == state
    early.device(name).restore(state)
    assert early.device(name).save() == state


def test_the_board_has_no_nameless_devices() -> None:
    assert len({*NAMES, ""}) == len(PC) + 1


def test_an_interrupt_reaches_the_local_apic_through_the_io_apic_alone() -> None:
    machine = machine_of(
        IDT
        + """
        gate    0x60, on_tick
        lidt    idtr
        out8    0x21, 0xff
        movl    $0x14, 0xfec00000       # line 0 comes in at input 2
        movl    $0x60, 0xfec00010
        sti
1:      hlt
        jmp     1b
on_tick:
        movl    $0x60, %ebx
        put     ebx
        exit    0
        """
    )
    assert machine.run(timeout_s=20).exit_value == 0
    assert results_of(machine, 1) == [0x60]


def test_a_word_that_is_fast_is_fast_again_after_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    plain = LocalApic.read_memory

    def counted(self: LocalApic, offset: int, size: int) -> int:
        reads.append(offset)
        return plain(self, offset, size)

    monkeypatch.setattr(LocalApic, "read_memory", counted)
    machine = machine_of("movl $100, %ecx\n 1: movl 0xfee00020, %eax\n loop 1b\n hlt\n")
    with machine.snapshot() as start:
        machine.run()
        start.reset()
        machine.run()
    assert len(reads) == 2


def test_ctrl_c_leaves_no_half_device() -> None:
    made: list[Device] = []

    def make(wires: Wires) -> Device:
        os.kill(os.getpid(), signal.SIGINT)
        wires.interrupt()
        made.append(PostPort())
        return made[-1]

    source = read(0x80) + "jmp 1f\n 1: " + read(0x80) + "hlt\n"
    machine = machine_of(source, board=(Row(make, "POST", (0x80,), line=3),))
    with pytest.raises(KeyboardInterrupt):
        machine.run()
    machine.run()
    assert results_of(machine, 2)[1] == 0xFF
    assert made == [machine.device("POST")]


def test_a_row_names_the_ports_that_its_device_has() -> None:
    machine = machine_of(read(0x81) + "hlt\n", board=(Row(lambda _wires: PostPort(), "POST", (0x80, 0x81)),))
    with pytest.raises(
        ValueError, match=r"^the row of POST names other ports than the device has: \(128,\)$"
    ):
        machine.run()


def test_a_port_that_is_spoken_for_is_refused_before_anybody_wakes() -> None:
    row = Row(lambda _wires: PostPort(), "POST", (0x80,))
    with pytest.raises(ValueError, match=r"^port 0x80 is not one of 0 to 0xffff, or has two devices$"):
        machine_of("hlt\n", board=(row, row))


def test_a_device_that_woke_before_a_reset_notices_the_same_again() -> None:
    machine = machine_of("movw $0x3fd, %dx\n inb %dx, %al\n inb $0x64, %al\n inb $0x64, %al\n hlt")
    snapshot = machine.snapshot()
    machine.run()
    first = machine.ports.save()
    snapshot.reset()
    machine.run()
    assert machine.ports.save() == first
