from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.checked_run import check_kernel
from emulator.check.hex_dumps import hex_dump
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from kernel_model.memory import ByteMemory
from tests.helpers.c_kernel import compile_kernel
from tests.unit.check.leaks.test_address_spaces import PAGING, START, at
from tests.unit.check.leaks.test_leaks import KERNEL

if TYPE_CHECKING:
    from pathlib import Path


def test_a_word_is_marked() -> None:
    memory = ByteMemory(0, 0x100)
    memory.store_u32(0x48, 0x11223344)
    assert hex_dump(memory, 0x100, 0x48) == (
        " 0x00000020: " + " ".join(["00"] * 16),
        " 0x00000030: " + " ".join(["00"] * 16),
        ">0x00000040: 00 00 00 00 00 00 00 00 44 33 22 11 00 00 00 00",
        "                                     ^^^^^^^^^^^",
        " 0x00000050: " + " ".join(["00"] * 16),
        " 0x00000060: " + " ".join(["00"] * 16),
    )


def test_addresses_are_the_kernels() -> None:
    lines = hex_dump(ByteMemory(0, 0x100), 0x100, 0x48, 0x80000048)
    assert lines[2].startswith(">0x80000040: ")


def test_memory_begins_and_ends() -> None:
    memory = ByteMemory(0, 0x100)
    assert hex_dump(memory, 0x100, 4)[0].startswith(">0x00000000")
    assert hex_dump(memory, 0x100, 0xFC)[-2].startswith(">0x000000f0")
    assert hex_dump(memory, 0x100, 0xFE)[-1] == " " * 55 + "^^^^^"


def test_neighbouring_pages_of_a_block_lie_anywhere(tmp_path: Path) -> None:
    """The block begins 16 bytes before the end of a page; the next one lies in the frame below, and the one after is not mapped."""
    body = "alloc_frame(); alloc_frame(); alloc_frame();" + at(0x400, 0x300, "0x403003")
    body += at(0x403, 0, "0x402003") + at(0x403, 1, "0x401003") + at(0x402, 1023, "0x11111111")
    body += at(0x401, 0, "0x22222222")
    use = "next_block = 0xC0000FFC; word *p = kmalloc(24); kfree(p); kfree(p); kfree(0);"
    free = 'HIDDEN void kfree(void *p) { asm volatile("" :: "r"(p)); }\nHIDDEN void scenario'
    source = KERNEL.replace("HIDDEN void scenario", free).replace("BODY", f"{START} {body} {PAGING} {use}")
    image = KernelImage.read(compile_kernel(tmp_path, source.replace("LEFT", "0"), ["-O1"]))
    functions = (
        TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("kfree", "heap", Role.FREE, ("ptr",), Result.NONE),
    )
    profile = Profile("mine", functions)
    double, *_ = check_kernel(Machine(image), profile, new_machine=lambda: Machine(image)).findings
    assert double.hex_dump[2].startswith(">0xc0000ff0: ")
    assert double.hex_dump[2].endswith(" 11 11 11 11")
    assert double.hex_dump[4].startswith(" 0xc0001000: 22 22 22 22 00")
    assert len(double.hex_dump) == 6
