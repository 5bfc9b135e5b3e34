"""What a file is that looks like no kernel: compressed, or made for another boot loader."""

from __future__ import annotations

from emulator.errors import BadImage

_GZIP = b"\x1f\x8b\x08"
_GZIP_FORMAT = 31  # zlib's window bits for gzip's header

# Offset, bytes there, what it is then. The first that fits counts.
_FOREIGN = (
    (0x202, b"HdrS", "a bzImage, which only Linux's boot protocol starts"),
    (0x24, b"\x18\x28\x6f\x01", "a Linux kernel for ARM (zImage)"),
    (0x00, b"\x27\x05\x19\x56", "an image for U-Boot (uImage)"),
    (0x8001, b"CD001", "a CD image; the kernel is a file in it"),
    (0x00, b"MZ", "a DOS or EFI program"),
    (0x00, b"\xfd7zXZ\0", "compressed with xz; decompress it"),
    (0x00, b"BZh", "compressed with bzip2; decompress it"),
    (0x00, b"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it"),
    (0x00, b"!<arch>\n", "an archive (.a), not a linked executable"),
    (0x1FE, b"\x55\xaa", "a boot sector or a disk image; the kernel is a file in it"),
)


def unpacked(data: bytes, path: str, largest: int) -> bytes:
    """Return a file's bytes, decompressed if it is a gzip file.

    Args:
        data: The file.
        path: Its name, for messages.
        largest: Most bytes that may come out.

    Raises:
        BadImage: It is damaged, or larger than that.
    """
    if not data.startswith(_GZIP):
        return data
    import zlib  # hardly any kernel is compressed

    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        plain = stream.decompress(data, largest)
    except zlib.error as error:
        raise BadImage(path, f"is a damaged gzip file: {error}") from error
    if stream.unconsumed_tail:
        raise BadImage(path, f"is a gzip file of more than {largest} bytes")
    if not stream.eof:
        raise BadImage(path, "is a truncated gzip file")
    return plain


def refuse_foreign(data: bytes, path: str) -> None:
    """Refuse a file that is known to be something else than a kernel for Multiboot.

    Raises:
        BadImage: It is; the message says what.
    """
    for offset, magic, what in _FOREIGN:
        if data.startswith(magic, offset):
            raise BadImage(
                path, f"is {what}; kmemu boots ELF files, Multiboot kernels, and with --load raw images"
            )
