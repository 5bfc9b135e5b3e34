from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

from emulator.guest.disassembler import disassemble, instruction_at, instructions_around
from emulator.loader.builtin import resolve
from tests.helpers.guest import machine_of, symbol
from tests.helpers.timelines import timeline_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from emulator.guest.disassembler import Operand

SOURCE = """
        movl    $word, %ebx
        movl    $2, %ecx
        movl    4(%ebx,%ecx,4), %eax
        lea     4(%ebx), %edx
        movb    word, %al
        movl    0x70000000, %eax
        .data
        .globl  word
word:   .long   0x11, 0x22, 0x33, 0x44
        .text
"""


def test_code_around_eip_has_source_lines_and_the_next_instruction_is_marked() -> None:
    timeline = timeline_of("overflow")
    timeline.go_to(10)
    lines = disassemble(timeline.machine, 3, 2)
    section, kmalloc = (timeline.machine.image.symbols[name].address for name in ("section", "kmalloc"))
    assert [line.text for line in lines] == [
        'overflow.c:19  section("Three blocks");',
        f"call 0x{section:x} section",
        "overflow.c:20  char *name = kmalloc(24);",
        "mov dword ptr [esp], 0x18",
        f"call 0x{kmalloc:x} kmalloc",
        "overflow.c:21  char *victim = kmalloc(40);",
        "mov dword ptr [esp], 0x28",
        "overflow.c:20  char *name = kmalloc(24);",
        "mov ebx, eax",
        "overflow.c:21  char *victim = kmalloc(40);",
        f"call 0x{kmalloc:x} kmalloc",
    ]
    assert [line.address for line in lines if line.is_next] == [timeline.machine.cpu.registers().eip]


def test_the_source_of_a_built_in_kernel_travels_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    timeline = timeline_of("fragment")
    timeline.go_to(10)
    titles = [line.text for line in disassemble(timeline.machine, 3, 2) if not line.code]
    assert titles
    assert all("  " in title for title in titles)


def test_instructions_in_front_of_one_are_those_of_its_function_and_of_the_functions_before() -> None:
    machine = timeline_of("overflow").machine
    memcpy = machine.image.symbols["memcpy"].address
    found = instructions_around(machine, memcpy, -4000, 4002)
    addresses = [line.address for line in found]
    assert addresses[4000] == memcpy
    assert all(earlier < later for earlier, later in pairwise(addresses))
    known = [line for line in found if line.code]
    assert machine.image.symbols["memset"].address in [line.address for line in known]
    assert all(line.address + len(line.code) == later.address for line, later in pairwise(known))
    unknown = [line for line in found if not line.code]
    assert unknown
    assert [line.address for line in unknown] == list(
        range(known[0].address - len(unknown), known[0].address)
    )


def test_without_the_source_file_there_is_only_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    timeline = timeline_of(shutil.copy(resolve("firmware:fragment"), str(tmp_path)))
    timeline.go_to(10)
    titles = [line.text for line in disassemble(timeline.machine, 3, 2) if not line.code]
    assert titles
    assert all(" " not in title and ":" in title for title in titles)


def test_memory_operands_of_the_next_instruction_have_values() -> None:
    machine = machine_of(SOURCE)
    word = symbol(machine, "word")
    operands: list[Operand] = []
    for _ in range(7):
        (line,) = [each for each in disassemble(machine, 8, 0) if each.is_next]
        operands += line.operands
        machine.cpu.run(1)
    assert operands[0] == ("[ebx + ecx*4 + 0x4]", word + 12, 0x44, 4)
    assert operands[1] == (f"[0x{word:x}]", word, 0x11, 1)
    assert operands[2] == ("[0x70000000]", 0x70000000, None, 4)
    assert len(operands) == 3


def test_where_nothing_is_mapped_there_is_no_instruction() -> None:
    machine = machine_of("nop")
    machine.cpu.set_registers(machine.cpu.registers()._replace(eip=0x70000000))
    assert [line.text for line in disassemble(machine, 3, 3)] == ["(no instruction)"]
    assert instruction_at(machine, 0x70000000, 0x70000000) == "(no instruction)"


def test_what_lies_after_a_function_without_its_beginning_is_shown_from_eip_on() -> None:
    machine = machine_of("nop\nmovl $0x90909090, %eax\nnop")
    start = machine.cpu.registers().eip
    while machine.read_linear(start, 1) != b"\xb8":
        start += 1
    machine.cpu.set_registers(machine.cpu.registers()._replace(eip=start + 2))
    instructions = [line for line in disassemble(machine, 3, 1) if line.code]
    assert instructions[0].is_next
