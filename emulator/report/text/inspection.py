"""Write what a kernel file holds as lines."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from emulator.loader.multiboot1 import HeaderFlags
from emulator.loader.multiboot2 import Multiboot2Header
from emulator.report.text.style import BOLD, labelled
from emulator.wording import address_range, human_size, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.hle.inspection import Inspection
    from emulator.loader.multiboot1 import MultibootHeader
    from emulator.report.text.style import Style

_NAMES_SHOWN = 6


def inspection_lines(facts: Inspection, style: Style) -> Iterator[str]:
    """Yield the report, line by line."""
    yield (
        style.paint(printable(facts.kernel), BOLD)
        + f": {'ELF32 executable for i386' if facts.is_elf else 'raw image'}, {human_size(facts.file_size)}"
    )
    yield ""
    yield from _segment_lines(facts, style)
    yield ""
    for label, text in _rows(facts):
        yield from labelled(label, printable(text), style, indent=14)


def _segment_lines(facts: Inspection, style: Style) -> Iterator[str]:
    yield style.paint(style.cut("segment at physical    linked at  in memory    in file"), BOLD)
    for segment in facts.segments:
        flags = "".join(flag.name or "" if flag in segment.flags else "-" for flag in type(segment.flags))
        addresses = f"{address_range(segment.physical, segment.end)}  0x{segment.virtual:08x}"
        sizes = f"{human_size(segment.size):>10} {human_size(len(segment.data)):>10}"
        yield from style.folded(f"{addresses} {sizes}  {flags[::-1]}")


def _rows(facts: Inspection) -> Iterator[tuple[str, str]]:
    yield "entry", f"0x{facts.entry:08x}  {facts.entry_location}"
    yield "__end", "no such symbol" if facts.end is None else f"0x{facts.end:08x}"
    yield "multiboot", _multiboot_text(facts.multiboot)
    yield "symbols", f"{facts.symbol_count}, {facts.function_count} of them functions"
    yield "source lines", "yes" if facts.has_lines else "no (compile with -g to see them)"
    yield "profile", _profile_text(facts)
    for layer, missing in facts.missing.items():
        if not missing:
            yield f"layer {layer}", "can run native, as model, or in lockstep"
        elif facts.modelled is not None and not facts.has_layer(layer):
            yield f"layer {layer}", f"no: the kernel is {facts.modelled}"
        elif facts.is_near(layer):
            yield f"layer {layer}", f"no: the kernel lacks {', '.join(missing)}"


def _profile_text(facts: Inspection) -> str:
    if facts.profile:
        return facts.profile
    names, more = facts.allocators[:_NAMES_SHOWN], len(facts.allocators) - _NAMES_SHOWN
    rest = f", {more} more" if more > 0 else ""
    known = f"it has {', '.join(names)}{rest}; " if names else ""
    return f"no built-in one fits; {known}kmemu init {shlex.quote(facts.kernel)} writes one"


def _multiboot_text(header: MultibootHeader | Multiboot2Header | None) -> str:
    if header is None:
        return "no header in the first 8192 bytes; the kernel starts without boot information"
    if isinstance(header, Multiboot2Header):
        tags = ", ".join(tag.name for tag in header.tags)
        return f"version 2, header at file offset 0x{header.offset:x}, tags: {tags or 'none'}"
    names = ", ".join(flag.name or "" for flag in HeaderFlags if flag in header.flags)
    return f"header at file offset 0x{header.offset:x}, flags 0x{header.flags:08x}" + (
        f" ({names})" if names else ""
    )
