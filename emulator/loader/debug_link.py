"""The file with a kernel's debug information that its section .gnu_debuglink names, where that was taken out of the kernel.

Source: GDB manual, "Debugging Information in Separate Files"; there are no files for all of a system here.
"""

from __future__ import annotations

import os.path
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION: Final = ".gnu_debuglink"
_CHECKSUM: Final = struct.Struct("<I")


class DebugLink(NamedTuple):
    """What the section says.

    Attributes:
        name: Of the file, without a directory.
        checksum: CRC-32 of its bytes.
    """

    name: str
    checksum: int


def read_debug_link(content: bytes) -> DebugLink | None:
    """Return what the bytes of the section say; None: they are damaged."""
    name = content.partition(b"\0")[0]
    offset = len(name) + _CHECKSUM.size & -_CHECKSUM.size  # the name with its zero, up to whole words
    if not name or b"/" in name or len(content) < offset + _CHECKSUM.size:
        return None
    return DebugLink(os.fsdecode(name), *_CHECKSUM.unpack_from(content, offset))


def find_linked(link: DebugLink, kernel: str, largest: int) -> str | None:
    """Return the path of the file; None: it is neither beside the kernel nor in ``.debug``, or all there are of other builds.

    Args:
        link: Names it.
        kernel: Path of the kernel's file.
        largest: Most bytes that it may have.
    """
    import zlib

    for path in candidates(link, kernel):
        try:
            if zlib.crc32(read_file(path, largest)) == link.checksum:
                return path
        except OSError:
            continue
    return None


def candidates(link: DebugLink, kernel: str) -> Iterator[str]:
    """Yield where the file is looked for."""
    folder = os.path.dirname(kernel)
    yield os.path.join(folder, link.name)
    yield os.path.join(folder, ".debug", link.name)
