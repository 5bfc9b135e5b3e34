from __future__ import annotations

import pytest

from emulator.devices.vga.modes import VIDEO_MODES, palette_256, preferred_mode


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ((640, 480, 24), 0x112),
        ((640, 480, 32), 0x142),
        ((1024, 768, 8), 0x105),
        ((640, 480, 0), 0x142),  # the most colours
        ((800, 600, 7), 0x143),
        ((0, 0, 0), 0x17A),
        ((0, 0, 16), 0x17A),
        ((1000, 700, 32), 0x17A),
    ],
)
def test_a_kernel_gets_what_comes_nearest(wanted: tuple[int, int, int], number: int) -> None:
    assert preferred_mode(*wanted).number == number


def test_all_modes_fit_into_16_mib() -> None:
    assert max(mode.pitch * mode.height for mode in VIDEO_MODES.values()) <= 16 << 20
    assert VIDEO_MODES[0x10D].pitch == 640
    assert VIDEO_MODES[0x10F].pitch == 960


def test_the_palette_has_the_colours_of_a_vga() -> None:
    """As a BIOS sets them: 16 colours of text, 16 greys, then hues from blue by red and green back, in 9 rows of 24."""
    parts = palette_256()
    colours = [tuple(parts[3 * number : 3 * number + 3]) for number in range(256)]
    assert colours[:16] == [
        *((0, 0, 0), (0, 0, 42), (0, 42, 0), (0, 42, 42), (42, 0, 0), (42, 0, 42), (42, 21, 0), (42, 42, 42)),
        *((21, 21, 21), (21, 21, 63), (21, 63, 21), (21, 63, 63), (63, 21, 21), (63, 21, 63), (63, 63, 21)),
        (63, 63, 63),
    ]
    assert (colours[16], colours[31]) == ((0, 0, 0), (63, 63, 63))
    assert [colours[32 + hue] for hue in (0, 1, 4, 8, 12, 16, 20, 23)] == [
        *(
            (0, 0, 63),
            (16, 0, 63),
            (63, 0, 63),
            (63, 0, 0),
            (63, 63, 0),
            (0, 63, 0),
            (0, 63, 63),
            (0, 16, 63),
        ),
    ]
    assert (colours[56], colours[247]) == ((31, 31, 63), (11, 12, 16))
    assert colours[248:] == [(0, 0, 0)] * 8
