"""The entries of .eh_frame and .debug_frame: which code each program of call frame information describes.

A CIE holds what many functions have in common, an FDE describes one function. An entry that is damaged, or of a kind that
no i386 compiler writes, is passed over.

Source: DWARF 5, section 6.4.1; Linux Standard Base Core 5.0, section 10.6 (".eh_frame").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged
from emulator.loader.dwarf.call_frames import NO_RULES, RETURN_ADDRESS, Program, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOUR_GIB: Final = 1 << 32
_SMALLEST_ENTRY: Final = 8  # its length and its kind
_DWARF4: Final = 4
_VERSIONS: Final = (1, 3, _DWARF4)
_POINTER_SIZES: Final = {0: 4, 2: 2, 3: 4}  # DW_EH_PE_absptr, udata2, udata4
_SIGNED, _PC_RELATIVE = 0x08, 0x10


class FrameSection(NamedTuple):
    """A section of call frame information.

    Attributes:
        data: Its bytes.
        address: Where it is linked.
        is_eh_frame: Its form is that of .eh_frame, not of .debug_frame.
    """

    data: bytes
    address: int
    is_eh_frame: bool


class DescribedFunction(NamedTuple):
    """What an FDE says.

    Attributes:
        start: First address.
        end: First address after it; beyond 2^32 where the entry is wrong.
        rows: Addresses, ascending from *start*, and the rules from there on. Of equal addresses the last row counts.
    """

    start: int
    end: int
    rows: list[tuple[int, Rules]]


class _Cie(NamedTuple):
    factors: tuple[int, int]
    rules: Rules
    encoding: int
    is_augmented: bool


def read_functions(section: FrameSection) -> Iterator[DescribedFunction]:
    """Yield what a section describes, in its order. A CIE must come before its FDEs, as it does wherever a linker ran."""
    data = section.data
    is_cie = 0 if section.is_eh_frame else 0xFFFF_FFFF
    cies: dict[int, _Cie] = {}
    offset = 0
    while offset + _SMALLEST_ENTRY <= len(data):
        content = offset + 4
        end = content + int.from_bytes(data[offset:content], "little")
        if end > len(data):
            return
        reader = ByteReader(data, content, end)
        try:
            kind = reader.unsigned(4)
            if kind == is_cie:
                cies[offset] = _read_cie(reader)
            elif cie := cies.get(content - kind if section.is_eh_frame else kind):
                yield _read_fde(reader, cie, section.address)
        except Damaged:
            pass
        offset = end


def _read_cie(reader: ByteReader) -> _Cie:
    version = reader.unsigned(1)
    augmentation = bytes(reader.string())
    if version not in _VERSIONS or (
        version == _DWARF4 and reader.take(2) != b"\4\0"
    ):  # sizes of address and segment
        raise Damaged
    factors = reader.uleb(), reader.sleb()
    if (reader.unsigned(1) if version == 1 else reader.uleb()) != RETURN_ADDRESS:
        raise Damaged
    encoding = _read_augmentation(reader, augmentation) if augmentation else 0
    rules = Program(reader, factors, NO_RULES, 0).rules
    return _Cie(factors, rules, encoding, bool(augmentation))


def _read_augmentation(reader: ByteReader, augmentation: bytes) -> int:
    """Return how addresses are encoded, and go to the end of the data."""
    if not augmentation.startswith(b"z"):
        raise Damaged
    size = reader.uleb()
    data = ByteReader(reader.take(size), 0, size)
    encoding = 0
    for letter in augmentation[1:].decode("latin-1"):
        if letter == "R":
            encoding = data.unsigned(1)
        elif letter == "P":
            data.take(_pointer_size(data.unsigned(1)))
        elif letter == "L":
            data.take(1)
        elif letter not in "SB":
            break
    return encoding


def _read_fde(reader: ByteReader, cie: _Cie, address: int) -> DescribedFunction:
    here = address + reader.position
    size = _pointer_size(cie.encoding)
    start = int.from_bytes(reader.take(size), "little", signed=bool(cie.encoding & _SIGNED))
    if cie.encoding & _PC_RELATIVE:
        start += here
    start %= _FOUR_GIB
    end = start + reader.unsigned(size)
    if cie.is_augmented:
        reader.take(reader.uleb())
    return DescribedFunction(start, end, Program(reader, cie.factors, cie.rules, start).rows)


def _pointer_size(encoding: int) -> int:
    """Return the bytes of an encoded address.

    Raises:
        Damaged: It is encoded in a way that is not used on i386.
    """
    if encoding & ~(_SIGNED | _PC_RELATIVE | 7) or encoding & 7 not in _POINTER_SIZES:
        raise Damaged
    return _POINTER_SIZES[encoding & 7]
