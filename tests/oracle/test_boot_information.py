"""A guest prints what it was given: line for line as in QEMU."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator.boot_protocol.modules import Module
from emulator.loader.image import KernelImage
from emulator.machine.address_map import MIB
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.helpers.c_kernel import compile_kernel
from tests.unit.loader import elf_builder as eb

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = Path(__file__).parent.parent / "data" / "boot_information.c"
BIOS_TABLES = 128 << 10  # SeaBIOS keeps so much at the end of RAM; here it lies past the end
RAM = RamWindow(MIB, qemu.RAM_MIB * MIB - BIOS_TABLES)

BASE, BSS_END = 0x200000, 0x203000
SAY_K = b"\xb0K\xba\xf8\x03\x00\x00\xee"  # movb $'K', %al; movl $0x3f8, %edx; outb %al, %dx
EXIT = b"\x31\xc0\xba\xf4\x00\x00\x00\xef\xf4"  # xorl %eax, %eax; movl $0xf4, %edx; outl %eax, %dx; hlt
CODE = (
    SAY_K
    + b"\xa1"
    + (BSS_END - 4).to_bytes(4, "little")
    + b"\x040\xee"  # movl bss, %eax; addb $'0', %al; outb %al, %dx
    + EXIT
)


@pytest.mark.parametrize("load_end", [0, BASE + 32 + len(CODE)], ids=["all of the file", "a part"])
def test_a_file_without_a_format_is_loaded_by_its_header(load_end: int, tmp_path: Path) -> None:
    """The kludge for a.out: load addresses in the Multiboot header; text in front of it is not loaded."""
    flags = 0x10003
    words = (0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, BASE, BASE, load_end, BSS_END, BASE + 32)
    kernel = tmp_path / "kernel.bin"
    kernel.write_bytes(b"text" * 3 + struct.pack("<8I", *words) + CODE + (b"more" if load_end else b""))
    theirs = qemu.run_to_exit(kernel)
    machine = Machine(KernelImage.read(kernel), ram=RAM)
    assert machine.run(timeout_s=10).exit_code == theirs.exit_code == 1
    assert bytes(machine.output[Console.SERIAL]) == theirs.serial == b"K0"


def test_an_elf_file_is_entered_where_its_multiboot_header_says(tmp_path: Path) -> None:
    flags, entry = 0x10003, BASE + 32
    words = (0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, BASE, BASE, 0, 0, entry)
    part = eb.Load(BASE, struct.pack("<8I", *words) + SAY_K + EXIT, flags=7)
    kernel = tmp_path / "kernel.elf"
    kernel.write_bytes(eb.build_elf(eb.Elf(loads=[part], entry=entry + len(SAY_K))))
    theirs = qemu.run_to_exit(kernel)
    machine = Machine(KernelImage.read(kernel), ram=RAM)
    assert machine.run(timeout_s=10).exit_code == theirs.exit_code == 1
    assert bytes(machine.output[Console.SERIAL]) == theirs.serial == b"K"


@pytest.mark.parametrize(
    "modules",
    [
        (),
        (("one.img", b"A" * 5000), ("two.img x=1  y", b"B"), ("three", b"C" * 4096)),
        tuple((f"module.{number} {'text ' * 20}", b"D") for number in range(40)),  # two pages of lists
    ],
    ids=["no modules", "three modules", "many modules"],
)
def test_the_information_is_qemus(modules: Sequence[tuple[str, bytes]], tmp_path: Path) -> None:
    kernel = compile_kernel(tmp_path, SOURCE.read_text(), ["-O1", f"-I{SOURCE.parent}"])
    for text, data in modules:
        (tmp_path / text.partition(" ")[0]).write_bytes(data)
    words = "one two=3" if modules else ""
    theirs = qemu.run_to_exit(kernel, words, [text for text, _ in modules])
    machine = Machine(
        KernelImage.read(kernel),
        ram=RAM,
        command_line=words,
        modules=[Module(*each) for each in modules],
    )
    assert machine.run(timeout_s=10).exit_code == theirs.exit_code == 1
    assert machine.output[Console.SERIAL].decode().splitlines() == theirs.serial.decode().splitlines()
