"""A Multiboot 2 kernel prints what it finds: as under GRUB 2.06, which also has a tag of APM and joins words with one blank (Specification of Multiboot 2 (GNU), section 3.6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.boot_protocol.modules import Module
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from tests.helpers.c_kernel import compile_kernel

SOURCE = Path(__file__).parents[2] / "data" / "boot_information_2.c"
REGIONS = """\
region 00000000 00000000 0009fc00 00000000 00000001 00000000
region 0009fc00 00000000 00000400 00000000 00000002 00000000
region 000f0000 00000000 00010000 00000000 00000002 00000000
region 00100000 00000000 00400000 00000000 00000001 00000000
region 00500000 00000000 00020000 00000000 00000002 00000000
region fffc0000 00000000 00040000 00000000 00000002 00000000
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    return KernelImage.read(
        compile_kernel(tmp_path_factory.mktemp("kernel"), SOURCE.read_text(), ["-O1", f"-I{SOURCE.parent}"])
    )


def printed(machine: Machine) -> str:
    assert machine.run(timeout_s=10).exit_code == 1
    return machine.output[Console.SERIAL].decode()


def test_the_kernel_finds_all_tags(image: KernelImage) -> None:
    modules = [Module("one x=1", b"A" * 5000), Module("two", b"B")]
    machine = Machine(image, command_line="key=value  more", modules=modules)
    first, second = machine.modules
    root = " ".join(f"{word:08x}" for word in machine.memory.load_words(0xF5000, 5))
    assert first[0] % 4096 == second[0] % 4096 == 0
    assert printed(machine) == (
        "magic 36d76289\nreserved, alignment 00000000 00000000\n"
        " 00000015 tag 0000000c 00100000\n"  # load base
        "cmdline key=value  more\nloader kmemu\n"
        f"module {first[0]:08x} {first[0] + 5000:08x} 00000041 x=1\n"
        f"module {second[0]:08x} {second[0] + 1:08x} 00000042 \n"
        f"memory map 00000018 00000000\n{REGIONS}"
        "entry size 00000028\nfirst section .text\nsymbols are there\n"
        " 00000004 tag 00000010 0000027f 00001000\n"
        " 00000005 tag 00000014 00000080 00000000 ffffffff\n"
        " 00000008 tag 00000020 000b8000 00000000 000000a0 00000050 00000019 00000210\n"
        f" 0000000e tag 0000001c {root}\n"
        "end 00000008 00000000\n"
    )


def test_modules_follow_the_symbols_that_follow_the_kernel(image: KernelImage) -> None:
    machine = Machine(image, modules=[Module("m", b"A")])
    assert image.end < machine.modules[0][0] < image.end + 0x8000
    assert "symbols are there" in printed(machine)


def test_without_words_and_modules(image: KernelImage) -> None:
    text = printed(Machine(image))
    assert "\ncmdline \nloader kmemu\nmemory map" in text
    assert "module" not in text
