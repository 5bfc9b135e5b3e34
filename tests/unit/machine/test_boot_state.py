"""What a kernel finds at its first instruction (Multiboot 0.6.96, sections 3.2 and 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.boot_protocol.modules import Module
from emulator.errors import KernelMismatch
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers.guest import CODE, HEADER_SIZE, as_bytes, assemble, machine_of, results_of, symbol
from tests.helpers.multiboot_reader import read_boot_info

if TYPE_CHECKING:
    from collections.abc import Sequence

CR0_PE, CR0_PG = 1 << 0, 1 << 31
EFLAGS_VM, EFLAGS_IF = 1 << 17, 1 << 9


def test_the_cpu_is_in_flat_protected_mode_at_the_entry() -> None:
    machine = Machine(assemble("exit 0", stack=False))
    registers = machine.cpu.registers()
    assert registers.eax == 0x2BADB002
    assert registers.eip == CODE + HEADER_SIZE
    assert registers.cr0 & CR0_PE
    assert not registers.cr0 & CR0_PG
    assert not registers.eflags & (EFLAGS_VM | EFLAGS_IF)
    assert registers.cs == 0x08
    assert {registers.ds, registers.es, registers.fs, registers.gs, registers.ss} == {0x10}
    assert (registers.ldtr, registers.ldt_base, registers.ldt_limit) == (0, 0, 0xFFFF)


def test_ebx_points_at_the_boot_information() -> None:
    machine = machine_of("put ebx\n put eax\n exit 0", command_line="one two")
    address = machine.cpu.registers().ebx
    info = read_boot_info(machine.memory, address)
    assert info.command_line == "guest.elf one two"
    machine.run()
    assert results_of(machine, 2) == [address, 0x2BADB002]


def test_the_kernel_reads_its_command_line_and_its_modules() -> None:
    source = """
        put     ebx
        movl    16(%ebx), %esi          # cmdline
        cld
1:      lodsb
        outb    %al, $0xe9
        testb   %al, %al
        jnz     1b
        movl    20(%ebx), %ecx          # mods_count
        put     ecx
        movl    24(%ebx), %esi          # mods_addr
2:      movl    (%esi), %edx            # start
        movl    4(%esi), %eax           # end
        subl    %edx, %eax
        put     eax
        movl    (%edx), %eax
        put     eax
        addl    $16, %esi
        loop    2b
        exit    0
    """
    modules = (Module("first", b"ABCDE"), Module("second", b"wxyz" * 2000))
    machine = machine_of(source, command_line="key=value", modules=modules)
    machine.run()
    assert bytes(machine.output[Console.DEBUG]) == b"guest.elf key=value\0"
    assert results_of(machine, 6)[1:] == [2, 5, 0x44434241, 8000, 0x7A797877]


def test_without_a_multiboot_header_there_is_no_magic_and_no_information() -> None:
    image = assemble("exit 0")
    header = image.data.index((0x1BADB002).to_bytes(4, "little"))
    broken = image.data[:header] + bytes(4) + image.data[header + 4 :]
    registers = Machine(type(image)(broken, "bare.elf")).cpu.registers()
    assert (registers.eax, registers.ebx) == (0, 0)


def test_segments_are_flat_and_4_gib_long() -> None:
    source = """
        movl    $0x12345678, %es:0x00400000
        movl    %fs:0x00400000, %eax
        put     eax
        movl    %gs:(stack - 4), %eax
        movl    $8, %ecx
        lsl     %ecx, %eax
        put     eax
        movl    $0x10, %ecx
        lsl     %ecx, %eax
        put     eax
        exit    0
    """
    machine = machine_of(source)
    machine.run()
    assert results_of(machine, 3) == [0x12345678, 0xFFFFFFFF, 0xFFFFFFFF]


def test_address_line_20_is_on() -> None:
    source = """
        movl    $0x11111111, 0x00000500
        movl    $0x22222222, 0x00100500 + 0x00100000
        movl    0x00000500, %eax
        put     eax
        exit    0
    """
    machine = machine_of(source)
    machine.run()
    assert results_of(machine, 1) == [0x11111111]


def test_bss_is_cleared_and_data_is_loaded() -> None:
    source = """
        movl    initial, %eax
        put     eax
        movl    cleared, %eax
        put     eax
        movl    cleared + 8188, %eax
        put     eax
        exit    0
        .data
initial: .long  0xfeedface
        .bss
cleared: .skip  8192
        .text
    """
    machine = machine_of(source)
    machine.run()
    assert results_of(machine, 3) == [0xFEEDFACE, 0, 0]


@pytest.mark.parametrize("end", [0x00500000, 0x01000000, 0x40000000])
def test_the_memory_map_has_the_size_of_ram(end: int) -> None:
    machine = machine_of("exit 0", ram=RamWindow(0x00100000, end))
    info = read_boot_info(machine.memory, machine.cpu.registers().ebx)
    assert info.memory_map[3] == (0x00100000, end, True)
    assert info.mem_upper == (end - 0x00100000) // 1024


def test_code_runs_from_the_physical_entry_of_a_kernel_linked_elsewhere() -> None:
    machine = machine_of("call 1f\n1: popl %eax\n put eax\n exit 0\n" + as_bytes([0x90]))
    machine.run()
    assert results_of(machine, 1)[0] in range(CODE, symbol(machine, "__end"))


@pytest.mark.parametrize(
    ("given", "what"),
    [(("x", ()), "a command line"), (("", [Module("m", b"")]), "modules")],
)
def test_a_kernel_without_a_multiboot_header_takes_no_arguments(
    given: tuple[str, Sequence[Module]], what: str
) -> None:
    command_line, modules = given
    image = KernelImage(assemble("hlt").data.replace(b"\x02\xb0\xad\x1b", bytes(4)), "plain.elf")
    Machine(image)
    with pytest.raises(
        KernelMismatch, match=f"^plain.elf: cannot be given {what}: it has no Multiboot header$"
    ):
        Machine(image, command_line=command_line, modules=modules)
