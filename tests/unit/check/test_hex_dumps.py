from __future__ import annotations

from emulator.check.hex_dumps import hex_dump
from kernel_model.memory import ByteMemory


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
