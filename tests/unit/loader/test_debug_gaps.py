"""Debug information that is not in the kernel's file, or in a form of its own, is read, or it is said that it is not."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.cli.main import main
from emulator.loader.debug_gaps import DebugGap, Reason, debug_gaps
from emulator.loader.debug_link import DebugLink, read_debug_link
from emulator.loader.functions.prototypes import prototype
from emulator.loader.image import KernelImage
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from emulator.report.text.gaps import gap_lines
from tests.helpers.c_kernel import LINKER_SCRIPT, compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "int kmalloc(int size) { return size; }\nvoid _start(void) { kmalloc(3); }\n" + "".join(
    f"struct s{number} {{ int field_{number}; }} variable_{number};\n" for number in range(100)
)


def run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True)


def stripped(folder: Path) -> Path:
    """A kernel whose debug information was moved to ``kernel.debug``."""
    kernel = compile_kernel(folder, SOURCE, ["-g"])
    run(folder, "objcopy", "--only-keep-debug", "kernel.elf", "kernel.debug")
    run(folder, "objcopy", "--strip-all", "--add-gnu-debuglink=kernel.debug", "kernel.elf")
    return kernel


def split(folder: Path, compiler: str, version: int) -> Path:
    (folder / "kernel.c").write_text(SOURCE)
    (folder / "kernel.ld").write_text(LINKER_SCRIPT)
    options = f"-m32 -ffreestanding -fno-pie -g -gdwarf-{version} -gsplit-dwarf"
    run(folder, compiler, *options.split(), "-c", "kernel.c")
    run(folder, "ld", "-m", "elf_i386", "-T", "kernel.ld", "-o", "kernel.elf", "kernel.o")
    return folder / "kernel.elf"


def has_prototype(image: KernelImage) -> bool:
    symbol = image.symbol("kmalloc")
    return symbol is not None and prototype(image, symbol.address) is not None


def lines(image: KernelImage) -> list[str]:
    return list(gap_lines(match(parse_profile('[heap]\nalloc = "kmalloc(size @ esp+4)"', "p"), image), image))


def test_the_file_that_a_kernel_names_is_read(tmp_path: Path) -> None:
    kernel = stripped(tmp_path)
    image = KernelImage.read(kernel)
    assert has_prototype(image)
    assert list(debug_gaps(image)) == []
    (tmp_path / ".debug").mkdir()
    (tmp_path / "kernel.debug").rename(tmp_path / ".debug" / "kernel.debug")
    assert has_prototype(KernelImage.read(kernel))


def test_a_file_that_is_not_there_or_of_another_build_is_reported(tmp_path: Path) -> None:
    image = KernelImage.read(stripped(tmp_path))
    debug = tmp_path / "kernel.debug"
    debug.write_bytes(debug.read_bytes() + b"\0")
    image = KernelImage.read(image.path)
    assert image.symbols == {}
    assert list(debug_gaps(image)) == [DebugGap(Reason.OTHER_BUILD, ("kernel.debug",))]
    debug.unlink()
    assert list(debug_gaps(image)) == [DebugGap(Reason.NO_FILE, ("kernel.debug",))]


@pytest.mark.parametrize("command", ["boot", "inspect"])
def test_commands_say_that_the_file_is_not_there(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = str(stripped(tmp_path))
    budget = ["--max-instructions", "10"] if command == "boot" else []
    said = "kmemu: debug information is not read: kernel.debug: neither beside the kernel nor in .debug\n"
    main([command, kernel, *budget])
    assert said not in capsys.readouterr().err
    (tmp_path / "kernel.debug").unlink()
    main([command, kernel, *budget])
    assert capsys.readouterr().err.count(said) == 1


def test_the_users_file_goes_first(tmp_path: Path) -> None:
    kernel = stripped(tmp_path)
    (tmp_path / "kernel.debug").rename(tmp_path / "mine.debug")
    image = KernelImage.read(kernel, symbols=str(tmp_path / "mine.debug"))
    assert has_prototype(image)
    assert list(debug_gaps(image)) == []


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0\0abcd", b"kernel.debug", b"k\0\0\0abc", b"../k\0\0\0\0abcd"]
)
def test_a_damaged_link_is_none(content: bytes) -> None:
    assert read_debug_link(content) is None


def test_a_link() -> None:
    assert read_debug_link(b"abc\0" + struct.pack("<I", 7)) == DebugLink("abc", 7)
    assert read_debug_link(b"abcd\0\0\0\0" + struct.pack("<I", 7)) == DebugLink("abcd", 7)


def test_debug_information_compressed_with_zstd_is_read(tmp_path: Path) -> None:
    kernel = compile_kernel(tmp_path, SOURCE, ["-g"])
    run(tmp_path, "objcopy", "--compress-debug-sections=zstd", "kernel.elf")
    image = KernelImage.read(kernel)
    assert image.headers is not None
    (info,) = (each for each in image.headers.sections() if each.name == ".debug_info")
    assert struct.unpack_from("<I", image.data, info.offset) == (2,)  # ELFCOMPRESS_ZSTD
    assert has_prototype(image)
    line = image.source_line(image.entry)
    assert line is not None
    assert (line.file.rpartition("/")[2], line.line) == ("kernel.c", 2)
    assert list(debug_gaps(image)) == []
    data = bytearray(image.data)
    data[info.offset] = 9
    image = KernelImage(bytes(data), str(kernel))
    assert list(debug_gaps(image)) == [DebugGap(Reason.UNKNOWN_COMPRESSION, (".debug_info",))]
    assert lines(image) == [
        "debug information is not read: .debug_info: damaged, or compressed neither by zlib nor by zstd"
    ]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_split_debug_information_that_is_not_read_is_reported(tmp_path: Path, compiler: str) -> None:
    image = KernelImage.read(split(tmp_path, compiler, 5))
    assert has_prototype(image)
    assert lines(image) == []
    (tmp_path / "kernel.dwo").unlink()
    image = KernelImage.read(image.path)
    assert not has_prototype(image)
    assert lines(image) == [
        "debug information is not read: kernel.dwo: not found, or of another build than the kernel"
    ]
    image = KernelImage.read(split(tmp_path, compiler, 4))
    assert not has_prototype(image)
    assert lines(image) == [
        "debug information is not read: kernel.dwo: split files of DWARF 4; compile with -gdwarf-5"
    ]


def test_of_several_files_the_first_is_named(tmp_path: Path) -> None:
    image = KernelImage.read(split(tmp_path, "gcc", 5))
    image.units.not_found = lambda: ((), ("a.dwo", "b.dwo", "c.dwo"))  # type: ignore[method-assign]
    assert lines(image) == [
        "debug information is not read: a.dwo and 2 others: not found, or of another build than the kernel"
    ]
