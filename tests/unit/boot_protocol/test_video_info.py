"""What kernels are told of the screen. Numbers are those that GRUB 2.06 with SeaBIOS hands over in QEMU."""

from __future__ import annotations

import struct

import pytest

from emulator.boot_protocol.boot_state import boot_state
from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.video_info import CONTROLLER_SIZE, MODE_SIZE, Screen, controller_info, mode_info
from emulator.devices.vga.modes import VIDEO_MODES, VideoMode, palette_256
from emulator.loader.image import KernelImage
from tests.unit.loader import multiboot2_builder as mb2

RAM_END, BASE = 0x500000, 0x100000
ADAPTER = Hardware(graphics=True)
DIRECT = {  # what follows the pitch: size, depth, type, two bytes, lowest bit and size of red, green, blue
    0x142: "80020000e00100002001000010080808 0008",
    0x114: "20030000580200001001 0000 0b05 0506 0005",
    0x110: "80020000e00100000f01 0000 0a05 0505 0005",
    0x112: "80020000e00100001801 0000 1008 0808 0008",
}
BLOCKS = {
    0x142: "bb0007004000400000a000000000 0000 000a8002e001081001200106000c01 0810080808000818 02 000000fd 000000000000"
    "000a 0000 0810080808000818",
    0x114: "bb0007004000400000a000000000 0000 400620035802081001100106001001 050b060505000000 00 000000fd 000000000000"
    "4006 0000 050b060505000000",
    0x110: "bb0007004000400000a000000000 0000 00058002e0010810010f0106001801 050a05050500010f 00 000000fd 000000000000"
    "0005 0000 050a05050500010f",
    0x146: "bb0007004000400000a000000000 0000 40014001c800081001080104007f01 0000000000000000 00 000000fd 000000000000"
    "4001 0000 0000000000000000",
}


@pytest.mark.parametrize(("number", "fields"), DIRECT.items())
def test_a_frame_buffer_of_red_green_and_blue(number: int, fields: str) -> None:
    mode = VIDEO_MODES[number]
    screen = Screen(mode)
    told = struct.pack("<QI", 0xFD000000, mode.pitch) + bytes.fromhex(fields)
    assert screen.frame + bytes(2) + screen.colours == told
    assert screen.palette == b""


def test_a_frame_buffer_with_a_palette() -> None:
    screen = Screen(VIDEO_MODES[0x146])
    assert (screen.frame[-2:], screen.colours) == (b"\x08\x00", b"")
    assert screen.palette[3:6] == bytes((0, 0, 0xA8))
    assert screen.palette[3 * 15 : 3 * 16] == b"\xff\xff\xff"
    assert len(screen.palette) == len(palette_256())


def test_text() -> None:
    screen = Screen(None)
    assert screen.frame == struct.pack("<QIIIBB", 0xB8000, 160, 80, 25, 16, 2)
    assert (screen.colours, screen.palette, screen.vbe_at(0x9000)) == (b"", b"", b"")


@pytest.mark.parametrize(("number", "block"), BLOCKS.items())
def test_what_vbe_says_of_a_mode(number: int, block: str) -> None:
    told = mode_info(VIDEO_MODES[number])
    assert told.rstrip(b"\0") == bytes.fromhex(block).rstrip(b"\0")
    assert len(told) == MODE_SIZE


@pytest.mark.parametrize("at", [0x9A50, 0x9A57, 0xFFFF8, 0x100123, 0x10FFEF])
def test_what_vbe_says_of_the_controller(at: int) -> None:
    block = controller_info(at)
    assert len(block) == CONTROLLER_SIZE
    assert block[:6] == b"VESA\x00\x03"
    name, name_segment, modes, segment, memory = struct.unpack_from("<HH4xHHH", block, 6)
    assert (name_segment, segment, memory) == (min(at >> 4, 0xFFFF), segment, 256)
    start = at - 16 * segment  # in its segment
    assert block[name - start & 0xFFFF :].startswith(b"kmemu\0")
    numbers = struct.unpack_from(f"<{len(VIDEO_MODES) + 1}H", block, modes - start & 0xFFFF)
    assert numbers == (*VIDEO_MODES, 0xFFFF)


# -- who gets what -----------------------------------------------------------------------------------


def kernel1(flags: int, *video: int) -> KernelImage:
    """Return a kernel of Multiboot 1 with a video mode in its header."""
    flags |= 0x10000
    words = (0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, BASE, BASE, 0, 0, BASE + 64, *video)
    return KernelImage(struct.pack(f"<{len(words)}I", *words).ljust(80, b"\xf4"), "k.bin")


def kernel2(*tags: bytes) -> KernelImage:
    """Return one of Multiboot 2."""
    return KernelImage(mb2.header(mb2.tag(2, BASE, BASE, 0, BASE + 0x2000), *tags) + b"\xf4" * 64, "k.bin")


@pytest.mark.parametrize(
    ("image", "hardware", "number"),
    [
        (kernel1(3, 0, 640, 480, 32), ADAPTER, None),  # the flag is missing
        (kernel1(7, 0, 640, 480, 32), ADAPTER, 0x142),
        (kernel1(7, 0, 0, 0, 0), ADAPTER, 0x17A),
        (kernel1(7, 1, 80, 25, 0), ADAPTER, None),  # text
        (kernel1(7, 0, 640, 480, 32), Hardware(), None),
        (kernel2(), ADAPTER, None),
        (kernel2(mb2.tag(5, 800, 600, 24)), ADAPTER, 0x115),
        (kernel2(mb2.tag(5, 800, 600, 24)), Hardware(), None),
    ],
)
def test_a_kernel_that_asks_gets_graphics(image: KernelImage, hardware: Hardware, number: int | None) -> None:
    assert boot_state(image, RAM_END, hardware).mode == (None if number is None else VIDEO_MODES[number])


def information(image: KernelImage) -> tuple[bytes, int, dict[int, bytes]]:
    """Return the information for a kernel, where it lies, and all pieces of memory."""
    state = boot_state(image, RAM_END, ADAPTER)
    at, pieces = state.registers["ebx"], dict(state.pieces)
    start = max(address for address in pieces if address <= at)
    return pieces[start][at - start :], at, pieces


def test_multiboot_1_says_nothing_unless_it_is_asked() -> None:
    info, _, _ = information(kernel1(3))
    assert int.from_bytes(info[:4], "little") & 0x1800 == 0
    assert not any(info[72:116])


def test_multiboot_1_says_that_there_is_text() -> None:
    info, _, _ = information(kernel1(7, 1, 80, 25, 0))
    assert int.from_bytes(info[:4], "little") & 0x1800 == 0x1000
    assert info[88:120] == Screen(None).frame + bytes(10)


@pytest.mark.parametrize("number", [0x142, 0x146])
def test_multiboot_1_says_where_the_frame_buffer_is(number: int) -> None:
    mode = VIDEO_MODES[number]
    info, at, _ = information(kernel1(7, 0, mode.width, mode.height, mode.depth))
    screen = Screen(mode)
    assert int.from_bytes(info[:4], "little") & 0x1800 == 0x1800
    assert info[88:110] == screen.frame
    control, block, chosen = struct.unpack_from("<III", info, 72)
    assert chosen == 0x4000 | number
    assert control % 16 == 0
    assert info[control - at :].startswith(controller_info(control))
    assert info[block - at :].startswith(mode_info(mode))
    if screen.palette:
        palette, count = struct.unpack_from("<IH", info, 112)
        assert (info[palette - at :], count) == (screen.palette, 256)
    else:
        assert info[112:118] == screen.colours


@pytest.mark.parametrize("mode", [VIDEO_MODES[0x115], VIDEO_MODES[0x101]])
def test_multiboot_2_has_tags_for_it(mode: VideoMode) -> None:
    info, _, _ = information(kernel2(mb2.tag(5, mode.width, mode.height, mode.depth)))
    screen = Screen(mode)
    colours = screen.colours or struct.pack("<H", 256) + screen.palette
    frame = screen.frame + bytes(2) + colours
    assert struct.pack("<II", 8, 8 + len(frame)) + frame in info
    vbe = struct.pack("<IIHHHH", 7, 784, 0x4000 | mode.number, 0, 0, 0)
    assert vbe + controller_info(0) + mode_info(mode) in info
