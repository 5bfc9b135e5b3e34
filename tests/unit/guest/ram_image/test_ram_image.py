"""Images of RAM: what is written is read again, and anything else is refused in one line."""

from __future__ import annotations

import io
import random
import struct
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import BadFile
from emulator.guest.memory_map.spaces import Backing
from emulator.guest.ram_image import layout
from emulator.guest.ram_image.directory import NoDirectory, read_directory
from emulator.guest.ram_image.reader import RamImage
from emulator.guest.ram_image.writer import write_ram
from emulator.machine.address_map import MIB, VGA_START
from emulator.machine.memory import RamWindow
from kernel_model.memory import OutsideMemory
from kernel_model.page_tables import Problem
from tests.helpers.guest import machine_of
from tests.helpers.page_tables import DIRECTORY, FIRST_TABLE, PAGE, P, U, W, enable_paging, paged_machine
from tests.unit.machine.core.test_pae import NX_ON, pae_machine

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine

HIGH = 0xC0000000


def image_of(machine: Machine, path: Path) -> RamImage:
    with (path / "ram.core").open("wb") as stream:
        write_ram(machine, stream)
    return RamImage(str(path / "ram.core"))


def test_all_of_ram_is_there(tmp_path: Path) -> None:
    machine = machine_of("hlt", ram=RamWindow(MIB, 5 * MIB + PAGE))
    machine.memory.write(0x9F000, b"low")
    machine.memory.write(5 * MIB + PAGE - 4, b"last")
    image = image_of(machine, tmp_path)
    assert image.ram == ((0, VGA_START), (MIB, 5 * MIB + PAGE))
    for start, end in image.ram:
        assert image.view(start, end - start) == machine.memory.view(start, end - start)
    assert not image.is_paged
    with pytest.raises(OutsideMemory):
        image.view(VGA_START - 4, 8)
    with pytest.raises(OutsideMemory):
        image.view(5 * MIB, 2 * PAGE)


def test_what_is_zero_takes_no_room(tmp_path: Path) -> None:
    image_of(machine_of("hlt", ram=RamWindow(MIB, 256 * MIB)), tmp_path)
    status = (tmp_path / "ram.core").stat()
    assert status.st_size > 255 * MIB
    assert status.st_blocks * 512 < 8 * MIB


def test_what_is_not_touched_takes_no_memory(tmp_path: Path) -> None:
    """Of 1 GiB two pages are written; each snapshot keeps what was written before it elsewhere."""
    machine = machine_of("hlt", ram=RamWindow(MIB, 1024 * MIB))
    machine.memory.write(700 * MIB, b"kept in a file")
    with machine.snapshot():
        machine.memory.write(900 * MIB - 4, b"kept by the process")
        before = getrusage(RUSAGE_SELF).ru_minflt
        image = image_of(machine, tmp_path)
        assert getrusage(RUSAGE_SELF).ru_minflt - before < 16 * MIB // PAGE
    assert bytes(image.view(700 * MIB, 14)) == b"kept in a file"
    assert bytes(image.view(900 * MIB - 4, 19)) == b"kept by the process"


def test_a_pipe_gets_the_same_bytes(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    machine = machine_of("hlt")
    image_of(machine, tmp_path)
    pipe = Pipe()
    write_ram(machine, pipe)
    assert pipe.getvalue() == (tmp_path / "ram.core").read_bytes()


def test_an_image_says_how_page_tables_are_read(tmp_path: Path) -> None:
    machine, tables = paged_machine("hlt")
    tables.map(HIGH, 0x300000, P | W | U)
    machine.run()
    image = image_of(machine, tmp_path)
    registers = machine.registers()
    assert (image.cr0, image.cr3, image.cr4) == (registers.cr0, registers.cr3, registers.cr4)
    assert (image.is_paged, image.is_pae, image.nx) == (True, False, False)
    assert [*image.address_space(DIRECTORY).ranges()] == [*machine.address_space().ranges()]


@pytest.mark.parametrize("nx", [True, False])
def test_three_levels(nx: bool, tmp_path: Path) -> None:
    machine, tables = pae_machine("hlt", before=NX_ON if nx else "")
    tables.map(HIGH, 0x300000, P | W)
    tables.add_bits(HIGH, "table", 1 << 63)
    machine.run()
    image = image_of(machine, tmp_path)
    assert (image.is_pae, image.nx) == (True, nx)
    facts = read_directory(image, None)
    (space,) = facts.spaces.spaces
    assert space.ranges[-1].no_execute == nx
    assert [each.problem for each in space.problems] == ([] if nx else [Problem.RESERVED])
    assert read_directory(image, DIRECTORY).tables == facts.tables


def test_a_directory_and_its_tables(tmp_path: Path) -> None:
    machine, tables = paged_machine("hlt")
    tables.map(HIGH, 0xFEE00000)
    machine.run()
    facts = read_directory(image_of(machine, tmp_path), None)
    (space,) = facts.spaces.spaces
    assert (space.directory, space.in_use) == (DIRECTORY, True)
    assert facts.tables == ((DIRECTORY, None), (FIRST_TABLE, 0), (FIRST_TABLE + PAGE, HIGH))
    assert [each.backing for each in space.ranges] == [
        Backing.RAM,
        Backing.UNKNOWN,
        Backing.RAM,
        Backing.UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (DIRECTORY + 4, r"0x00200004 is no page directory: it is not a multiple of 4096"),
        (0xA0000, r"0x000a0000 is no page directory: .*ram.core has no RAM there"),
        (0x00500000, r"0x00500000 is no page directory: .*ram.core has no RAM there"),
        (None, r".*ram.core was saved with paging off: name the address of a page directory"),
    ],
)
def test_what_can_be_no_directory(address: int | None, problem: str, tmp_path: Path) -> None:
    image = image_of(machine_of("hlt"), tmp_path)
    with pytest.raises(NoDirectory, match=f"^{problem}$"):
        read_directory(image, address)


def test_without_paging_any_directory_may_be_read_and_none_is_in_use(tmp_path: Path) -> None:
    machine = machine_of(enable_paging() + "hlt")
    machine.memory.store_u32(0, 0x300000 | P)
    facts = read_directory(image_of(machine, tmp_path), 0)
    assert [each.in_use for each in facts.spaces.spaces] == [False]


def changed(data: bytes, at: int, form: str, *values: int) -> bytes:
    result = bytearray(data)
    struct.pack_into(form, result, at, *values)
    return bytes(result)


@pytest.mark.parametrize(
    ("at", "form", "value", "problem"),
    [
        (0, "<I", 0, "no ELF file of a little-endian machine"),
        (5, "<B", 2, "no ELF file of a little-endian machine"),
        (16, "<H", 2, "no core file of an i386"),
        (18, "<H", 62, "no core file of an i386"),
        (28, "<I", 0xFFFFFFF0, "its program headers are damaged"),
        (42, "<H", 31, "its program headers are damaged"),
        (44, "<H", 0, "its program headers are damaged"),
        (44, "<H", 0xFFFF, "its program headers are damaged"),
        (44, "<H", 1, "it holds no RAM"),
        (52 + 16, "<I", 0xFFFFFFF0, "its notes are damaged"),
        (52 + 16, "<I", 0, "it says nothing of control registers"),
        (52 + 96 + 4, "<I", 0xFFFFFFF0, "its notes are damaged"),
        (52 + 32 + 16, "<I", 0xFFFFFFF0, "RAM at 0x00000000 is not all in the file"),
        (52 + 64 + 12, "<I", 0xFFFFFFF0, "RAM at 0xfffffff0 is not all in the file"),
    ],
)
def test_what_is_no_image_is_refused(at: int, form: str, value: int, problem: str, tmp_path: Path) -> None:
    image_of(machine_of("hlt", ram=RamWindow(MIB, 2 * MIB)), tmp_path)
    path = tmp_path / "ram.core"
    path.write_bytes(changed(path.read_bytes(), at, form, value))
    with pytest.raises(
        BadFile, match=rf"ram.core: no RAM image, as kmemu boot --save-ram writes it: {problem}$"
    ):
        RamImage(str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"cannot be read: No such file or directory$"):
        RamImage(str(tmp_path / "none"))
    (tmp_path / "empty").touch()
    with pytest.raises(BadFile, match=r"cannot be read: it is empty$"):
        RamImage(str(tmp_path / "empty"))
    with pytest.raises(BadFile, match=r"cannot be read: it is a directory$"):
        RamImage(str(tmp_path))


def test_an_image_without_efer_takes_nx_for_granted(tmp_path: Path) -> None:
    machine, _ = pae_machine("hlt")
    machine.run()
    image_of(machine, tmp_path)
    path = tmp_path / "ram.core"
    path.write_bytes(path.read_bytes().replace(layout.KMEMU, b"other\0", 1))
    image = RamImage(str(path))
    assert image.nx is None
    assert read_directory(image, None).nx is None


def test_of_several_cpus_the_first_counts(tmp_path: Path) -> None:
    machine, _ = paged_machine("hlt")
    machine.run()
    image_of(machine, tmp_path)
    path = tmp_path / "ram.core"
    data = path.read_bytes()
    notes, size = struct.unpack_from("<I8xI", data, 52 + 4)[0], struct.unpack_from("<I", data, 52 + 16)[0]
    other = layout.note(layout.QEMU, 0, bytes(layout.QEMU_STATE.size))
    data = changed(data, 52 + 16, "<I", size + len(other))
    path.write_bytes(data[: notes + size] + other + data[notes + size + len(other) :])
    assert RamImage(str(path)).cr3 == DIRECTORY


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_damaged_image_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "ram.core"
    whole = tmp_path / "whole.core"
    if not whole.exists():
        machine, _ = paged_machine("hlt", pages={})
        machine.run()
        image_of(machine, tmp_path)
        path.rename(whole)
    numbers = random.Random(seed)
    data = bytearray(whole.read_bytes())
    for _ in range(numbers.randrange(1, 6)):
        struct.pack_into("<I", data, numbers.randrange(0, 0x290) & ~3, numbers.getrandbits(32))
    path.write_bytes(bytes(data[: numbers.choice((len(data), numbers.randrange(len(data))))]))
    try:
        read_directory(RamImage(str(path)), numbers.choice((None, DIRECTORY)))
    except (BadFile, NoDirectory) as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right
