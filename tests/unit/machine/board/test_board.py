"""A device is added by a row of the board: it gets ports, an interrupt line, the clock and a window of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.devices.board import Row, pc_board
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from tests.helpers.guest import ADDING, assemble, machine_of, results_of
from tests.unit.machine.board.test_interrupts import IDT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.devices.board import Wires
    from emulator.devices.device import FastPort

PORT = 0x300
WINDOW = (0xA0000, 0xA1000)
AFTER_NS = 50_000


class Alarm:
    """A test device: a byte written to its port is the length of the text in its window, which it prints when its time has come."""

    ports: tuple[int, ...] = (PORT,)

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._due: int | None = None
        self._length = 0

    def read_port(self, port: int, size: int) -> int:
        """Answer with the length that was set."""
        del port, size
        return self._length

    def write_port(self, port: int, size: int, value: int) -> None:
        """Set the length, and start the clock; 0 interrupts at once."""
        del port, size
        self._length = value
        if value:
            self._due = self._wires.now_ns() + AFTER_NS
            self._wires.moved()
        else:
            self._wires.interrupt()

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Nothing is fast."""
        return {}

    def next_tick_ns(self) -> int | None:
        """Return when it rings."""
        return self._due

    def take_ticks(self, now_ns: int) -> int:
        """Ring, once."""
        if self._due is None or now_ns < self._due:
            return 0
        self._due = None
        self._wires.send(bytes(self._wires.window[: self._length]))
        return 1

    def save(self) -> object:
        """Return its state."""
        return self._due, self._length

    def restore(self, state: object) -> None:
        """Go back to that."""
        match state:
            case (int() | None as due, int(length)):
                self._due, self._length = due, length


def at_controller(wires: Wires) -> Alarm:
    alarm = Alarm(wires)
    alarm.ports = (0x20,)
    return alarm


def at_no_port(wires: Wires) -> Alarm:
    alarm = Alarm(wires)
    alarm.ports = (0x10000,)
    return alarm


BOARD = (
    *pc_board(),
    Row(lambda wires: wires.ticking(Alarm(wires)), line=10, console=Console.DEBUG.value, window=WINDOW),
)

GUEST = """
        xorl    %ecx, %ecx
        lidt    idtr
        gate    0x2a, ring
        out8    0x20, 0x11
        out8    0x21, 0x20
        out8    0x21, 4
        out8    0x21, 1
        out8    0xa0, 0x11
        out8    0xa1, 0x28
        out8    0xa1, 2
        out8    0xa1, 1
        out8    0x21, 0xfb
        out8    0xa1, 0xfb
        movl    $0x21216948, 0xa0000
        movw    $0x300, %dx
        movb    $4, %al
        outb    %al, %dx
        inb     %dx, %al
        movzbl  %al, %eax
        put     eax
        sti
1:      hlt
        jmp     1b
ring:   put     ecx
        incl    %ecx
        out8    0xa0, 0x20
        out8    0x20, 0x20
        cmpl    $2, %ecx
        je      2f
        movw    $0x300, %dx
        movb    $0, %al
        outb    %al, %dx
        iretl
2:      exit    0
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_device_is_added_by_a_row_alone(mmu: str) -> None:
    machine = Machine(assemble(IDT + GUEST), mmu="fast" if mmu == "fast" else "reference", board=BOARD)
    start = machine.snapshot()
    for _ in range(2):
        outcome = machine.run(timeout_s=20)
        assert outcome.exit_value == 0
        assert results_of(machine, 3) == [4, 0, 1]
        assert machine.output[Console.DEBUG] == b"Hi!!"
        assert machine.interrupts.now_ns() >= AFTER_NS
        start.reset()
        assert machine.output[Console.DEBUG] == b""


def test_without_its_row_the_device_is_not_there() -> None:
    machine = machine_of("movw $0x300, %dx\n inb %dx, %al\n movzbl %al, %eax\n put eax\n hlt")
    machine.run()
    assert results_of(machine, 1) == [0xFF]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([Row(Alarm, line=0)], "interrupt line 0 is not one of 0 to 15, or has two devices"),
        ([Row(Alarm, line=16)], "interrupt line 16 is not one of 0 to 15, or has two devices"),
        (
            [Row(Alarm, window=(0xB8F00, 0xB9000))],
            "the window 0x000b8f00-0x000b9000 lies outside of video memory, or over another one",
        ),
        (
            [Row(Alarm, window=(0x100000, 0x101000))],
            "the window 0x00100000-0x00101000 lies outside of video memory, or over another one",
        ),
        (
            [Row(Alarm, mmio=(0x4FF000, 0x501000))],
            "the registers 0x004ff000-0x00501000 lie in RAM, over others, or not on page boundaries below 4 GiB",
        ),
        (
            [Row(Alarm, mmio=(0xFEC00000, 0xFEC01000)), Row(Alarm, mmio=(0xFEC00000, 0xFEC01000))],
            "the registers 0xfec00000-0xfec01000 lie in RAM, over others, or not on page boundaries below 4 GiB",
        ),
        (
            [Row(lambda wires: wires.interrupt() or Alarm(wires))],
            "the device has no interrupt line: its row of the board names none",
        ),
        (
            [Row(Alarm, line=10), Row(Alarm, line=11)],
            "port 0x300 is not one of 0 to 0xffff, or has two devices",
        ),
        ([Row(at_controller)], "port 0x20 is not one of 0 to 0xffff, or has two devices"),
        ([Row(at_no_port)], "port 0x10000 is not one of 0 to 0xffff, or has two devices"),
    ],
)
def test_rows_that_get_into_the_way_of_others_are_refused(rows: list[Row], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        Machine(assemble(ADDING), board=(*pc_board(), *rows))
