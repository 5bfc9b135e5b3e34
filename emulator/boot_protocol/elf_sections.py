"""The section headers of an ELF kernel, for the kernel: how it finds its own symbols and their names.

Symbol and string tables, which lie in no segment, are loaded after the kernel, as by GRUB. Debug information, which GRUB loads as well, is not.

Source: Executable and Linking Format 1.2, book I, "Sections".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from emulator.boot_protocol.pc_memory import HIGH_START
from emulator.loader.elf.headers import MAGIC

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage

_TABLE = struct.Struct(
    "<I10xHHH"
)  # of the file's header, from byte 32: offset, size of an entry, count, names
_TABLE_AT = 32
_SECTION = struct.Struct("<10I")
_KIND, _ADDRESS, _OFFSET, _SIZE = 1, 3, 4, 5  # words of a section header
_SYMBOLS, _STRINGS = 2, 3  # SHT_SYMTAB, SHT_STRTAB
_ALIGNMENT = 16


class ElfSections(NamedTuple):
    """Section headers as the kernel is to see them.

    Attributes:
        total: How many; 0 for a file that has none, or is no ELF file.
        names: Number of the one with the names.
        headers: 40 bytes each. The address is 0 where nothing is loaded.
        pieces: What has been loaded for them: (physical address, bytes).
    """

    total: int
    names: int
    headers: bytes
    pieces: tuple[tuple[int, bytes], ...]


def elf_sections(image: KernelImage, ram_end: int) -> ElfSections:
    """Return the section headers of a kernel.

    Args:
        image: The kernel.
        ram_end: Physical end of RAM. What does not fit below is not loaded.
    """
    if not image.data.startswith(MAGIC):
        return ElfSections(0, 0, b"", ())
    offset, entry_size, count, names = _TABLE.unpack_from(image.data, _TABLE_AT)
    if not offset or entry_size != _SECTION.size or offset + count * entry_size > len(image.data):
        return ElfSections(0, 0, b"", ())
    headers, pieces = [], []
    top = max(HIGH_START, image.end)
    for number in range(count):
        words = list(_SECTION.unpack_from(image.data, offset + number * entry_size))
        top += -top % _ALIGNMENT
        if words[_KIND] in {_SYMBOLS, _STRINGS} and not words[_ADDRESS] and top + words[_SIZE] <= ram_end:
            words[_ADDRESS] = top
            pieces.append((top, image.data[words[_OFFSET] : words[_OFFSET] + words[_SIZE]]))
            top += words[_SIZE]
        headers.append(_SECTION.pack(*words))
    return ElfSections(count, names, b"".join(headers), tuple(pieces))
