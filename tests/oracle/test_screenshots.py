"""Pictures of the screen are those that QEMU makes, pixel for pixel. `firmware/devices/pictures.c` draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from emulator import boot
from tests.helpers import qemu

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.devices.vga.screenshot import Screenshot

SCREENS = {
    "a": "32 bits",
    "b": "24 bits",
    "c": "16 bits",
    "d": "15 bits",
    "e": "8 bits",
    "f": "the window",
    "g": "scrolled",
    "h": "16 colours, split",
    "i": "320 x 200",
    "j": "mode X",
    "k": "4 colours",
    "l": "a font of the kernel's",
}


def screenshot(built: Path, screen: str) -> Screenshot:
    machine = boot(str(built / "pictures.elf"), command_line=screen)
    machine.run(timeout_s=60)
    return machine.screenshot()


@pytest.mark.parametrize("screen", SCREENS, ids=SCREENS.values())
def test_a_picture_is_that_of_qemu(screen: str, built: Path) -> None:
    assert screenshot(built, screen) == qemu.picture(built / "pictures.elf", screen)


def test_text_has_its_colours_where_qemu_has_them(built: Path) -> None:
    """The shapes of letters are another font's, so each cell has the same two colours."""
    width, height, pixels = qemu.picture(built / "pictures.elf", "m")
    here = screenshot(built, "m")
    assert (here.width, here.height) == (width, height) == (720, 400)
    for row in range(25):
        for column in range(80):
            code = (80 * (row + 1) + column) & 0xFF  # the screen begins in the second line
            if chr(code).isascii() and chr(code).isalnum():
                assert cell(here.pixels, row, column) == cell(pixels, row, column), (row, column)


def cell(pixels: bytes, row: int, column: int) -> set[tuple[int, ...]]:
    """Return the colours of a character."""
    screen = np.frombuffer(pixels, np.uint8).reshape(25, 16, 80, 9, 3)
    return {tuple(map(int, pixel)) for pixel in screen[row, :, column].reshape(-1, 3)}


def test_a_screen_that_is_off_is_black(built: Path) -> None:
    off = screenshot(built, "n")
    assert (off.width, off.height) == (640, 480)
    assert not any(off.pixels)
