"""A kernel that asks its boot loader for graphics finds them switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = """
#define HEADER1 __attribute__((section(".text.header"), used, aligned(8))) const unsigned header[] = \
    {0x1BADB002, 7, -(0x1BADB002 + 7), 0, 0, 0, 0, 0, 0, 320, 200, DEPTH}
#define HEADER2 __attribute__((section(".text.header"), used, aligned(8))) const unsigned header[] = \
    {0xE85250D6, 0, 48, -(0xE85250D6u + 48), 5, 20, 320, 200, DEPTH, 0, 0, 8}
HEADER;
__attribute__((used)) void draw(unsigned magic, const unsigned char *info)
{
    const unsigned char *frame = info + 88;

    if (magic == 0x36D76289)
        for (frame = info + 8; frame[0] != 8; frame += (*(const unsigned *)(frame + 4) + 7) & ~7u) {
        }
    frame += magic == 0x36D76289 ? 8 : 0;
    unsigned char *pixels = *(unsigned char **)frame;
    unsigned pitch = *(unsigned *)(frame + 8), bytes = frame[20] / 8;
    for (unsigned y = 0; y < *(unsigned *)(frame + 16); y++)
        for (unsigned x = 0; x < *(unsigned *)(frame + 12); x++)
            for (unsigned i = 0; i < bytes; i++)
                pixels[y * pitch + x * bytes + i] = (unsigned char)(bytes == 1 ? x + y : i == 2 ? x : i == 1 ? y : 0x55);
}
__asm__(".text\\n.globl _start\\n_start: movl $stack + 4096, %esp\\n pushl %ebx\\n pushl %eax\\n call draw\\n cli\\n hlt\\n"
        ".lcomm stack, 4096");
"""


@pytest.mark.parametrize("header", ["HEADER1", "HEADER2"])
@pytest.mark.parametrize("depth", [8, 24, 32])
def test_a_kernel_draws_where_it_is_told(header: str, depth: int, tmp_path: Path) -> None:
    machine = boot(str(compile_kernel(tmp_path, KERNEL, [f"-DHEADER={header}", f"-DDEPTH={depth}"])))
    machine.run()
    picture = machine.screenshot()
    assert (picture.width, picture.height) == (320, 200)
    pixels = [picture.pixels[3 * (320 * y + x) :][:3] for x, y in ((0, 0), (255, 3), (7, 199))]
    if depth > 8:
        assert pixels == [bytes((0, 0, 0x55)), bytes((255, 3, 0x55)), bytes((7, 199, 0x55))]
    else:
        assert pixels[:2] == [bytes(3), bytes((0, 0xA8, 0))]  # black, and 255 + 3: green


def test_the_mode_is_part_of_snapshots(tmp_path: Path) -> None:
    machine = boot(str(compile_kernel(tmp_path, KERNEL, ["-DHEADER=HEADER2", "-DDEPTH=32"])))
    start = machine.snapshot()
    blank = machine.screenshot()
    machine.run()
    drawn = machine.screenshot()
    start.reset()
    assert machine.screenshot() == blank != drawn
    assert not any(blank.pixels)
    machine.run()
    assert machine.screenshot() == drawn
