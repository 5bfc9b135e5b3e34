"""What a kernel file holds: the facts, their text for people, and their JSON."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.boot_protocol.multiboot import HeaderFlags, MultibootHeader, find_header
from emulator.hle.kernels import KERNELS
from emulator.report.text.style import BOLD, address_range, human_size, labelled, printable
from kernel_model.memory import ByteMemory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.hle.kernels import Kernel
    from emulator.loader.elf.symbols import Symbol
    from emulator.loader.image import KernelImage, Segment
    from emulator.report.text.style import Style

VERSION = 1
_FUNCTIONS_TRIED = 64


class Inspection(NamedTuple):
    """A kernel file.

    Attributes:
        kernel: As the user named it.
        file_size: Bytes.
        entry: Linked address of the first instruction.
        entry_location: The same for people.
        end: The linker symbol ``__end``.
        symbol_count: Defined symbols.
        function_count: Those that are functions.
        has_lines: There is line information for the functions.
        missing: Layer -> the symbols that it would need and that are not there.
    """

    kernel: str
    file_size: int
    segments: tuple[Segment, ...]
    entry: int
    entry_location: str
    end: int | None
    multiboot: MultibootHeader | None
    symbol_count: int
    function_count: int
    has_lines: bool
    missing: Mapping[str, tuple[str, ...]]


def inspect_image(image: KernelImage, kernel: str) -> Inspection:
    """Collect the facts.

    Raises:
        BadImage: The symbol table is damaged, or the Multiboot header asks for what does not exist.
    """
    symbols = image.symbols
    functions = [symbol for symbol in symbols.values() if symbol.kind == "function"]
    end = image.symbol("__end")
    return Inspection(
        kernel,
        len(image.data),
        image.segments,
        image.entry,
        image.location(image.entry),
        None if end is None else end.address,
        find_header(image.data, image.path),
        len(symbols),
        len(functions),
        any(image.source_line(each.address) for each in islice(functions, _FUNCTIONS_TRIED)),
        _missing(symbols),
    )


def _missing(symbols: Mapping[str, Symbol]) -> dict[str, tuple[str, ...]]:
    return {
        layer: tuple(name for name in names if name not in symbols)
        for kernel in KERNELS
        for layer, names in _needed(kernel).items()
    }


def _needed(kernel: Kernel) -> dict[str, list[str]]:
    every_symbol = {name: 0 for names in kernel.symbols.values() for name in names}
    functions = kernel.models(
        ByteMemory(0, 0), every_symbol, print
    ).functions.values()  # for their names only
    return {
        layer: [*kernel.symbols[layer], *(each.name for each in functions if each.layer == layer)]
        for layer in kernel.layers
    }


def inspection_lines(facts: Inspection, style: Style) -> Iterator[str]:
    """Return the report, line by line."""
    yield (
        style.paint(printable(facts.kernel), BOLD)
        + f": ELF32 executable for i386, {human_size(facts.file_size)}"
    )
    yield ""
    yield from _segment_lines(facts, style)
    yield ""
    for label, text in _rows(facts):
        yield from labelled(label, printable(text), style, indent=13)


def _segment_lines(facts: Inspection, style: Style) -> Iterator[str]:
    yield style.paint(style.cut("segment at physical    linked at  in memory    in file"), BOLD)
    for segment in facts.segments:
        flags = "".join(flag.name or "" if flag in segment.flags else "-" for flag in type(segment.flags))
        places = f"{address_range(segment.physical, segment.end)}  0x{segment.virtual:08x}"
        sizes = f"{human_size(segment.size):>10} {human_size(len(segment.data)):>10}"
        yield from style.folded(f"{places} {sizes}  {flags[::-1]}")


def _rows(facts: Inspection) -> Iterator[tuple[str, str]]:
    yield "entry", f"0x{facts.entry:08x}  {facts.entry_location}"
    yield "__end", "no such symbol" if facts.end is None else f"0x{facts.end:08x}"
    yield "multiboot", _multiboot_text(facts.multiboot)
    yield "symbols", f"{facts.symbol_count}, {facts.function_count} of them functions"
    yield "source lines", "yes" if facts.has_lines else "no (compile with -g to see them)"
    known = next(
        (each.name for each in KERNELS if not any(facts.missing[layer] for layer in each.layers)), None
    )
    for layer, missing in facts.missing.items():
        if not missing:
            yield f"layer {layer}", "can run native, as model, or in lockstep"
        elif known is not None:
            yield f"layer {layer}", f"no: the kernel is {known}"
        else:
            yield f"layer {layer}", f"no: the kernel lacks {', '.join(missing)}"


def _multiboot_text(header: MultibootHeader | None) -> str:
    if header is None:
        return "no header in the first 8192 bytes; the kernel starts without boot information"
    names = ", ".join(flag.name or "" for flag in HeaderFlags if flag in header.flags)
    return f"header at file offset 0x{header.offset:x}, flags 0x{header.flags:08x}" + (
        f" ({names})" if names else ""
    )


def inspection_document(facts: Inspection) -> dict[str, Any]:
    """Return the facts for JSON."""
    header = facts.multiboot
    return {
        "version": VERSION,
        "kernel": facts.kernel,
        "file_size": facts.file_size,
        "segments": [
            {
                "physical": segment.physical,
                "virtual": segment.virtual,
                "size": segment.size,
                "file_size": len(segment.data),
                "flags": [flag.name for flag in type(segment.flags) if flag in segment.flags],
            }
            for segment in facts.segments
        ],
        "entry": facts.entry,
        "entry_location": facts.entry_location,
        "end": facts.end,
        "multiboot": None if header is None else {"offset": header.offset, "flags": int(header.flags)},
        "symbols": facts.symbol_count,
        "functions": facts.function_count,
        "source_lines": facts.has_lines,
        "layers": {
            layer: {"available": not missing, "missing": missing} for layer, missing in facts.missing.items()
        },
    }
