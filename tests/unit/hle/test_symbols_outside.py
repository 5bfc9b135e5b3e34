"""Kernels whose symbols say that structures or functions lie where there is no memory: one clear line, no traceback."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from emulator.check.checked_run import check_kernel
from emulator.errors import BadImage, KernelMismatch, UnsupportedFunction
from emulator.hle.layers import Mode, attach_layers
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.known import matching_profile

VALUE_AT, SYMBOL_SIZE = 4, 16
OUTSIDE = 0x80105A90


def machine_with(kernel: str, name: str, address: int) -> Machine:
    """Return a machine with a built-in kernel of which one symbol has another address."""
    data = bytearray(Path(resolve(f"firmware:{kernel}")).read_bytes())
    table = ELFFile(io.BytesIO(bytes(data))).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    (number,) = (number for number, each in enumerate(table.iter_symbols()) if each.name == name)
    struct.pack_into("<I", data, table["sh_offset"] + SYMBOL_SIZE * number + VALUE_AT, address)
    return Machine(KernelImage(bytes(data), "kernel.elf"))


@pytest.mark.parametrize("address", [OUTSIDE, 0x004FFFFE])
@pytest.mark.parametrize("name", ["heap_start", "heap_free_list", "memmap_lock", "memmap"])
def test_a_layer_whose_structures_lie_outside(name: str, address: int) -> None:
    machine = machine_with("demo", name, address)
    message = rf"^kernel\.elf: symbol {name} at 0x{address:08x} lies outside of memory$"
    with pytest.raises(BadImage, match=message):
        attach_layers(machine, {"heap": Mode.MODEL})
    assert machine.run(timeout_s=20).exit_value == 0


def test_a_layer_of_the_other_design_is_missing() -> None:
    """BTRON/386 has some symbols of LiteCore, too, at 0x80000000 and above."""
    machine = Machine(KernelImage.read(resolve("firmware:vm_demo")))
    with pytest.raises(KernelMismatch, match=r": layer vspace needs the missing symbols vspace_start, "):
        attach_layers(machine, {"vspace": Mode.MODEL})


@pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
def test_a_layer_whose_function_lies_outside(mode: Mode) -> None:
    machine = machine_with("demo", "mem_has_space", OUTSIDE)
    message = rf"^cannot watch mem_has_space: its symbol at 0x{OUTSIDE:08x} covers no code$"
    with pytest.raises(UnsupportedFunction, match=message):
        attach_layers(machine, {"heap": mode})
    assert machine.run(timeout_s=20).exit_value == 0


@pytest.mark.parametrize("name", ["heap_start", "heap_free_list", "memmap_lock", "memmap"])
def test_a_check_audits_no_structures_there(name: str) -> None:
    machine = machine_with("demo", name, OUTSIDE)
    report = check_kernel(machine, matching_profile(machine.image))
    assert report.ending.exit_value == 0
