"""Compare a kernel with the file that is said to have its symbols: with those of another build everything would be named wrongly."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.errors import BadImage
from emulator.loader.elf.headers import EXECUTABLE_SECTION, NOTE_SECTION, PROGRAM_SECTION
from emulator.wording import code_location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.loader.elf.headers import ElfHeaders, SectionHeader
    from emulator.loader.image import KernelImage

_NOTE: Final = struct.Struct("<III4s")  # sizes of name and contents, kind, name
_BUILD_ID: Final = 3, b"GNU\0"
_DIGITS_SHOWN: Final = 12


def check_same_build(kernel: KernelImage, own: ElfHeaders | None, symbols: KernelImage) -> None:
    """Refuse a file with symbols that is not of a kernel's build, as far as that can be seen.

    Where both have a build ID, it decides. Else the code is compared; where the file has none, the sections in which it lies.

    Args:
        kernel: It.
        own: Its own headers; None: it is no ELF file.
        symbols: The file with the symbols.

    Raises:
        BadImage: It is of another build.
    """
    sections = () if symbols.headers is None else symbols.headers.sections()
    theirs = () if own is None else own.sections()
    ids = [_build_id(data, each) for data, each in ((kernel.data, theirs), (symbols.data, sections))]
    if all(ids):
        problem = (
            ""
            if ids[0] == ids[1]
            else f"its build ID is {_start(ids[1])}, that of the kernel {_start(ids[0])}"
        )
    else:
        code = [each for each in sections if each.flags & EXECUTABLE_SECTION and each.address and each.size]
        problem = next(filter(None, (_difference(kernel, theirs, symbols, each) for each in code)), "")
    if problem:
        raise BadImage(symbols.path, f"has the symbols of another build than {kernel.name}: {problem}")


def _build_id(data: bytes, sections: Sequence[SectionHeader]) -> str:
    """Return the build ID in hexadecimal digits; "" where there is none."""
    for each in sections:
        note = data[each.offset : each.offset + each.size]
        if each.kind == NOTE_SECTION and len(note) > _NOTE.size:
            name_size, size, kind, name = _NOTE.unpack_from(note)
            if (kind, name) == _BUILD_ID and name_size == len(name):
                return note[_NOTE.size : _NOTE.size + size].hex()
    return ""


def _start(build_id: str) -> str:
    return f"{build_id[:_DIGITS_SHOWN]}..."


def _difference(
    kernel: KernelImage, theirs: Sequence[SectionHeader], symbols: KernelImage, code: SectionHeader
) -> str:
    """Return in what a kernel differs from a section of code; "": in nothing that can be seen."""
    where = f"0x{code.address:08x}-0x{code.address + code.size:08x}"
    if code.kind != PROGRAM_SECTION:  # the file has kept no contents
        spans = [(each.address, each.size) for each in theirs if each.flags & EXECUTABLE_SECTION]
        return (
            ""
            if not spans or (code.address, code.size) in spans
            else f"the kernel has no {code.name} at {where}"
        )
    content = symbols.data[code.offset : code.offset + code.size]
    loaded = _loaded(kernel, code.address, code.size)
    if loaded == content or _loaded(symbols, code.address, code.size) is None:
        return ""
    if loaded is None:
        return f"the kernel has no {code.name} at {where}"
    at = code.address + next(
        index for index, (a, b) in enumerate(zip(loaded, content, strict=True)) if a != b
    )
    return f"the code differs at {code_location(*symbols.location(at))}"


def _loaded(image: KernelImage, address: int, size: int) -> bytes | None:
    """Return what is loaded to linked addresses from the file; None: not all of it is."""
    for each in image.segments:
        start = address - each.virtual
        if start >= 0 and start + size <= len(each.data):
            return each.data[start : start + size]
    return None
