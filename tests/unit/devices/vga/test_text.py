from __future__ import annotations

import pytest

from emulator.devices.addresses import TEXT_MEMORY
from emulator.devices.vga.text import VgaText

MEMORY_SIZE = TEXT_MEMORY[1] - TEXT_MEMORY[0]


def set_registers(vga: VgaText, **values: int) -> None:
    for name, value in values.items():
        vga.write_port(0x3D4, 2, value << 8 | int(name.removeprefix("r"), 16))


def lines_of(memory: bytes | bytearray | memoryview) -> list[str]:
    return VgaText().screen(memory).lines()


def screen(**rows: bytes) -> bytearray:
    memory = bytearray(b"\x20\x07" * (MEMORY_SIZE // 2))
    for row, text in rows.items():
        start = int(row.removeprefix("row")) * 160
        memory[start : start + 2 * len(text) : 2] = text
    return memory


class TestScreen:
    def test_is_25_lines_without_trailing_blanks(self) -> None:
        lines = lines_of(screen(row0=b"  kmemu  ", row24=b"x" * 80))
        assert lines == ["  kmemu", *[""] * 23, "x" * 80]

    def test_a_cleared_screen_is_empty(self) -> None:
        assert lines_of(bytes(MEMORY_SIZE)) == [""] * 25

    def test_characters_are_those_of_code_page_437(self) -> None:
        assert lines_of(screen(row3=b"\x01\x7f\x80\xb0\xc9\xe1\xff\x00A"))[3] == "☺⌂Ç░╔ß  A"

    def test_every_byte_is_one_character(self) -> None:
        memory = screen(
            row0=bytes(range(80)),
            row1=bytes(range(80, 160)),
            row2=bytes(range(160, 240)),
            row3=bytes(range(240, 256)),
        )
        text = "".join(line.ljust(80) for line in lines_of(memory)[:4])
        assert len(text) == 320
        assert text.isprintable()

    def test_begins_where_the_controller_says(self) -> None:
        memory = screen(row0=b"gone", row1=b"first", row25=b"last", row26=b"later")
        vga = VgaText()
        set_registers(vga, r0D=80, r0F=80 + 2)
        shown = vga.screen(memory)
        assert (shown.lines(), shown.cursor) == (["first", *[""] * 23, "last"], (0, 2))

    def test_goes_on_at_the_start_of_its_memory(self) -> None:
        memory = screen(row0=b"again", row204=b"end")
        vga = VgaText()
        start = 204 * 80
        set_registers(vga, r0C=start >> 8, r0D=start & 0xFF)
        assert vga.screen(memory).lines()[0] == "end".ljust(64) + "again"

    def test_has_the_rows_and_columns_that_the_controller_says(self) -> None:
        vga = VgaText()
        set_registers(vga, r09=0x47)  # 8 lines a character
        assert vga.screen(screen(row49=b"bottom")).lines() == [*[""] * 49, "bottom"]
        set_registers(vga, r11=0, r01=39, r13=20)
        shown = vga.screen(screen(row0=b"a" * 40 + b"b" * 40))
        assert (shown.columns, shown.rows, shown.lines()[:3]) == (40, 50, ["a" * 40, "b" * 40, ""])

    def test_may_show_a_part_of_its_rows_or_one_over_and_over(self) -> None:
        vga = VgaText()
        memory = screen(row0=b"a" * 80, row2=b"b" * 80)
        set_registers(vga, r13=80)
        assert vga.screen(memory).lines()[:2] == ["a" * 80, "b" * 80]
        set_registers(vga, r13=0)
        assert vga.screen(memory).lines() == ["a" * 80] * 25

    @pytest.mark.parametrize("registers", [{"r0E": 0x07, "r0F": 0xD0}, {"r0D": 2, "r0F": 1}, {"r0A": 0x2D}])
    def test_may_have_no_cursor(self, registers: dict[str, int]) -> None:
        vga = VgaText()
        assert vga.screen(screen()).cursor == (0, 0)
        set_registers(vga, **registers)
        assert vga.screen(screen()).cursor is None


class TestController:
    def test_cursor_by_single_bytes(self) -> None:
        vga = VgaText()
        for index, value in [(0x0E, 0x07), (0x0F, 0xCF)]:
            vga.write_port(0x3D4, 1, index)
            vga.write_port(0x3D5, 1, value)
        assert vga.screen(screen()).cursor == (24, 79)
        assert vga.read_port(0x3D4, 1) == 0x0F
        assert vga.read_port(0x3D5, 1) == 0xCF

    def test_cursor_by_words(self) -> None:
        vga = VgaText()
        vga.write_port(0x3D4, 2, 0x000E)
        vga.write_port(0x3D4, 2, 0x520F)
        assert vga.screen(screen()).cursor == (1, 2)
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
            assert (vga.screen(screen()).cursor, vga.read_port(0x3D4, 1)) == ((1, 2), 0x0F)

    def test_refuses_another_devices_state(self) -> None:
        with pytest.raises(TypeError, match=r"^not a state of VgaText: None$"):
            VgaText().restore(None)

    def test_nothing_is_fast(self) -> None:
        assert VgaText().fast_ports() == {}
        assert VgaText().ports == (0x3D4, 0x3D5)
