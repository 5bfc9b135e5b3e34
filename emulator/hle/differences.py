"""Where guest memory is not as a model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.x86 import PAGE_SIZE, WORD_SIZE
from kernel_model.text import location_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from emulator.machine.core.core_types import Written
    from emulator.machine.memory import PhysicalMemory
    from kernel_model.audit import Location


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where native code and model disagree.

    Attributes:
        place: ``result``, ``console``, a register or flag, or the address and what lies there.
        expected: What the model says.
        actual: What the native code did.
        address: Physical, of the word, or of those bytes in it that *place* names; None: it is no place in memory.
        size: Bytes, 1 to 4; 0: it is no place in memory.
    """

    place: str
    expected: str
    actual: str
    address: int | None = None
    size: int = 0

    def __str__(self) -> str:
        return f"{self.place}: expected {self.expected}, actual {self.actual}"


def memory_differences(
    memory: PhysicalMemory,
    changes: Mapping[int, int],
    written: Written,
    left_out: range,
    locate: Callable[[int, int], Location | None],
) -> Iterator[Difference]:
    """Yield the words that are not as they were before, with the model's changes.

    Args:
        memory: As it is now.
        changes: Each byte that the model wrote: physical address -> value.
        written: The pages that the native code wrote.
        left_out: Physical addresses that are not compared.
        locate: Returns what so many bytes from an address on are.
    """
    pages = dict(written.pages)
    for address in changes:
        page = address & -PAGE_SIZE
        if page not in pages:
            pages[page] = memory.read(page, PAGE_SIZE)  # the native code left it alone
    for page in sorted(pages):
        expected = bytearray(pages[page])
        for address, value in changes.items():
            if address & -PAGE_SIZE == page:
                expected[address - page] = value
        actual = bytearray(memory.read(page, PAGE_SIZE))
        own = slice(max(left_out.start - page, 0), max(min(left_out.stop - page, PAGE_SIZE), 0))
        expected[own] = actual[own]
        if expected != actual:
            marks = written.marked.get(page, bytes(PAGE_SIZE))
            yield from _word_differences(page, bytes(expected), bytes(actual), marks, locate)


def _word_differences(
    page: int, expected: bytes, actual: bytes, marks: bytes, locate: Callable[[int, int], Location | None]
) -> Iterator[Difference]:
    for offset in range(0, PAGE_SIZE, WORD_SIZE):
        word = slice(offset, offset + WORD_SIZE)
        if expected[word] == actual[word]:
            continue
        differing = [
            at for at in range(offset, offset + WORD_SIZE) if (expected[at] ^ actual[at]) & ~marks[at] & 0xFF
        ]
        if differing:
            yield _difference(page, differing, offset, expected, actual, locate)


def _difference(
    page: int,
    differing: list[int],
    offset: int,
    expected: bytes,
    actual: bytes,
    locate: Callable[[int, int], Location | None],
) -> Difference:
    """Return a difference in a word: the whole of it where it has one name or none, else the bytes that differ."""
    first, stop = differing[0], differing[-1] + 1
    location = locate(page + first, stop - first)
    if location is None or location == locate(page + offset, WORD_SIZE):
        first, stop = offset, offset + WORD_SIZE
    address, size = page + first, stop - first
    values = [int.from_bytes(each[first:stop], "little") for each in (expected, actual)]
    return Difference(
        f"0x{address:08x}" if location is None else f"0x{address:08x} {location_text(location)}",
        f"0x{values[0]:0{2 * size}x}",
        f"0x{values[1]:0{2 * size}x}",
        address,
        size,
    )
