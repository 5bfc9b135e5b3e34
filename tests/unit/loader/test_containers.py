from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import BadImage
from emulator.loader.containers import refuse_foreign, unpacked
from emulator.loader.image import KernelImage
from tests.unit.loader import elf_builder as eb


@given(st.binary(max_size=2000))
def test_gzip_files_are_decompressed(data: bytes) -> None:
    assert unpacked(gzip.compress(data), "k.gz", len(data) + 1) == data


@given(st.binary(max_size=100).filter(lambda data: not data.startswith(b"\x1f\x8b\x08")))
def test_others_are_left_alone(data: bytes) -> None:
    assert unpacked(data, "k", 1) == data


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gzip.compress(b"x" * 100, mtime=0)[:-1], r"is a truncated gzip file"),
        (gzip.compress(b"x" * 1001, mtime=0), r"is a gzip file of more than 1000 bytes"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 10, r"is a damaged gzip file: Error -3 .*"),
    ],
    ids=["truncated", "large", "damaged"],
)
def test_damaged_ones_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BadImage, match=f"^k.gz: {problem}$"):
        unpacked(data, "k.gz", 1000)


def test_a_compressed_kernel_is_read() -> None:
    plain = eb.build_elf()
    image = KernelImage(gzip.compress(plain), "k.elf.gz")
    assert image.data == plain
    assert image.segments == KernelImage(plain, "k").segments


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (
            b"MZ".ljust(0x202, b"\0") + b"HdrS",
            "a bzImage, which only Linux's boot protocol starts",
        ),
        (bytes(0x24) + b"\x18\x28\x6f\x01", "a Linux kernel for ARM (zImage)"),
        (b"\x27\x05\x19\x56", "an image for U-Boot (uImage)"),
        (bytes(0x8001) + b"CD001", "a CD image; the kernel is a file in it"),
        (b"MZ", "a DOS or EFI program"),
        (b"\xfd7zXZ\0", "compressed with xz; decompress it"),
        (b"BZh9", "compressed with bzip2; decompress it"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it"),
        (b"!<arch>\n", "an archive (.a), not a linked executable"),
        (bytes(510) + b"\x55\xaa", "a boot sector or a disk image; the kernel is a file in it"),
    ],
)
def test_what_is_no_kernel_is_named(data: bytes, what: str) -> None:
    with pytest.raises(BadImage) as caught:
        KernelImage(data, "file")
    assert (
        str(caught.value)
        == f"file: is {what}; kmemu boots ELF files, Multiboot kernels, and with --load raw images"
    )


def test_an_unknown_file_is_not_named() -> None:
    refuse_foreign(b"anything", "file")
