"""The registers are compared with QEMU by firmware/devices/graphics.c; here is what that cannot see."""

from __future__ import annotations

import pytest

from emulator.devices import addresses
from emulator.devices.vga.dispi import Dispi, Enable, Mode, Register
from emulator.devices.vga.modes import palette_256
from emulator.devices.vga.ports import VgaPorts
from emulator.devices.vga.text import VgaText
from tests.helpers.video_memory import FakeVideoMemory


class Adapter:
    """The whole adapter."""

    def __init__(self) -> None:
        self.video = FakeVideoMemory()
        self.vga, self.crtc = VgaPorts(lambda: 0, self.video), VgaText()
        self.changed: list[object] = []
        self.dispi = Dispi(self.vga, self.crtc, self.changed.append)

    def set(self, register: int, value: int) -> None:
        """Write a register as a kernel does."""
        self.dispi.write_port(0x1CE, 2, register)
        self.dispi.write_port(0x1CF, 2, value)


def test_a_mode_says_where_lines_lie() -> None:
    adapter = Adapter()
    assert adapter.dispi.set_mode(320, 200, 16) == Mode(320, 200, 16, 640, 0)
    adapter.set(Register.VIRTUAL_WIDTH, 400)
    adapter.set(Register.X_OFFSET, 3)
    adapter.set(Register.Y_OFFSET, 2)
    assert adapter.dispi.mode == Mode(320, 200, 16, 800, 2 * 800 + 4)  # whole words, as in QEMU
    adapter.set(Register.ENABLE, 0)
    assert adapter.dispi.mode is None


def test_a_mode_that_does_not_fit_is_made_smaller() -> None:
    assert Adapter().dispi.set_mode(1000, 600, 32) == Mode(1000, 262, 32, 4000, 0)


def test_the_window_shows_the_bank_while_a_mode_is_on() -> None:
    adapter = Adapter()
    adapter.dispi.set_mode(640, 480, 8)
    for register, value in ((Register.BANK, 0x13), (Register.ENABLE, Enable.ON), (Register.ENABLE, 0)):
        adapter.set(register, value)
    shown = [(name, offset) for name, offset, _planes in adapter.video.shown]
    assert shown[-4:-1] == [("part", 3 << 16), ("part", 0), ("part", 0)]
    assert shown[-1] == ("planes", 0)  # what the VGA's own registers say then


@pytest.mark.parametrize(("value", "kept"), [(Enable.ON, 0), (Enable.ON | Enable.KEEP_MEMORY, 7)])
def test_switching_on_clears_what_is_shown(value: int, kept: int) -> None:
    adapter = Adapter()
    adapter.video.view()[:] = b"\7" * len(adapter.video)
    for register, number in ((Register.WIDTH, 320), (Register.HEIGHT, 200), (Register.DEPTH, 8)):
        adapter.set(register, number)
    adapter.set(Register.ENABLE, value)
    assert set(adapter.video.view()[: 320 * 200]) == {kept}
    assert set(adapter.video.view()[320 * 200 :]) == {7}


def test_a_mode_with_a_palette_gets_its_colours() -> None:
    adapter = Adapter()
    adapter.dispi.set_mode(320, 200, 8)
    assert adapter.vga.registers.palette == palette_256()
    adapter.set(Register.ENABLE, Enable.ON | Enable.DAC_8_BITS)
    assert adapter.vga.registers.dac_bits == 8
    adapter.set(Register.ENABLE, Enable.ON)
    assert adapter.vga.registers.dac_bits == 6


def test_goes_back_to_a_state() -> None:
    adapter = Adapter()
    adapter.dispi.set_mode(320, 200, 32)
    state, mode = adapter.dispi.save(), adapter.dispi.mode
    adapter.dispi.set_mode(640, 480, 8)
    adapter.dispi.restore(state)
    assert adapter.dispi.mode == mode
    with pytest.raises(TypeError, match=r"^not a state of Dispi: None$"):
        adapter.dispi.restore(None)


def test_its_registers_in_memory_are_those_at_ports() -> None:
    adapter = Adapter()
    adapter.dispi.write_memory(0x414, 1, 0x0F)  # CRTC, as port 0x3D4
    adapter.dispi.write_memory(0x415, 1, 0x42)
    assert adapter.crtc.screen(bytes(0x8000)).cursor == (0, 0x42)
    assert adapter.dispi.read_memory(0x414, 2) == 0x420F
    adapter.dispi.write_memory(0x418, 2, 0x1234)  # port 0x3D8: nothing is there
    assert adapter.dispi.read_memory(0x418, 2) == 0xFFFF
    adapter.dispi.write_memory(0x700, 4, 0)
    assert adapter.dispi.read_memory(0x700, 4) == 0xFFFFFFFF
    assert adapter.dispi.ports == addresses.DISPLAY_INTERFACE
    assert not adapter.dispi.fast_ports()
    assert not adapter.dispi.fast_words()


@pytest.mark.parametrize("access", ["read", "write"])
def test_what_is_done_to_the_vga_is_known_to_the_board(access: str) -> None:
    adapter = Adapter()
    if access == "read":
        adapter.dispi.read_memory(0x41A, 1)  # the status: the next byte at 0x3C0 is an index
    else:
        adapter.dispi.write_memory(0x400, 1, 0)
    assert adapter.changed == [adapter.vga]
