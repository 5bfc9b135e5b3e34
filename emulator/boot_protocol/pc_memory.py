"""The memory of a PC as its BIOS describes it, and what of low memory is free for boot information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import BootInfoDoesNotFit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KIB: Final = 1024
LOW_END: Final = 0x9FC00
"""End of the RAM below 1 MiB that a kernel may use: the BIOS's extended data begins there."""
HIGH_START: Final = 0x100000
RAM_LIMIT: Final = 0xFFFC0000
"""The flash ROM of the BIOS lies from here to 4 GiB, in the memory map at least."""

_BIOS_TABLES = 128 * KIB
_LOW_START = 0x9000  # above the BIOS's data, and above 0x7C00 and 0x8000, where kernels start other CPUs
BLOCK_ALIGNMENT: Final = 16
"""Where blocks of boot information begin."""


class MemoryRegion(NamedTuple):
    """An entry of the memory map: `[start, end)`, physical; RAM for any use, or reserved."""

    start: int
    end: int
    available: bool


def memory_map(ram_end: int) -> tuple[MemoryRegion, ...]:
    """Return the memory map of a PC, ascending.

    It is that of QEMU's `pc` with 128 KiB more RAM, which SeaBIOS keeps for its tables there. kmemu has them in ROM, and nothing in that range.

    Args:
        ram_end: Physical end of RAM, above 1 MiB, at most `RAM_LIMIT`.

    Raises:
        ValueError: *ram_end* is out of range.
    """
    if not HIGH_START < ram_end <= RAM_LIMIT:
        raise ValueError(
            f"ram_end is 0x{ram_end:08x}, not above 0x{HIGH_START:08x} and at most 0x{RAM_LIMIT:08x}"
        )
    regions = (
        MemoryRegion(0, LOW_END, available=True),
        MemoryRegion(LOW_END, 0xA0000, available=False),
        MemoryRegion(0xF0000, HIGH_START, available=False),
        MemoryRegion(HIGH_START, ram_end, available=True),
        MemoryRegion(ram_end, min(ram_end + _BIOS_TABLES, RAM_LIMIT), available=False),
        MemoryRegion(RAM_LIMIT, 1 << 32, available=False),
    )
    return tuple(region for region in regions if region.start < region.end)


def low_gap(size: int, occupied: Iterable[tuple[int, int]]) -> int:
    """Return the address of *size* free bytes of low memory for boot information.

    Args:
        size: Bytes, > 0.
        occupied: Physical ranges `[start, end)` of the kernel.

    Raises:
        BootInfoDoesNotFit: There are not so many in one piece.
    """
    base = _LOW_START
    for start, end in sorted(occupied):
        if base < end and start < base + size:
            base = end + -end % BLOCK_ALIGNMENT
    if base + size > LOW_END:
        raise BootInfoDoesNotFit(
            "the boot information (command line and module list)", size, max(0, LOW_END - base)
        )
    return base


def layout_texts(base: int, texts: Sequence[str]) -> tuple[bytes, list[int]]:
    """Return texts one after the other from *base* on, each ended by a NUL, and their addresses.

    Raises:
        ValueError: A text contains a NUL.
    """
    block, positions = bytearray(), []
    for text in texts:
        positions.append(base + len(block))
        block += text_bytes(text)
    return bytes(block), positions


def text_bytes(text: str) -> bytes:
    """Return a text for the kernel, with its NUL.

    Raises:
        ValueError: It contains another NUL.
    """
    if "\0" in text:
        raise ValueError(f"a text for the kernel contains a NUL: {text!r}")
    # Words of the shell that are not UTF-8 reach the kernel as they were typed.
    return text.encode("utf-8", "surrogateescape") + b"\0"
