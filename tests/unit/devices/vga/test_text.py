from __future__ import annotations

import pytest

from emulator.devices.vga.text import MEMORY_SIZE, VgaText, screen_lines


def screen(**rows: bytes) -> bytearray:
    memory = bytearray(b"\x20\x07" * (MEMORY_SIZE // 2))
    for row, text in rows.items():
        start = int(row.removeprefix("row")) * 160
        memory[start : start + 2 * len(text) : 2] = text
    return memory


class TestScreen:
    def test_is_25_lines_without_trailing_blanks(self) -> None:
        lines = screen_lines(screen(row0=b"  kmemu  ", row24=b"x" * 80))
        assert lines == ["  kmemu", *[""] * 23, "x" * 80]

    def test_a_cleared_screen_is_empty(self) -> None:
        assert screen_lines(bytes(MEMORY_SIZE)) == [""] * 25

    def test_characters_are_those_of_code_page_437(self) -> None:
        assert screen_lines(screen(row3=b"\x01\x7f\x80\xb0\xc9\xe1\xff\x00A"))[3] == "☺⌂Ç░╔ß  A"

    def test_every_byte_is_one_character(self) -> None:
        memory = screen(
            row0=bytes(range(80)),
            row1=bytes(range(80, 160)),
            row2=bytes(range(160, 240)),
            row3=bytes(range(240, 256)),
        )
        text = "".join(line.ljust(80) for line in screen_lines(memory)[:4])
        assert len(text) == 320
        assert text.isprintable()

    def test_takes_a_view_of_more_than_the_screen(self) -> None:
        assert screen_lines(memoryview(screen(row0=b"a") + b"bb")) == ["a", *[""] * 24]

    def test_refuses_less(self) -> None:
        with pytest.raises(ValueError, match=r"^a screen takes 4000 bytes, not 3999$"):
            screen_lines(bytes(3999))


class TestController:
    def test_cursor_by_single_bytes(self) -> None:
        vga = VgaText()
        for index, value in [(0x0E, 0x07), (0x0F, 0xCF)]:
            vga.write_port(0x3D4, 1, index)
            vga.write_port(0x3D5, 1, value)
        assert vga.cursor == (24, 79)
        assert vga.read_port(0x3D4, 1) == 0x0F
        assert vga.read_port(0x3D5, 1) == 0xCF

    def test_cursor_by_words(self) -> None:
        vga = VgaText()
        vga.write_port(0x3D4, 2, 0x000E)
        vga.write_port(0x3D4, 2, 0x520F)
        assert vga.cursor == (1, 2)
        assert vga.read_port(0x3D4, 2) == 0x520F

    def test_registers_that_are_not_there(self) -> None:
        vga = VgaText()
        vga.write_port(0x3D4, 2, 0x12FF)
        assert vga.read_port(0x3D5, 1) == 0xFF

    def test_state_comes_back(self) -> None:
        vga = VgaText()
        vga.write_port(0x3D4, 2, 0x520F)
        state = vga.save()
        for _ in range(2):
            vga.write_port(0x3D4, 2, 0x990E)
            vga.restore(state)
            assert (vga.cursor, vga.read_port(0x3D4, 1)) == ((1, 2), 0x0F)

    def test_refuses_another_devices_state(self) -> None:
        with pytest.raises(TypeError, match=r"^not a state of VgaText: None$"):
            VgaText().restore(None)

    def test_nothing_is_fast(self) -> None:
        assert VgaText().fast_ports() == {}
        assert VgaText().ports == (0x3D4, 0x3D5)
