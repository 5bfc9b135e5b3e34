"""Port I/O: the devices of the machine, and the ports where nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.devices.acpi_power import FREQUENCY_HZ, TIMER
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from tests.helpers.guest import machine_of, results_of, symbol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

WIDTHS = {"b": "al", "w": "ax", "l": "eax"}


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(source: str, mmu: str = "fast") -> Machine:
    machine = machine_of(source + "\n exit 0", mmu=mmu)
    assert machine.run().exit_code == 1
    return machine


def read_port(port: int, width: str) -> str:
    return f"""
        movl    $0x5a5a5a5a, %eax
        movw    $0x{port:x}, %dx
        in{width} %dx, %{WIDTHS[width]}
        put     eax
    """


def write_port(port: int, width: str, value: int) -> str:
    return f"""
        movl    $0x{value:x}, %eax
        movw    $0x{port:x}, %dx
        out{width} %{WIDTHS[width]}, %dx
    """


@pytest.mark.parametrize("port", [0x10, 0x65, 0x93, 0x2F0, 0x400, 0xD00, 0xFFFF])
def test_ports_without_a_device_read_all_ones_and_swallow_writes(port: int, mmu: str) -> None:
    source = "".join(write_port(port, width, 0x12345678) + read_port(port, width) for width in WIDTHS)
    machine = run(source, mmu)
    assert results_of(machine, 3) == [0x5A5A5AFF, 0x5A5AFFFF, 0xFFFFFFFF]


@pytest.mark.parametrize(
    ("port", "width", "value"),
    [
        (0x3FD, "b", 0x5A5A5A60),  # COM1 line status: the transmitter is empty
        (0x3FD, "w", 0x5A5AB060),  # and the modem status after it
        (0x3F8, "l", 0x00010000),  # data, interrupt enable, interrupt identification (none), line control
        (0xE9, "b", 0x5A5A5AE9),
        (0xE9, "w", 0x5A5AFFE9),
        (0xF4, "b", 0x5A5A5A00),
        (0xF4, "l", 0x00000000),
    ],
)
def test_devices_answer_wide_reads_byte_by_byte(port: int, width: str, value: int, mmu: str) -> None:
    assert results_of(run(read_port(port, width), mmu), 1) == [value]


@pytest.mark.parametrize(("port", "console"), [(0x3F8, Console.SERIAL), (0xE9, Console.DEBUG)])
def test_bytes_written_are_output(port: int, console: Console, mmu: str) -> None:
    machine = run("".join(write_port(port, "b", byte) for byte in b"Hello,\nguest\0\xff"), mmu)
    assert bytes(machine.output[console]) == b"Hello,\nguest\0\xff"
    assert not any(machine.output[other] for other in Console if other is not console)


def test_a_wide_write_to_the_debug_console_is_one_byte_as_the_device_has_one_port() -> None:
    machine = run(write_port(0xE9, "w", 0x4241) + write_port(0xE9, "l", 0x44434241))
    assert bytes(machine.output[Console.DEBUG]) == b"AA"


def test_consoles_keep_the_order_in_which_they_were_written() -> None:
    written: list[tuple[Console, bytes]] = []
    source = "".join(
        write_port(port, "b", byte)
        for port, byte in [(0x3F8, 0x61), (0xE9, 0x62), (0x3F8, 0x63), (0x3F8, 0x0A), (0xE9, 0x64)]
    )
    machine = machine_of(source + "exit 0", on_output=lambda console, data: written.append((console, data)))
    machine.run()
    merged: list[tuple[Console, int]] = [(console, byte) for console, data in written for byte in data]
    serial, debug = Console.SERIAL, Console.DEBUG
    assert merged == [(serial, 0x61), (debug, 0x62), (serial, 0x63), (serial, 0x0A), (debug, 0x64)]


def test_the_divisor_latch_is_not_output() -> None:
    source = (
        write_port(0x3FB, "b", 0x80)
        + write_port(0x3F8, "b", 0x01)
        + read_port(0x3F8, "b")
        + write_port(0x3FB, "b", 0x03)
        + write_port(0x3F8, "b", 0x58)
    )
    machine = run(source)
    assert bytes(machine.output[Console.SERIAL]) == b"X"
    assert results_of(machine, 1) == [0x5A5A5A01]


def test_the_loopback_of_the_serial_port_is_not_output() -> None:
    source = (
        write_port(0x3FC, "b", 0x10)
        + write_port(0x3F8, "b", 0xAE)
        + read_port(0x3FD, "b")
        + read_port(0x3F8, "b")
        + read_port(0x3FD, "b")
        + write_port(0x3FC, "b", 0x00)
        + write_port(0x3F8, "b", 0x58)
    )
    machine = run(source)
    assert bytes(machine.output[Console.SERIAL]) == b"X"
    assert results_of(machine, 3) == [0x5A5A5A61, 0x5A5A5AAE, 0x5A5A5A60]


def test_the_cursor_is_set_by_one_16_bit_write() -> None:
    source = write_port(0x3D4, "w", 0x120F) + write_port(0x3D4, "b", 0x0F) + read_port(0x3D5, "b")
    assert results_of(run(source), 1) == [0x5A5A5A12]


def test_string_instructions_move_port_data() -> None:
    source = """
        cld
        movl    $text, %esi
        movl    $5, %ecx
        movw    $0xe9, %dx
        rep outsb
        movl    $buffer, %edi
        movl    $3, %ecx
        rep insb
        movl    buffer, %eax
        put     eax
        exit    0
        .data
text:   .ascii  "Hello"
buffer: .long   0
        .text
    """
    machine = machine_of(source)
    machine.run()
    assert bytes(machine.output[Console.DEBUG]) == b"Hello"
    assert results_of(machine, 1) == [0x00E9E9E9]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", [0, 1, 3, 0x7F, 0xFF, 0x12345600])
def test_the_exit_device_follows_qemus_rule(value: int, width: str) -> None:
    machine = machine_of(write_port(0xF4, width, value) + "ud2")
    outcome = machine.run()
    written = value & {"b": 0xFF, "w": 0xFFFF, "l": 0xFFFFFFFF}[width]
    assert outcome.ending is Returned.EXIT
    assert outcome.exit_code == (written << 1 | 1) & 0xFF
    assert outcome.exit_value == written & 0x7F


def test_output_before_the_exit_is_complete() -> None:
    machine = machine_of(write_port(0x3F8, "b", 0x61) + write_port(0x3F8, "b", 0x62) + "exit 5")
    assert machine.run().exit_code == 11
    assert bytes(machine.output[Console.SERIAL]) == b"ab"


def test_a_talkative_guest_takes_no_host_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.machine.consoles.OUTPUT_KEPT", 10)
    written = bytearray()
    source = "movl $100, %ecx\n movb $0x41, %al\n 1: outb %al, $0xe9\n loop 1b\n hlt"
    machine = machine_of(source, on_output=lambda _console, data: written.extend(data))
    machine.run()
    assert bytes(machine.output[Console.DEBUG]) == b"A" * 10
    assert bytes(written) == b"A" * 100


def test_a_port_in_code_that_was_changed_counts_the_new_instructions() -> None:
    """What is kept of a place in translated code is not that of the code before, which was as long."""
    machine = machine_of(f"hlt\n .globl ask\n ask: nop; nop; nop; mov ${TIMER}, %edx; in %dx, %eax; ret")
    machine.interrupts.instruction_ns = 1_000_000

    def instructions_before() -> int:
        now_ns = machine.interrupts.now_ns()
        return round((machine.call("ask") * 1e9 / FREQUENCY_HZ - now_ns) / 1e6)

    machine.run()
    for code, count in ((b"\x90\x90\x90", 4), (b"\x0f\x1f\0", 2), (b"\x66\x90\x90", 3)):
        machine.memory.write(symbol(machine, "ask"), code)
        machine.flush_code()
        assert [instructions_before() for _ in range(3)] == [count] * 3
