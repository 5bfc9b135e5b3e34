"""What needs no guest; the tags as a kernel reads them: tests/unit/machine/test_multiboot2.py."""

from __future__ import annotations

import struct

import pytest

from emulator.boot_protocol.boot_state import boot_state
from emulator.boot_protocol.hardware import Hardware
from emulator.boot_protocol.modules import Module
from emulator.boot_protocol.multiboot2_info import BOOTLOADER_MAGIC, place_boot_info
from emulator.errors import BootInfoDoesNotFit
from emulator.loader.image import KernelImage
from tests.unit.loader import elf_builder as eb
from tests.unit.loader import multiboot2_builder as mb2

RAM_END = 0x500000
BASE = 0x100000


def kernel(*tags: bytes) -> KernelImage:
    addresses = mb2.tag(2, BASE, BASE, 0, BASE + 0x2000)
    return KernelImage(mb2.header(addresses, *tags) + b"\xf4" * 64, "k.bin")


def tags_of(info: bytes) -> dict[int, bytes]:
    found, at = {}, 8
    while at < len(info):
        kind, size = struct.unpack_from("<II", info, at)
        found[kind] = info[at + 8 : at + size]
        at += size + -size % 8
    assert struct.unpack_from("<II", info) == (at, 0)
    return found


def given_tags(image: KernelImage, root: bytes = b"") -> dict[int, bytes]:
    return tags_of(place_boot_info(image, RAM_END, "x", (), root).pieces[0][1])


def test_a_file_that_is_no_elf_file_has_no_sections() -> None:
    assert sorted(given_tags(kernel())) == [0, 1, 2, 4, 5, 6, 8]


def test_only_a_relocatable_kernel_learns_where_it_lies() -> None:
    assert given_tags(kernel(mb2.tag(10, 0, RAM_END, 4096, 0)))[21] == struct.pack("<I", BASE)


def test_the_root_pointer_is_copied() -> None:
    assert given_tags(kernel(), b"RSD PTR root")[14] == b"RSD PTR root"


@pytest.mark.parametrize("there", [True, False])
def test_it_is_the_one_in_rom(*, there: bool) -> None:
    state = boot_state(kernel(), RAM_END, Hardware(power_management=there))
    assert state.registers["eax"] == BOOTLOADER_MAGIC
    pieces = dict(state.pieces)
    root = pieces.get(0xF5000)
    assert (root is not None) == there
    assert tags_of(pieces[state.registers["ebx"]]).get(14) == root


def test_the_information_keeps_out_of_the_kernels_way() -> None:
    data = mb2.header(mb2.tag(2, 0x9000, 0x9000, 0, 0)) + b"\xf4" * 64
    placement = place_boot_info(KernelImage(data, "low.bin"), RAM_END, "", (), b"")
    assert placement.info_address == 0x9070
    assert placement.info_address % 8 == 0


def test_what_does_not_fit() -> None:
    with pytest.raises(
        BootInfoDoesNotFit, match=r"^module 'm' does not fit into RAM: 4194304 bytes, room for 418"
    ):
        place_boot_info(kernel(), RAM_END, "", [Module("m", bytes(1 << 22))], b"")


def elf(symbols: int) -> KernelImage:
    load = eb.Load(BASE, bytes(4) + mb2.header() + b"\xf4" * 64)
    return KernelImage(
        eb.build_elf(
            eb.Elf(
                loads=[load],
                entry=BASE + 32,
                symbols=[eb.Sym(f"s{n}", BASE, 1, eb.FUNC) for n in range(symbols)],
            )
        ),
        "k",
    )


def test_symbols_that_do_not_fit_are_not_loaded() -> None:
    image = elf(100)
    small, large = (place_boot_info(image, end, "", (), b"") for end in (image.end + 0x800, RAM_END))
    assert len(small.pieces) < len(large.pieces)
    for placement in (small, large):
        table = tags_of(placement.pieces[0][1])[9]
        total, size, names = struct.unpack_from("<III", table)
        headers = list(struct.iter_unpack("<10I", table[12:]))
        assert (len(headers), size) == (total, 40)
        assert names < total
        loaded = dict(placement.pieces[1:])
        for words in headers:
            if words[1] in {2, 3} and words[3]:
                assert loaded[words[3]] == image.data[words[4] : words[4] + words[5]]


def test_a_string_table_of_a_segment_lies_where_that_does() -> None:
    image = elf(1)
    data = bytearray(image.data)
    (table,) = struct.unpack_from("<I", data, 32)
    count = struct.unpack_from("<H", data, 48)[0]
    number = next(n for n in range(count) if data[table + 40 * n + 4] == 3)
    struct.pack_into("<I", data, table + 40 * number + 12, BASE + 4)
    placement = place_boot_info(KernelImage(bytes(data), "k"), RAM_END, "", (), b"")
    headers = tags_of(placement.pieces[0][1])[9][12:]
    assert struct.unpack_from("<I", headers, 40 * number + 12) == (BASE + 4,)
    assert BASE + 4 not in dict(placement.pieces)
