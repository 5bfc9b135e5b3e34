"""What the page tables of any kernel must not map at the end of a run, where its profile says so.

Theory. A kernel may free a page first and clear its entry afterwards, so nothing is said of the middle of a run. At the end, a page
that has been freed and is still mapped is used by two as soon as it is handed out again; so is one that two programs may
write to and that has one owner. The direct map does not count (`address_spaces`), nor does the address by which the allocator
itself calls a page.

Shortcomings. The spaces are those that the leak search knows: CR3's, and those of page directories in live blocks. A freed page
whose address is not mapped any more is known only if the allocator names frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.area import Area
from emulator.check.findings import Finding, Kind, with_rest
from emulator.check.leaks.live_blocks import located
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.queries.distinct import are_among
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.leaks.address_spaces import Pages
    from emulator.check.leaks.guest_words import GuestWords
    from emulator.profile.model import SpaceRules
    from emulator.trace.trace import Trace

_FINDINGS_MAX: Final = 16


class _Page(NamedTuple):
    """A page of a block.

    Attributes:
        area: Whose block.
        row: The position of the block in its area.
        linear: The address that the page has in it.
        named: The same as the allocator has it, which may be a physical address.
    """

    area: Area
    row: int
    linear: int
    named: int

    @property
    def is_live(self) -> bool:
        return int(self.area.blocks.died[self.row]) == NEVER

    @property
    def is_shared(self) -> bool:
        """Whether it has had another owner since it was allocated."""
        shares = self.area.operations.shares
        start = self.area.blocks.address[self.row].astype(np.int64)
        end = start + self.area.blocks.size[self.row]
        covers = (shares.address < end) & (
            shares.address.astype(np.int64) + np.maximum(shares.size, 1) > start
        )
        return bool((covers & (shares.event > self.area.blocks.born[self.row])).any())

    def finding(self, message: str, *details: str) -> Finding:
        """Return a finding about it."""
        block = self.area.call_sites.history(self.area.blocks, self.row)
        return Finding(Kind.MAPPING, self.area.name, message, None, block, details=details)


def broken_rules(trace: Trace, memory: GuestWords, rules: SpaceRules) -> list[Finding]:
    """Return the pages that are mapped against the rules of a profile, at the end of a run that the kernel ended itself.

    Args:
        trace: The whole run.
        memory: The memory of the machine, which stands at the end.
        rules: Of the kernel's profile.
    """
    if memory.spaces is None or not (rules.freed_but_mapped or rules.writable_twice):
        return []
    pages = _pages_by_frame(trace, memory)
    spaces = list(_spaces(memory, rules, pages))
    found = [*_freed(spaces, pages)] if rules.freed_but_mapped else []
    found += _writable_twice(spaces, pages) if rules.writable_twice else []
    return with_rest(found[:_FINDINGS_MAX], len(found))


def _pages_by_frame(trace: Trace, memory: GuestWords) -> dict[int, _Page]:
    """Return the pages of all blocks of pages by their frames; of each frame the one that was allocated last."""
    found: dict[int, _Page] = {}
    for area in (Area(trace, name) for name in trace.areas if trace.profile.pages(name)):
        addresses, unmapped = located(area, area.blocks.address.astype(np.int64), memory)
        for row, (start, is_physical) in enumerate(zip(addresses.tolist(), unmapped.tolist(), strict=True)):
            named = int(area.blocks.address[row])
            for offset in range(0, int(area.blocks.size[row]), PAGE_SIZE):
                linear = start + offset
                physical = linear if is_physical else memory.physical(linear)
                if physical is not None:
                    found[physical // PAGE_SIZE] = _Page(area, row, linear, named + offset)
    return found


def _spaces(memory: GuestWords, rules: SpaceRules, pages: dict[int, _Page]) -> Iterator[tuple[int, Pages]]:
    """Yield the directory of each space, and what it maps outside direct maps; tables that spaces share once."""
    walker = memory.walker()
    if walker is None:
        return
    others = [
        PAGE_SIZE * frame
        for frame, page in pages.items()
        if page.is_live and walker.is_directory(PAGE_SIZE * frame)
    ]
    for directory in dict.fromkeys([walker.current, *others]):
        mapped = walker.walk(directory)
        for start, end in rules.direct_map:
            mapped = mapped.where((mapped.linear < start) | (mapped.linear >= end))
        yield directory, mapped


def _freed(spaces: list[tuple[int, Pages]], pages: dict[int, _Page]) -> Iterator[Finding]:
    freed = {frame: page for frame, page in pages.items() if not page.is_live}
    frames = np.array(sorted(freed), np.int64)
    for directory, mapped in spaces:
        chosen = mapped.where(are_among(mapped.frame, frames))
        for linear, frame in zip(chosen.linear.tolist(), chosen.frame.tolist(), strict=True):
            page = freed[frame]
            if linear != page.linear:
                message = (
                    f"bad mapping: page 0x{page.named:08x} has been freed, and is mapped at 0x{linear:08x}"
                )
                yield page.finding(message, f"by the page directory at 0x{directory:08x}")


def _writable_twice(spaces: list[tuple[int, Pages]], pages: dict[int, _Page]) -> list[Finding]:
    holders: dict[int, dict[int, int]] = {}
    for directory, mapped in spaces:
        open_to_programs = mapped.where(mapped.programs)
        pairs = zip(open_to_programs.frame.tolist(), open_to_programs.linear.tolist(), strict=True)
        for frame, linear in pairs:
            if frame in pages and pages[frame].is_live:
                holders.setdefault(frame, {})[directory] = linear
    found = []
    for frame, where in holders.items():
        page = pages[frame]
        if len(where) > 1 and not page.is_shared:
            message = f"bad mapping: page 0x{page.named:08x} has one owner, and programs may write to it in {len(where)} spaces"
            lines = (
                f"at 0x{linear:08x}, by the page directory at 0x{at:08x}" for at, linear in where.items()
            )
            found.append(page.finding(message, *lines))
    return found
