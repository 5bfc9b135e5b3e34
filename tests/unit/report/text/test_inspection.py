from __future__ import annotations

import struct

from emulator.hle.inspection import inspect_image
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.report.text.inspection import inspection_lines
from emulator.report.text.style import Style
from tests.unit.loader import elf_builder as eb
from tests.unit.loader import multiboot2_builder as mb2

HEADER = struct.pack("<III", 0x1BADB002, 3, -0x1BADB005 & 0xFFFFFFFF)
KERNEL = eb.build_elf(
    eb.Elf(
        [eb.Load(0x100000, HEADER + b"\x90" * 52), eb.Load(0x200000, b"", 8192, 0x80200000, 6)],
        symbols=[
            eb.Sym("st\x1bart", 0x100000, 16, eb.FUNC),
            eb.Sym("__end", 0x80202000),
            *(eb.Sym(name, 0x80200000) for name in ("memmap", "memmap_lock")),
        ],
    )
)


def text(data: bytes, width: int = 100) -> list[str]:
    return list(inspection_lines(inspect_image(KernelImage(data, "k.elf"), "k.elf"), Style(width)))


def test_the_report_for_people() -> None:
    lines = text(KERNEL)
    assert lines == [
        f"k.elf: ELF32 executable for i386, {len(KERNEL)} B",
        "",
        "segment at physical    linked at  in memory    in file",
        "0x00100000-0x00100040  0x00100000       64 B       64 B  R-X",
        "0x00200000-0x00202000  0x80200000      8 KiB        0 B  RW-",
        "",
        r"entry         0x00100000  st\x1bart+0x0",
        "__end         0x80202000",
        "multiboot     header at file offset 0x74, flags 0x00000003 (PAGE_ALIGN, MEMORY_INFO)",
        "symbols       4, 1 of them functions",
        "source lines  no (compile with -g to see them)",
        "profile       no built-in one fits; kmemu init k.elf writes one",
    ]


def test_a_layer_of_which_half_is_there_says_what_is_missing() -> None:
    names = ("memmap", "memmap_lock", "__end", "memmap_init", "alloc_frame", "alloc_frames", "free_frame")
    symbols = [eb.Sym(name, eb.BASE, 4, eb.FUNC) for name in names]
    lines = text(eb.build_elf(eb.Elf(symbols=symbols)))
    assert lines[10:] == [
        "profile       no built-in one fits; it has alloc_frame, free_frame, alloc_frames; kmemu init k.elf",
        "              writes one",
        "layer memmap  no: the kernel lacks free_frames, memmap_reserve, memmap_get, memmap_free_count",
    ]


def test_a_bare_kernel() -> None:
    lines = text(eb.build_elf())
    assert lines[5:9] == [
        "entry         0x00100000  0x00100000",
        "__end         no such symbol",
        "multiboot     no header in the first 8192 bytes; the kernel starts without boot information",
        "symbols       0, 0 of them functions",
    ]


MULTIBOOT_2 = mb2.header(mb2.tag(2, 0x100000, 0x100000, 0, 0), mb2.tag(3, 0x100040)) + b"\x90" * 32


def test_a_multiboot_2_kernel_that_is_no_elf_file() -> None:
    lines = text(MULTIBOOT_2)
    assert [lines[0], lines[5], lines[7]] == [
        "k.elf: raw image, 96 B",
        "entry         0x00100040  0x00100040",
        "multiboot     version 2, header at file offset 0x0, tags: ADDRESSES, ENTRY",
    ]
    assert text(eb.build_elf(eb.Elf([eb.Load(0x100000, bytes(4) + mb2.header() + b"\x90" * 8)])))[7] == (
        "multiboot     version 2, header at file offset 0x58, tags: none"
    )


def test_a_litecore_kernel_can_be_modelled() -> None:
    facts = inspect_image(KernelImage.read(resolve("firmware:demo")), "firmware:demo")
    assert {layer: bool(names) for layer, names in facts.missing.items()} == {
        "memmap": False,
        "heap": False,
        "paging": True,
        "vspace": True,
        "pmem": True,
        "kmem": True,
        "pools": True,
        "regions": True,
    }
    assert facts.has_lines
    lines = list(inspection_lines(facts, Style()))
    assert [line for line in lines if line.startswith("layer") and not line.startswith("layer vspace")] == [
        "layer memmap  can run native, as model, or in lockstep",
        "layer heap    can run native, as model, or in lockstep",
        "layer paging  no: the kernel lacks page_directory, paging_lock, paging_init,",
        "layer pmem    no: the kernel is LiteCore",
        "layer kmem    no: the kernel is LiteCore",
        "layer pools   no: the kernel is LiteCore",
        "layer regions no: the kernel is LiteCore",
    ]


def test_a_litecore_kernel_with_virtual_memory_can_be_modelled() -> None:
    facts = inspect_image(KernelImage.read(resolve("firmware:paging_demo")), "firmware:paging_demo")
    assert facts.missing["paging"] == facts.missing["vspace"] == ()


def test_a_btron_kernel_can_be_modelled() -> None:
    facts = inspect_image(KernelImage.read(resolve("firmware:btron_demo")), "firmware:btron_demo")
    assert list(inspection_lines(facts, Style()))[-8:] == [
        "layer memmap  no: the kernel is BTRON/386",
        "layer heap    no: the kernel is BTRON/386",
        "layer paging  no: the kernel is BTRON/386",
        "layer vspace  no: the kernel is BTRON/386",
        "layer pmem    can run native, as model, or in lockstep",
        "layer kmem    can run native, as model, or in lockstep",
        "layer pools   can run native, as model, or in lockstep",
        "layer regions can run native, as model, or in lockstep",
    ]
