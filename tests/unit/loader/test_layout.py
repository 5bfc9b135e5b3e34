"""Who says where a kernel is loaded and entered: the user, a Multiboot header, the ELF headers."""

from __future__ import annotations

import struct

import pytest

from emulator.errors import BadImage
from emulator.loader.image import KernelImage
from emulator.loader.layout import LoadOptions
from emulator.loader.multiboot1 import MultibootHeader
from emulator.loader.multiboot2 import Multiboot2Header
from tests.unit.loader import elf_builder as eb
from tests.unit.loader import multiboot2_builder as mb2

BASE, HIGH = 0x100000, 0xC0100000
CODE = b"\x90" * 64


def first(*addresses: int) -> bytes:
    """Return a Multiboot 1 header, with addresses if there are any."""
    flags = 0x10000 if addresses else 0
    words = (0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, *addresses)
    return struct.pack(f"<{len(words)}I", *words)


def elf(header: bytes, *, physical: int = BASE, virtual: int = BASE, entry: int = BASE + 0x60) -> bytes:
    load = eb.Load(physical, header.ljust(0x60, b"\0") + CODE, 0x1000, flags=7, virtual=virtual)
    symbols = [eb.Sym("start", virtual + 0x60, 16, eb.FUNC)]
    return eb.build_elf(eb.Elf(loads=[load], entry=entry, symbols=symbols))


def starts(image: KernelImage) -> tuple[int, int, int, int]:
    return image.start, image.segments[0].virtual, image.entry, image.physical_entry


def test_a_file_of_any_format_is_loaded_by_its_multiboot_header() -> None:
    addresses = (BASE, BASE, 0, BASE + 0x1000, BASE + 0x20)
    image = KernelImage(first(*addresses) + CODE, "k.bin")
    assert starts(image) == (BASE, BASE, BASE + 0x20, BASE + 0x20)
    assert image.end == BASE + 0x1000
    assert image.symbols == {}
    assert image.source_line(BASE) is None


def test_elf_headers_count_that_say_the_same_but_for_the_entry() -> None:
    data = elf(first(BASE, BASE, 0, 0, BASE + 0x70), virtual=HIGH, entry=HIGH + 0x60)
    assert starts(KernelImage(data, "k")) == (BASE, HIGH, HIGH + 0x70, BASE + 0x70)


def test_elf_headers_do_not_count_that_contradict() -> None:
    """A kernel linked high whose physical addresses nobody has set: without the others it fits into no RAM."""
    data = elf(first(BASE, BASE, 0, 0, BASE + 0x60), physical=HIGH, virtual=HIGH, entry=HIGH + 0x60)
    image = KernelImage(data, "k")
    assert starts(image) == (BASE, HIGH, HIGH + 0x60, BASE + 0x60)


def test_a_multiboot_header_without_addresses_is_not_enough() -> None:
    with pytest.raises(
        BadImage, match=r"^k.bin: is no ELF file, and its Multiboot header has no load addresses$"
    ):
        KernelImage(first() + CODE, "k.bin")


def test_the_entry_of_a_multiboot_2_header_counts() -> None:
    data = elf(bytes(4) + mb2.header(mb2.tag(3, BASE + 0x68)), virtual=HIGH, entry=HIGH + 0x60)
    assert starts(KernelImage(data, "k")) == (BASE, HIGH, HIGH + 0x68, BASE + 0x68)


def test_a_multiboot_2_header_loads_any_format() -> None:
    data = mb2.header(mb2.tag(2, BASE, BASE, 0, 0), mb2.tag(3, BASE + 0x40)) + CODE
    assert starts(KernelImage(data, "k.bin")) == (BASE, BASE, BASE + 0x40, BASE + 0x40)


def test_without_an_entry_such_a_file_is_entered_at_its_first_byte() -> None:
    data = mb2.header(mb2.tag(2, BASE, BASE, 0, 0)) + CODE
    assert KernelImage(data, "k.bin").physical_entry == BASE


BOTH = elf(first() + mb2.header())  # each at a multiple of 8 in the file


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [(None, MultibootHeader), ("multiboot1", MultibootHeader), ("multiboot2", Multiboot2Header)],
)
def test_the_user_chooses_between_two_headers(protocol: str | None, kind: type) -> None:
    options = LoadOptions(protocol=protocol)  # type: ignore[arg-type]
    assert isinstance(KernelImage(BOTH, "k", options).multiboot, kind)


@pytest.mark.parametrize(("data", "number"), [(elf(bytes(4) + mb2.header()), "1"), (elf(first()), "2")])
def test_a_protocol_that_the_kernel_does_not_know(data: bytes, number: str) -> None:
    options = LoadOptions(protocol=f"multiboot{number}")  # type: ignore[arg-type]
    with pytest.raises(BadImage, match=rf"^k: has no Multiboot {number} header$"):
        KernelImage(data, "k", options)


def test_a_raw_image_is_loaded_where_the_user_says() -> None:
    image = KernelImage(CODE, "boot.bin", LoadOptions(load=0x7C00))
    assert starts(image) == (0x7C00, 0x7C00, 0x7C00, 0x7C00)
    assert image.multiboot is None
    assert image.data == image.segments[0].data == CODE
    assert KernelImage(CODE, "boot.bin", LoadOptions(0x7C00, 0x7C10)).physical_entry == 0x7C10


def test_an_elf_file_can_be_loaded_raw() -> None:
    data = elf(b"")
    image = KernelImage(data, "k", LoadOptions(load=BASE))
    assert (image.start, image.segments[0].data, image.symbols) == (BASE, data, {})


def test_another_entry() -> None:
    data = elf(b"", virtual=HIGH, entry=HIGH + 0x60)
    assert starts(KernelImage(data, "k", LoadOptions(entry=BASE + 0x80)))[2:] == (HIGH + 0x80, BASE + 0x80)
    with pytest.raises(BadImage, match=r"^k: the entry point 0x00200000 is in no loaded segment$"):
        KernelImage(data, "k", LoadOptions(entry=0x200000))


def test_symbols_of_another_file() -> None:
    """They tell where a raw image is linked, too."""
    symbols = KernelImage(elf(b"", virtual=HIGH, entry=HIGH + 0x60), "k.elf")
    raw = symbols.segments[0].data
    image = KernelImage(raw, "k.bin", LoadOptions(load=BASE, entry=BASE + 0x60), symbols)
    assert starts(image) == (BASE, HIGH, HIGH + 0x60, BASE + 0x60)
    assert set(image.symbols) == {"start"}
    found = image.function_at(BASE + 0x64)
    assert found is not None
    assert (found[0].name, found[1]) == ("start", 4)
    assert image.symbol_data == symbols.data
