"""What a guest reads from the devices of a PC is what it reads in QEMU, line for line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.port_guests import lines_here, lines_in_qemu

if TYPE_CHECKING:
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
