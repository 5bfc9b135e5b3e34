"""What page tables map, here and as QEMU's monitor says it (``info mem``, ``info tlb``), and in QEMU's dump of RAM.

The kernels stand still at their end, with interrupts off, so that nothing depends on time.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from emulator.guest.ram_image.reader import RamImage
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.address_map import MIB
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.helpers.guest import linked

if TYPE_CHECKING:
    from kernel_model.address_space import AddressSpace

RAM = RamWindow(MIB, qemu.RAM_MIB * MIB)
# All rights of a directory entry with all of a table's, four pages each from 0x80000000 on; and pages whose frames go down.
RIGHTS = linked("""
        movl    $0x83, directory
        .irp    rights, 0, 2, 4, 6
        movl    $table + 1 + \\rights, directory + 0x800 + 2 * \\rights
        movl    $table + 1 + \\rights, table + 2 * \\rights
        movl    $0x300000 + 0x1000 * (10 - \\rights) + 7, table + 0x100 + 2 * \\rights
        .endr
        paging  directory
        cli
        hlt
        .bss
        .balign 4096
directory: .skip 4096
table:  .skip   4096
""")
KERNELS = ("rights", "paging_demo", "vm_demo", "btron_demo")


@cache
def kernel_bytes(name: str) -> bytes:
    return RIGHTS if name == "rights" else Path(resolve(f"firmware:{name}")).read_bytes()


@cache
def in_qemu(name: str) -> qemu.PageTables:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "kernel.elf"
        path.write_bytes(kernel_bytes(name))
        return qemu.page_tables(path)


@cache
def machine_of(name: str) -> Machine:
    machine = Machine(KernelImage(kernel_bytes(name), name), ram=RAM)
    machine.run(timeout_s=60)
    return machine


def ranges_of(space: AddressSpace) -> list[tuple[int, int, str]]:
    """Return ranges as QEMU has them: a large page is as good as many small ones."""
    found: list[tuple[int, int, str]] = []
    for each in space.ranges():
        rights = f"{'u' if each.user else '-'}r{'w' if each.writable else '-'}"
        if found and found[-1][1:] == (each.start, rights):
            found[-1] = (found[-1][0], each.end, rights)
        else:
            found.append((each.start, each.end, rights))
    return found


def ranges_in(text: str) -> list[tuple[int, int, str]]:
    rows = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) [0-9a-f]+ (\S+)", text, re.MULTILINE)
    return [(int(start, 16), int(end, 16), rights) for start, end, rights in rows]


def pages_in(text: str) -> list[tuple[int, int]]:
    rows = re.findall(r"^([0-9a-f]+): ([0-9a-f]+) ", text, re.MULTILINE)
    return [(int(linear, 16), int(physical, 16)) for linear, physical in rows]


@pytest.mark.parametrize("name", KERNELS)
def test_ranges_are_those_of_info_mem(name: str) -> None:
    expected = ranges_in(in_qemu(name).ranges)
    assert expected
    assert ranges_of(machine_of(name).address_space()) == expected


@pytest.mark.parametrize("name", KERNELS)
def test_pages_are_those_of_info_tlb(name: str) -> None:
    expected = pages_in(in_qemu(name).pages)
    space = machine_of(name).address_space()
    assert [(each.linear, each.physical) for each in space.mappings()] == expected


@pytest.mark.parametrize("name", KERNELS)
def test_a_dump_of_qemu_is_read_like_an_image_of_ours(name: str, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(in_qemu(name).dump)
    image = RamImage(str(tmp_path / "dump"))
    assert (image.is_paged, image.nx) == (True, None)
    space = image.address_space(image.cr3)
    assert [*space.ranges()] == [*machine_of(name).address_space().ranges()]
    assert space.page_directory == machine_of(name).address_space().page_directory
