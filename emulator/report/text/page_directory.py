"""Write the address space of a page directory in a RAM image as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.text.spaces import space_lines
from emulator.report.text.style import BOLD, labelled
from emulator.wording import address_range, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.guest.ram_image.directory import DirectoryFacts
    from emulator.report.text.style import Style


def page_directory_lines(facts: DirectoryFacts, style: Style) -> Iterator[str]:
    """Yield the report, line by line."""
    yield style.paint(printable(facts.image), BOLD) + ": RAM image"
    yield ""
    for label, text in _rows(facts):
        yield from labelled(label, text, style)
    yield ""
    yield from space_lines(facts.spaces, style)
    for frame, start in facts.tables:
        yield f"  table 0x{frame:08x} {'is a directory' if start is None else f'for 0x{start:08x}'}"


def _rows(facts: DirectoryFacts) -> Iterator[tuple[str, str]]:
    yield "RAM", " ".join(address_range(*span) for span in facts.ram)
    yield "CR0", f"0x{facts.cr0:08x}, paging {'on' if facts.is_paged else 'off'}"
    yield "CR3", f"0x{facts.cr3:08x}"
    yield "CR4", f"0x{facts.cr4:08x}, tables of {'three' if facts.is_pae else 'two'} levels"
    if facts.is_pae:
        yield "EFER", _NX[facts.nx]


_NX = {
    True: "NXE: bit 63 of an entry forbids execution",
    False: "no NXE: bit 63 of an entry is reserved",
    None: "not in the file: bit 63 of an entry is taken to forbid execution",
}
