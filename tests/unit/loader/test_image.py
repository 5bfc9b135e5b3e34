from __future__ import annotations

import re
import resource
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BadImage
from emulator.loader.image import KernelImage
from emulator.loader.segments import SegmentFlags
from emulator.wording import code_location
from tests.unit.loader import elf_builder as eb
from tests.unit.loader.elf_builder import BASE, Elf, Load, Sym, build_elf, patch, patch_program_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def image(data: bytes) -> KernelImage:
    return KernelImage(data, "k.elf")


def problem_of(data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        image(data)
    assert caught.value.path == "k.elf"
    assert str(caught.value) == f"k.elf: {caught.value.problem}"
    return caught.value.problem


GOOD = build_elf()


class TestLoading:
    def test_keeps_what_a_segment_needs(self, tmp_path: Path) -> None:
        path = tmp_path / "demo.elf"
        path.write_bytes(build_elf(Elf([Load(BASE, b"\x90\xf4", memory_size=100, flags=6)])))
        kernel = KernelImage.read(path)
        (segment,) = kernel.segments
        assert (kernel.name, kernel.path) == ("demo.elf", str(path))
        assert (segment.physical, segment.virtual, segment.size) == (BASE, BASE, 100)
        assert segment.data == b"\x90\xf4"
        assert segment.flags == SegmentFlags.R | SegmentFlags.W
        assert (kernel.start, kernel.end, kernel.entry) == (BASE, BASE + 100, BASE)

    def test_orders_segments_by_physical_address(self) -> None:
        kernel = image(build_elf(Elf([Load(BASE + 0x2000), Load(BASE)])))
        assert [segment.physical for segment in kernel.segments] == [BASE, BASE + 0x2000]

    def test_ignores_other_program_headers_and_empty_segments(self) -> None:
        loads = [Load(), Load(0, kind=eb.PT_NOTE), Load(0xFFFF_FFF0, b"")]
        assert len(image(build_elf(Elf(loads))).segments) == 1

    def test_needs_no_section_headers(self) -> None:
        end_of_segment = eb.EHDR.size + eb.PHDR.size + 64
        assert image(patch(GOOD[:end_of_segment], eb.E_SHOFF, "<I", 0)).symbols == {}

    @pytest.mark.parametrize("entry", [0x8010_0010, BASE + 0x10])
    def test_a_kernel_linked_high_has_a_physical_entry(self, entry: int) -> None:
        kernel = image(build_elf(Elf([Load(BASE, virtual=0x8010_0000)], entry=entry)))
        assert kernel.entry == entry
        assert kernel.physical_entry == BASE + 0x10


class TestFilesThatCannotBeRead:
    def test_missing(self) -> None:
        with pytest.raises(BadImage, match=r"^/nowhere/k\.elf: cannot be read: No such file or directory$"):
            KernelImage.read("/nowhere/k.elf")

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(
            BadImage, match=rf"^{re.escape(str(tmp_path))}: cannot be read: it is a directory$"
        ):
            KernelImage.read(tmp_path)

    def test_device(self) -> None:
        with pytest.raises(BadImage, match=r"^/dev/null: cannot be read: it is not a regular file$"):
            KernelImage.read("/dev/null")

    def test_name_with_a_nul(self) -> None:
        with pytest.raises(BadImage, match=r"cannot be read: embedded null byte$"):
            KernelImage.read("k\0.elf")

    def test_huge(self, tmp_path: Path) -> None:
        path = tmp_path / "k.elf"
        with path.open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(
            BadImage, match=r"cannot be read: its size is 1099511627776 bytes, more than 1073741824$"
        ):
            KernelImage.read(path)


class TestFilesThatAreNoKernels:
    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (b"", "is empty"),
            (b"#!/bin/sh\n", "not an ELF file: begins with 23 21 2f 62, not 7f 45 4c 46"),
            (b"\x7fE", "not an ELF file: begins with 7f 45, not 7f 45 4c 46"),
            (
                GOOD[:51],
                "truncated: the ELF header takes bytes 0x00000000-0x00000034, the file ends at 0x00000033",
            ),
            (patch(GOOD, eb.E_CLASS, "B", 2), "is a 64-bit ELF file, not a 32-bit one"),
            (patch(GOOD, eb.E_CLASS, "B", 9), "is of unknown ELF class 9, not a 32-bit one"),
            (patch(GOOD, eb.E_DATA, "B", 2), "is a big-endian ELF file, not a little-endian one"),
            (patch(GOOD, eb.E_DATA, "B", 0), "is of unknown byte order 0, not a little-endian one"),
            (patch(GOOD, eb.E_MACHINE, "<H", 62), "is for machine EM_X86_64, not EM_386"),
            (patch(GOOD, eb.E_MACHINE, "<H", 0xFEED), "is for machine 65261, not EM_386"),
            (
                patch(GOOD, eb.E_TYPE, "<H", 1),
                "is a relocatable object (ET_REL), not a linked executable",
            ),
            (
                patch(GOOD, eb.E_TYPE, "<H", 3),
                "is a shared or position-independent object (ET_DYN), not an executable; link it with -no-pie",
            ),
            (
                patch(GOOD, eb.E_TYPE, "<H", 4),
                "is a core dump (ET_CORE), not an executable; kmemu inspect --page-directory reads one of RAM",
            ),
            (patch(GOOD, eb.E_TYPE, "<H", 77), "is of ELF type 77, not an executable"),
        ],
    )
    def test_are_refused(self, data: bytes, problem: str) -> None:
        assert problem_of(data) == problem


class TestDamagedHeaders:
    def test_program_header_entries_of_another_size(self) -> None:
        data = patch(GOOD, eb.E_PHENTSIZE, "<H", 56)
        assert problem_of(data) == "program header entries are 56 bytes, not 32"

    def test_section_header_entries_of_another_size(self) -> None:
        data = patch(GOOD, eb.E_SHENTSIZE, "<H", 64)
        assert problem_of(data) == "section header entries are 64 bytes, not 40"

    def test_program_headers_past_the_end(self) -> None:
        data = patch(GOOD, eb.E_PHNUM, "<H", 0xFFFF)
        assert problem_of(data) == (
            "truncated: the program header table takes bytes 0x00000034-0x00200014, "
            f"the file ends at 0x{len(GOOD):08x}"
        )

    def test_section_headers_past_the_end(self) -> None:
        data = patch(GOOD, eb.E_SHOFF, "<I", 0xFFFF_FF00)
        assert problem_of(data) == (
            "truncated: the section header table takes bytes 0xffffff00-0xffffffc8, "
            f"the file ends at 0x{len(GOOD):08x}"
        )


class TestDamagedSegments:
    def test_none(self) -> None:
        assert problem_of(build_elf(Elf([]))) == "has no loadable segments (PT_LOAD)"

    def test_none_with_any_memory(self) -> None:
        assert problem_of(build_elf(Elf([Load(BASE, b"")]))) == "has no loadable segments (PT_LOAD)"

    def test_bytes_past_the_end_of_the_file(self) -> None:
        data = patch_program_header(GOOD, 0, eb.P_OFFSET, 0x1000)
        assert problem_of(data) == (
            "truncated: segment 0 at 0x00100000 takes bytes 0x00001000-0x00001040, "
            f"the file ends at 0x{len(GOOD):08x}"
        )

    def test_more_in_the_file_than_in_memory(self) -> None:
        data = patch_program_header(GOOD, 0, eb.P_MEMSZ, 63)
        assert problem_of(data) == "segment 0 at 0x00100000 has 64 bytes in the file but only 63 in memory"

    @pytest.mark.parametrize("field", [eb.P_PADDR, eb.P_VADDR])
    def test_addresses_that_wrap(self, field: int) -> None:
        data = patch_program_header(GOOD, 0, field, 0xFFFF_FFC1)
        assert problem_of(data) == "segment 0 at 0xffffffc1 is 0x40 bytes long and wraps past 4 GiB"

    def test_a_segment_may_end_at_4_gib(self) -> None:
        top = 0xFFFF_FFC0
        assert image(build_elf(Elf([Load(top)], entry=top))).end == 1 << 32

    def test_overlap(self) -> None:
        data = build_elf(Elf([Load(BASE), Load(BASE + 63)]))
        assert problem_of(data) == (
            "the segment 0x00100000-0x00100040 overlaps the segment 0x0010003f-0x0010007f"
        )

    def test_touching_segments_are_no_overlap(self) -> None:
        assert len(image(build_elf(Elf([Load(BASE), Load(BASE + 64)]))).segments) == 2

    @pytest.mark.parametrize("entry", [0, BASE - 1, BASE + 64])
    def test_entry_outside(self, entry: int) -> None:
        data = build_elf(Elf(entry=entry))
        assert problem_of(data) == f"the entry point 0x{entry:08x} is in no loaded segment"


class TestRam:
    RAM = ((0, 0x9FC00), (BASE, 0x500000))

    def test_a_kernel_inside_fits(self) -> None:
        image(build_elf(Elf([Load(0x7C00), Load(BASE, memory_size=0x400000)]))).check_fits(self.RAM)

    @pytest.mark.parametrize("physical", [0x9FBFF, 0xF0000, BASE - 1, 0x4FFFC1, 0xC000_0000])
    def test_a_segment_outside_is_refused(self, physical: int) -> None:
        kernel = image(build_elf(Elf([Load(physical)], entry=physical)))
        with pytest.raises(BadImage) as caught:
            kernel.check_fits(self.RAM)
        assert caught.value.problem == (
            f"the segment 0x{physical:08x}-0x{physical + 64:08x} lies outside RAM "
            "(0x00000000-0x0009fc00, 0x00100000-0x00500000)"
            + ("; more RAM: --ram" if physical in {0x4FFFC1, 0xC000_0000} else "")
        )
        assert caught.value.value == physical

    @pytest.mark.parametrize("size", [0x40, 0x1000, 0x1001, 0x2000])
    def test_a_segment_may_begin_in_rom(self, size: int) -> None:
        loads = [Load(BASE - 0x1000, b"headers", size), Load(BASE + 0x1000)]
        kernel = image(build_elf(Elf(loads, entry=BASE + 0x1000)))
        kernel.check_fits(self.RAM, (0xC0000, BASE))
        with pytest.raises(BadImage, match=r"^k.elf: the segment 0x000ff000-0x"):
            kernel.check_fits(self.RAM)

    @pytest.mark.parametrize("start", [0xBFFFF, 0xA0000])
    def test_not_before_it(self, start: int) -> None:
        kernel = image(build_elf(Elf([Load(start, b"", 0x1000), Load(BASE)], entry=BASE)))
        with pytest.raises(BadImage, match=f"^k.elf: the segment 0x{start:08x}-0x"):
            kernel.check_fits(self.RAM, (0xC0000, BASE))

    def test_it_is_not_entered_there(self) -> None:
        kernel = image(build_elf(Elf([Load(BASE - 0x1000), Load(BASE)], entry=BASE - 0x1000)))
        with pytest.raises(BadImage, match=r"^k.elf: the entry point 0x000ff000 does not lie in RAM$"):
            kernel.check_fits(self.RAM, (0xC0000, BASE))

    @pytest.fixture
    def _little_memory(self) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_AS, before)

    @pytest.mark.usefixtures("_little_memory")
    def test_a_huge_segment_takes_no_host_memory(self) -> None:
        kernel = image(build_elf(Elf([Load(BASE, memory_size=0xE000_0000)])))
        with pytest.raises(BadImage, match=r"the segment 0x00100000-0xe0100000 lies outside RAM"):
            kernel.check_fits(self.RAM)


class TestLocation:
    ELF = Elf([Load(BASE, virtual=0x8010_0000)], entry=BASE, symbols=[Sym("kmain", 0x8010_0010, 16, eb.FUNC)])

    def test_names_the_function(self) -> None:
        assert code_location(*image(build_elf(self.ELF)).location(0x8010_0012)) == "kmain+0x2"

    def test_takes_physical_addresses_of_a_kernel_linked_high(self) -> None:
        assert code_location(*image(build_elf(self.ELF)).location(BASE + 0x10)) == "kmain+0x0"

    @pytest.mark.parametrize("address", [0, BASE, 0xFFFF_FFFF])
    def test_is_a_number_elsewhere(self, address: int) -> None:
        assert code_location(*image(build_elf(self.ELF)).location(address)) == f"0x{address:08x}"
