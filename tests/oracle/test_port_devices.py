"""What a guest reads from the devices of a PC is what it reads in QEMU, line for line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.port_guests import lines_here, lines_in_qemu

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What comes out of the keyboard controller until it is silent; `m` marks bytes of the mouse.
DRAIN = """
drain:
1:      movl    $20000, %ecx
2:      inb     $0x64, %al
        testb   $1, %al
        jnz     3f
        loop    2b
        ret
3:      testb   $0x20, %al
        jz      4f
        movb    $'m', %al
        call    print_character
4:      inb     $0x60, %al
        call    print_byte
        jmp     1b
guest:
"""
TO_CONTROLLER, TO_KEYBOARD, TO_MOUSE = "controller", "keyboard", "mouse"
CONTROLLER = bytes.fromhex("20 aa 20 ab a9 ad 20 ae 20 a8 20 a7 20 c0 d0 a1 21 10 df d0 ca e0")
KEYBOARD = bytes.fromhex(
    "ee f2 f0 00 f0 02 f0 01 f0 00 f0 02 f0 09 00 ed 07 f3 20 f4 f5 f6 f7 f8 f9 fa fb 1c fc 1c fd fe ff 05 06 55"
    "ef"
)
MOUSE = bytes.fromhex(
    "ff f2 e9 e8 03 f3 64 e9 e7 e9 e6 ea eb f0 eb ee 12 ec f4 e9 f5 f6 e9 e1 00 fe f3 c8 f3 64 f3 50 f2 f3 c8 f3"
    "c8 f3 50 f2 eb f6 f2"
)
UNTRANSLATED = [(TO_CONTROLLER, 0x60), (TO_KEYBOARD, 0x01), (TO_CONTROLLER, 0x20), (TO_KEYBOARD, 0xF2)]
UNTRANSLATED += [(TO_KEYBOARD, 0xF0), (TO_KEYBOARD, 0), (TO_KEYBOARD, 0xFF)]
OTHERS = [(TO_CONTROLLER, 0xD2), (TO_KEYBOARD, 0x42), (TO_CONTROLLER, 0xD3), (TO_KEYBOARD, 0x43)]
OTHERS += [(TO_CONTROLLER, 0xD1), (TO_KEYBOARD, 0xCF), (TO_CONTROLLER, 0xD0)]
OTHERS += [(TO_CONTROLLER, 0x60), (TO_KEYBOARD, 0x61), (TO_CONTROLLER, 0x20)]
SWITCHED_OFF = [(TO_CONTROLLER, 0xAD), (TO_KEYBOARD, 0xF4), (TO_CONTROLLER, 0x20)]
SWITCHED_OFF += [(TO_CONTROLLER, 0xA7), (TO_MOUSE, 0xF4), (TO_CONTROLLER, 0x20)]
TWO_AT_ONCE = """
        write   0x60, 0xf2              # the controller's own answer comes before the rest of the keyboard's
        write   0x64, 0x20
        call    drain
        line
        write   0x60, 0xf0              # an answer that was not read is lost
        write   0x60, 0x02
        call    drain
        line
        inw     $0x64, %ax
        print
        movb    %ah, %al
        print
        inl     $0x60, %eax
        shrl    $24, %eax
        print
        exit    0
"""


def command(receiver: str, byte: int) -> str:
    """Return the code that sends a byte, and prints what comes back and the status after it."""
    to_mouse = "write 0x64, 0xd4\n" if receiver == TO_MOUSE else ""
    port = 0x64 if receiver == TO_CONTROLLER else 0x60
    return f'say "{receiver} {byte:02x}: "\n{to_mouse}write {port}, {byte}\ncall drain\nread 0x64\nline\n'


def test_the_keyboard_controller(tmp_path: Path) -> None:
    commands = [(TO_CONTROLLER, byte) for byte in CONTROLLER] + [(TO_KEYBOARD, byte) for byte in KEYBOARD]
    commands += [*UNTRANSLATED, *((TO_MOUSE, byte) for byte in MOUSE), *OTHERS, *SWITCHED_OFF]
    source = DRAIN + "".join(command(*each) for each in commands) + TWO_AT_ONCE
    assert lines_here(source) == lines_in_qemu(source, tmp_path)


def select(register: int) -> str:
    return f"write 0x70, {register}\n"


def cmos(*registers: int) -> str:
    """Return the code that prints registers of the real-time clock."""
    return "".join(f"{select(register)} read 0x71\n" for register in registers) + "line\n"


def set_cmos(*pairs: tuple[int, int]) -> str:
    """Return the code that writes some of them."""
    return "".join(f"{select(register)} write 0x71, {value}\n" for register, value in pairs)


TIME = (0, 2, 4, 6, 7, 8, 9, 0x32, 0x0B)
CMOS = [
    "jmp guest\nguest:\n",
    cmos(*range(0x0A, 0x32), *range(0x33, 0x80)),
    set_cmos((0x0B, 0x82), (0, 0x30), (2, 0x59), (4, 0x23), (6, 3), (7, 0x31), (8, 0x12), (9, 0x99), (0x32, 0x19)),
    cmos(*TIME),
    set_cmos((0x0B, 0x86)) + cmos(*TIME) + set_cmos((0x0B, 0x80)) + cmos(*TIME),
    set_cmos((4, 0x92)) + cmos(4) + set_cmos((0x0B, 0x82)) + cmos(4),
    set_cmos((0x0B, 0x02)) + cmos(*TIME),
    set_cmos((0x0B, 0x00)) + cmos(*TIME) + set_cmos((4, 0x91)) + cmos(*TIME) + set_cmos((4, 0x12)) + cmos(*TIME),
    set_cmos((0x0B, 0x04)) + cmos(*TIME) + set_cmos((0x0B, 0x06)) + cmos(*TIME) + set_cmos((0x0B, 0x02)),
    cmos(1, 3, 5) + set_cmos((1, 0xFF), (3, 0xC0), (5, 0x12)) + cmos(1, 3, 5),
    *(set_cmos(each) + cmos(each[0]) for each in [(0x0A, 0xFF), (0x0A, 0x26), (0x0C, 0xFF), (0x0D, 0), (0x0B, 0xFF)]),
    set_cmos((0x0B, 0x02), (0x0E, 0x55), (0x7F, 0xAA), (0x15, 1)) + cmos(0x0E, 0x7F, 0x15, 0x8E),
    "read 0x70\nline\n",
    set_cmos((0x0A, 0x26), (0x0B, 0x42)) + select(0x0C) + "1: inb $0x71, %al\n testb $0x40, %al\n jz 1b\n print\n line\n",
    "exit 0\n",
]  # fmt: skip


def test_the_real_time_clock(tmp_path: Path) -> None:
    source = "".join(CMOS)
    assert lines_here(source) == lines_in_qemu(source, tmp_path)


QUIET = (0x80, 0x92, *range(0x1F0, 0x1F8), 0x3F6, *range(0x170, 0x178), 0x376)


def test_ports_where_nothing_happens(tmp_path: Path) -> None:
    reads = "".join(f"read {port}\n" for port in QUIET)
    writes = "".join(f"write {port}, 2\n" for port in QUIET)
    source = f"guest:\n{reads} line\n{writes}{reads}line\nexit 0\n"
    assert lines_here(source) == lines_in_qemu(source, tmp_path)


@pytest.mark.parametrize(
    "way",
    [
        "movw $0x604, %dx\n movw $0x2000, %ax\n outw %ax, %dx\n",
        "write 0x64, 0xfe\n",
        "write 0x92, 1\n",
        "write 0x64, 0xd1\n write 0x60, 0xfe\n",
        "movl $0x00044500, 0xfee00300\n",
    ],
    ids=["switched off", "reset", "reset by system control", "reset by the output port", "init"],
)
def test_ways_to_end_the_pc(way: str, tmp_path: Path) -> None:
    source = f'guest:\nsay "before"\nline\n{way}1: jmp 1b\n'
    assert lines_here(source) == lines_in_qemu(source, tmp_path) == ["before"]


def status(channel: int) -> str:
    """Return the code that prints the status of a channel of the timer, without its output, which depends on time."""
    return f"write 0x43, {0xE0 | 2 << channel}\n inb ${0x40 + channel}, %al\n andb $0x7f, %al\n print\n"


def counts_from(control: int) -> str:
    """Return the code that lets channel 2 count from the highest number, and prints its status and the high byte."""
    load = f"write 0x43, {control}\n {status(2)} write 0x42, 0xff\n write 0x42, 0xff\n {status(2)}"
    return load + "write 0x43, 0x80\n inb $0x42, %al\n inb $0x42, %al\n andb $0xf0, %al\n print\n line\n"


TIMER = [
    "jmp guest\nguest:\n",
    *(status(channel) for channel in range(3)),
    "read 0x43\nline\n",
    "inb $0x61, %al\n andb $0x10, %al\n print\n inb $0x61, %al\n andb $0x10, %al\n print\n line\n",
    "write 0x61, 1\n write 0x43, 0xb0\n write 0x42, 0x10\n write 0x42, 0\n" + status(2),
    "1: inb $0x61, %al\n testb $0x20, %al\n jz 1b\n andb $0x2f, %al\n print\n write 0x43, 0xe8\n inb $0x42, %al\n print\n line\n",
    *(counts_from(0xB0 | mode << 1) for mode in range(8)),
    "write 0x43, 0x90\n write 0x42, 0x80\n" + status(2) + "write 0x43, 0xa0\n write 0x42, 0x80\n" + status(2),
    "write 0x43, 0xb1\n" + status(2) + "line\n",
    "write 0x43, 0xb4\n write 0x42, 0xff\n write 0x42, 0xff\n write 0x43, 0xc8\n",  # status and count at once
    "inb $0x42, %al\n andb $0x7f, %al\n print\n inb $0x42, %al\n inb $0x42, %al\n andb $0xf0, %al\n print\n line\n",
    *(f"write 0x61, {value}\n inb $0x61, %al\n andb $0x0f, %al\n print\n" for value in (0, 0xFF, 0)),
    "line\nexit 0\n",
]  # fmt: skip
# Whether the timer has ticked while the firmware ran is not compared.
CONTROLLERS_AT_ENTRY = """
        jmp     guest
guest:  read    0x21
        read    0xa1
        inb     $0x20, %al
        andb    $0xfe, %al
        print
        read    0xa0
        write   0x20, 0x0b
        read    0x20
        write   0xa0, 0x0b
        read    0xa0
        line
        exit    0
"""


def test_the_interval_timer(tmp_path: Path) -> None:
    source = "".join(TIMER)
    assert lines_here(source) == lines_in_qemu(source, tmp_path, "-icount", "shift=3")  # on the guest's time


def test_the_interrupt_controllers_at_entry(tmp_path: Path) -> None:
    assert lines_here(CONTROLLERS_AT_ENTRY) == lines_in_qemu(CONTROLLERS_AT_ENTRY, tmp_path)


COM1 = 0x3F8


def uart(*registers: int) -> str:
    """Return the code that prints registers of COM1."""
    return "".join(f"read {COM1 + register}\n" for register in registers)


def set_uart(register: int, value: int) -> str:
    return f"write {COM1 + register}, {value}\n"


# What is read in loopback mode is kept until it can be printed.
LOOPBACK = f"""
        {set_uart(4, 0x1E)}
        movw    ${COM1 + 6}, %dx
        inb     %dx, %al
        movb    %al, %bl
        {set_uart(0, 0xAE)}
        movw    ${COM1 + 5}, %dx
        inb     %dx, %al
        movb    %al, %bh
        movw    ${COM1}, %dx
        inb     %dx, %al
        movb    %al, %ch
        {set_uart(4, 0x0B)}
        movb    %bl, %al
        print
        movb    %bh, %al
        print
        movb    %ch, %al
        print
"""
TRIGGER = f"""
        {set_uart(2, 0x41)} {set_uart(1, 1)} {set_uart(4, 0x18)}
        xorl    %ebx, %ebx
        .rept   5
        {set_uart(0, 0x30)}
        movw    ${COM1 + 2}, %dx
        inb     %dx, %al
        andl    $0x0f, %eax
        shll    $4, %ebx
        orl     %eax, %ebx
        .endr
        movw    ${COM1}, %dx
        .rept   5
        inb     %dx, %al
        .endr
        {set_uart(4, 8)} {set_uart(1, 0)} {set_uart(2, 0)}
        .rept   5
        movb    %bl, %al
        print
        shrl    $4, %ebx
        .endr
"""
SERIAL = [
    "jmp guest\nguest:\n" + uart(*range(1, 8)) + "line\n",
    set_uart(1, 2) + uart(2, 2) + set_uart(1, 0) + set_uart(1, 2) + uart(2) + set_uart(1, 0xFF) + uart(1),
    set_uart(1, 0) + "line\n",
    set_uart(2, 1) + uart(2) + set_uart(2, 0xC7) + uart(2) + set_uart(2, 0) + uart(2) + "line\n",
    set_uart(1, 2) + uart(2) + set_uart(0, 65) + uart(2, 2) + set_uart(1, 0) + "line\n",
    LOOPBACK + uart(4, 6) + "line\n" + TRIGGER + "line\n",
    set_uart(3, 0x83) + "inb %dx, %al\n movb %al, %bl\n" + set_uart(3, 3) + "movb %bl, %al\n print\n" + uart(3),
    set_uart(7, 0xA5) + uart(7) + set_uart(5, 0) + uart(5) + set_uart(6, 0) + uart(6, 0) + "line\n",
    "write 0x20, 0x11\n write 0x21, 0x20\n write 0x21, 4\n write 0x21, 1\n write 0x21, 0xff\n",
    "inb $0x20, %al\n andb $0x10, %al\n movb %al, %bl\n" + set_uart(1, 2) + "inb $0x20, %al\n andb $0x10, %al\n movb %al, %bh\n",
    set_uart(1, 0) + "movb %bl, %al\n print\n movb %bh, %al\n print\n line\n exit 0\n",
]  # fmt: skip


def test_the_serial_port(tmp_path: Path) -> None:
    source = "".join(SERIAL)
    assert lines_here(source) == lines_in_qemu(source, tmp_path)


def indexed(index_port: int, data_port: int, registers: Iterable[int]) -> str:
    """Return the code that prints registers that an index selects."""
    return "".join(f"write {index_port}, {each}\n read {data_port}\n" for each in registers) + "line\n"


def attributes(registers: Iterable[int]) -> str:
    """Return the code that prints attributes; reading the status makes the next byte at 0x3c0 an index."""
    reset = "movw $0x3da, %dx\n inb %dx, %al\n"
    return "".join(f"{reset}write 0x3c0, {each}\n read 0x3c1\n" for each in registers) + "line\n"


# Where the cursor is at entry depends on what the firmware has printed.
SCREEN = [
    "jmp guest\nguest:\n",
    indexed(0x3D4, 0x3D5, [*range(0x0E), *range(0x10, 0x19)]),
    indexed(0x3C4, 0x3C5, range(8)) + indexed(0x3CE, 0x3CF, range(9)) + attributes(range(0x15)),
    "".join(f"read {port}\n" for port in (0x3CC, 0x3C2, 0x3CA, 0x3C6, 0x3C7)) + "line\n",
    "write 0x3c7, 0\n" + "read 0x3c9\n" * 192 + "read 0x3c7\nline\n",
    "write 0x3c8, 5\nwrite 0x3c9, 1\nwrite 0x3c9, 0xff\nwrite 0x3c9, 3\nwrite 0x3c7, 5\n",
    "read 0x3c9\nread 0x3c9\nread 0x3c9\nline\n",
    "movw $0x3da, %dx\n inb %dx, %al\n write 0x3c0, 0x31\n write 0x3c0, 7\n read 0x3c1\nread 0x3c0\nline\n",
    indexed(0x3D4, 0x3D5, []) + "write 0x3d4, 0x0e\nwrite 0x3d5, 3\nread 0x3d5\nread 0x3d4\nline\nexit 0\n",
]


def test_the_screen(tmp_path: Path) -> None:
    source = "".join(SCREEN)
    assert lines_here(source) == lines_in_qemu(source, tmp_path)
