"""DMA controllers and the floppy disk controller without a drive answer as in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.port_guests import lines_here, lines_in_qemu

if TYPE_CHECKING:
    from pathlib import Path

DMA = (*range(16), 0x81, 0x82, 0x83, 0x87, 0x89, 0x8A, 0x8B, 0x8F, *range(0xC0, 0xE0))
FLOPPY = (0x3F0, 0x3F1, 0x3F2, 0x3F3, 0x3F4, 0x3F5, 0x3F7)
LINE = "line\n"


def read(*ports: int) -> str:
    return "".join(f"read {port}\n" for port in ports)


def write(port: int, *values: int) -> str:
    return "".join(f"write {port}, {value}\n" for value in values)


def controller(base: int, width: int) -> str:
    """Return the code that uses each register of a DMA controller, whose registers are so many ports each."""
    at = range(base, base + 16 * width, width)
    channel = (at[0], at[0], at[1], at[1])
    return "".join(
        [
            write(at[12], 0)
            + write(at[0], 0x34)
            + read(at[0])
            + write(at[12], 0)
            + read(at[0], at[0])
            + LINE,
            write(at[12], 0)
            + write(at[0], 0x34, 0x92)
            + write(at[1], 0x78, 0x56)
            + read(*channel, *channel)
            + LINE,
            write(at[12], 0)
            + write(at[3], 0x78)
            + write(at[12], 0)
            + read(at[3], at[3])
            + write(at[3], 0x11),
            read(at[3], at[3], at[3]) + LINE,
            write(at[9], 5) + read(at[8], at[8]) + write(at[9], 1) + read(at[8]) + LINE,
            *(write(at[10], value) + read(at[9], at[15]) for value in range(8)),
            LINE + write(at[14], 0) + read(at[9]) + write(at[15], 0x5A) + read(at[9]) + write(at[13], 0),
            read(at[9], at[8]) + write(at[8], 0x10, 0x04) + read(at[8], at[13]) + write(at[11], 0x59),
            read(at[11])
            + LINE
            + write(at[14], 0)
            + write(at[9], 6)
            + read(at[8])
            + write(at[13], 0)
            + read(at[8]),
            write(at[12], 0) + read(*channel) + LINE,
        ]
    )


DMA_GUEST = "".join(
    [
        "guest:\n" + read(*DMA) + LINE + controller(0, 1) + controller(0xC0, 2),
        *(write(port, port) + read(port) for port in DMA[16:24]),
        LINE + write(0xC1, 0x77) + write(0xD8, 0) + read(0xC0, 0xC1, 0xC2) + write(0xD8, 0) + LINE,
        "movw $0xc0, %dx\n inw %dx, %ax\n print\n movb %ah, %al\n print\n",
        "movw $0x81, %dx\n movw $0x2211, %ax\n outw %ax, %dx\n" + read(0x81, 0x82) + LINE + "exit 0\n",
    ]
)

ROUTINES = """
fifo:   pushl   %eax
        movw    $0x3f4, %dx
        movl    $1000, %ecx
1:      inb     %dx, %al
        testb   $0x80, %al
        jnz     2f
        loop    1b
2:      popl    %eax
        movw    $0x3f5, %dx
        outb    %al, %dx
        ret
answer: read    0x3f4
        movl    $12, %edi
1:      movw    $0x3f4, %dx
        inb     %dx, %al
        andb    $0xc0, %al
        cmpb    $0xc0, %al
        jne     2f
        read    0x3f5
        decl    %edi
        jnz     1b
2:      read    0x3f4
request: write  0x20, 0x0a
        inb     $0x20, %al
        andb    $0x40, %al
        print
        line
        ret
guest:
"""
WAIT = "movw $0x3f4, %dx\n 1: inb %dx, %al\n testb $0x80, %al\n jz 1b\n"


def command(*values: int, wait: str = "") -> str:
    """Return the code that gives a command, and prints what comes of it."""
    name = " ".join(f"{value:02x}" for value in values)
    given = "".join(f"movb ${value}, %al\n call fifo\n" for value in values)
    return f'say "{name}: "\n{given}{wait} call answer\n'


def transfer(code: int, unit: int = 0, track: int = 0, head: int = 0) -> str:
    return command(code, unit, track, head, 1, 2, 18, 0x1B, 0xFF)


REGISTERS = read(*FLOPPY) + LINE
RESET = write(0x3F2, 0, 0x0C)
INTERRUPT = command(8)
FLOPPY_GUEST = "".join(
    [
        ROUTINES + REGISTERS + write(0x3F2, 0) + read(0x3F2, 0x3F1) + write(0x3F5, 8) + read(0x3F5),
        write(0x3F2, 0x0C) + "call request\n" + REGISTERS + INTERRUPT * 5 + command(0x10) + command(0x0E),
        command(0x13, 0, 0x57, 3) + command(0x03, 0xDF, 2) + command(0x0E) + command(0x03, 0xAF, 3),
        command(0x0E) + read(0x3F2) + LINE + "".join(command(0x04, unit) for unit in (0, 1, 5, 6)),
        write(0x3F2, 0x1C) + REGISTERS + command(0x07, 0) + INTERRUPT * 2 + command(0x0F, 0, 5) + INTERRUPT,
        command(0x0F, 4, 5) + INTERRUPT + command(0x04, 0) + command(0x07, 1) + INTERRUPT,
        command(0x0F, 0, 0) + command(0x0F, 1, 0) + INTERRUPT * 2 + command(0x4A, 0, wait=WAIT) + INTERRUPT,
        command(0x0A, 5, wait=WAIT) + INTERRUPT + command(0x94) + command(0x0E) + RESET + INTERRUPT,
        command(0x0E) + command(0x14) + command(0x12, 0) + command(0x12, 0x87) + command(0x18),
        command(0xFF) + command(0x33, 1) + command(0x17, 0x55, 0x66) + command(0x1F),
        transfer(0xE6) + INTERRUPT + transfer(0xC5) + transfer(0xE6, 1, 5) + transfer(0xE6, 4, 0, 1),
        "".join(transfer(code) for code in (0x42, 0x16, 0x11, 0x0C, 0x49))
        + command(0x4D, 0, 2, 18, 0x1B, 0xF6),
        INTERRUPT + write(0x3F2, 0x1D) + REGISTERS + command(0x04, 1) + command(0x07, 1) + INTERRUPT,
        write(0x3F2, 0x2E) + REGISTERS + write(0x3F4, 0x80) + "call request\n" + REGISTERS + INTERRUPT * 5,
        write(0x3F7, 2) + REGISTERS + write(0x3F3, 6) + REGISTERS + write(0x3F1, 0xFF) + REGISTERS,
        write(0x3F2, 0x08, 0x0C) + command(0x0F, 0, 0) + INTERRUPT * 2 + write(0x3F4, 0x40) + INTERRUPT,
        "movb $0x4a, %al\n call fifo\n movb $0, %al\n call fifo\n" + REGISTERS + RESET + REGISTERS,
        INTERRUPT * 5 + "movb $0x0f, %al\n call fifo\n" + REGISTERS + command(8, 8) + INTERRUPT + "exit 0\n",
    ]
)


def test_the_dma_controllers(tmp_path: Path) -> None:
    assert lines_here(DMA_GUEST) == lines_in_qemu(DMA_GUEST, tmp_path)


def test_the_floppy_disk_controller(tmp_path: Path) -> None:
    assert lines_here(FLOPPY_GUEST) == lines_in_qemu(FLOPPY_GUEST, tmp_path)
