"""What modes and registers are is compared with QEMU in tests/oracle/test_devices.py."""

from __future__ import annotations

import pytest

from tests.helpers.real_mode import kept, real_mode_machine

SET_VBE = "movw $0x4f02, %ax\n movw $0x4144, %bx\n int $0x10\n keep eax\n"
TO_TEXT = "movw $0x0003, %ax\n int $0x10\n"


def test_text_after_graphics_is_shown() -> None:
    text = "movw $0x0e41, %ax\n movw $7, %bx\n int $0x10\n"
    machine = real_mode_machine(SET_VBE + TO_TEXT + text + "leave")
    machine.run(timeout_s=20)
    assert kept(machine) == [0x4F02 & 0xFFFF0000 | 0x004F]
    assert machine.screen()[0] == "A"


def test_graphics_leave_nothing_in_the_fonts_of_text() -> None:
    fill = "movw $0x13, %ax\n int $0x10\n movw $0xa000, %ax\n movw %ax, %es\n movb $0x55, %al\n movw $0xffff, %cx\n xorw %di, %di\n rep stosb\n"
    text = "movw $0x0e41, %ax\n movw $7, %bx\n int $0x10\n leave"
    pictures = []
    for before in ("", fill):
        machine = real_mode_machine(before + TO_TEXT + text)
        machine.run(timeout_s=20)
        pictures.append(machine.screenshot().pixels)
    assert pictures[0] == pictures[1]


def test_a_font_of_8_lines_makes_50_rows() -> None:
    last_row = (
        "movw $0x0200, %ax\n movw $0, %bx\n movw $0x3100, %dx\n int $0x10\n movw $0x0e42, %ax\n int $0x10\n"
    )
    machine = real_mode_machine(f"{TO_TEXT} movw $0x1112, %ax\n int $0x10\n {last_row} leave")
    machine.run(timeout_s=20)
    assert machine.screen()[49] == "B"
    assert not machine.unanswered.lacks()


@pytest.mark.parametrize("service", [0x1100, 0x1102, 0x1110, 0x1120, 0x1131])
def test_other_services_of_fonts_are_lacks(service: int) -> None:
    machine = real_mode_machine(f"movw ${service}, %ax\n int $0x10\n leave")
    machine.run(timeout_s=20)
    assert [lack.service for lack in machine.unanswered.lacks()] == [f"int 0x10, AX={service:x}"]


@pytest.mark.parametrize(
    "code", ["movw $0x0e41, %ax", "movw $0x0601, %ax", "movw $0x0941, %ax\n movw $1, %cx"]
)
def test_characters_in_graphics_are_not_drawn_and_that_is_said(code: str) -> None:
    machine = real_mode_machine(f"movw $0x0013, %ax\n int $0x10\n {code}\n int $0x10\n leave")
    machine.run(timeout_s=20)
    [lack] = machine.unanswered.lacks()
    assert lack.service.startswith("int 0x10, ")
    assert lack.service.endswith("in a mode of graphics")


def test_a_snapshot_goes_back_from_graphics_to_text() -> None:
    machine = real_mode_machine(SET_VBE + "leave")
    snapshot = machine.snapshot()
    before = machine.memory.read(0x400, 256)
    for _ in range(2):
        machine.run(timeout_s=20)
        assert machine.memory.read(0x4BA, 2) == b"\x44\x41"
        snapshot.reset()
        assert machine.memory.read(0x400, 256) == before


def test_a_mode_that_is_not_there_changes_nothing() -> None:
    machine = real_mode_machine("movw $0x0005, %ax\n int $0x10\n movzbl 0x449, %eax\n keep eax\n leave")
    machine.run(timeout_s=20)
    assert kept(machine) == [3]
    assert [lack.service for lack in machine.unanswered.lacks()] == ["int 0x10, mode 0x05"]
