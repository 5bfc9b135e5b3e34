"""Check a machine's accesses by what a profile says: which memory its allocators have handed out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from emulator.loader.elf.headers import EXECUTABLE_SECTION, LOADED_SECTION, WRITABLE_SECTION
from emulator.machine.core.observed import NO_COMPILED_CHECKS, CompiledChecks
from emulator.profile.binding import allocator_code
from emulator.trace.blocks.block_functions import block_functions
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from emulator.loader.image import KernelImage
    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.core.observed import BadAccesses
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile

_OF_START: Final = re.compile(r"(?<![a-z])(init|boot|setup|start|discard|multiboot)")


def check_accesses(
    machine: Machine,
    profile: Profile,
    ends_run: Callable[[BadAccesses], bool] | None = None,
    *,
    uninitialised: bool = False,
) -> CheckedAccesses:
    """Keep accesses of memory that no allocator of a profile has handed out, from now on.

    Args:
        machine: Whose calls are recorded by the profile.
        profile: With the entries that its functions have in this kernel.
        ends_run: Asked at each access of a new kind, before it is made, whether the run of the machine ends there. None: no run does.
        uninitialised: Keep uses of values that were never written, too.

    Raises:
        HostError: No memory is left.
        ValueError: The machine has the reference MMU, its calls are not recorded, or its accesses are checked already.
    """
    code = [(each.start, each.stop) for each in allocator_code(profile, machine.image)]
    image = machine.image
    compiled = NO_COMPILED_CHECKS if image.kasan is None else _compiled_checks(image)
    return machine.observers.check_accesses(
        block_functions(profile),
        kernel_objects(image),
        code,
        read_only_memory(image),
        compiled,
        ends_run,
        uninitialised=uninitialised,
    )


def _compiled_checks(image: KernelImage) -> CompiledChecks:
    from emulator.loader.kasan import (  # few kernels have them
        copying_functions,
        instrumented_code,
        reports,
        static_variables,
    )

    code = instrumented_code(image)
    shadow = {at: value for each in static_variables(image).known for at, value in each.shadow()}
    return CompiledChecks(code, [*reports(image), *copying_functions(image, code)], shadow)


def kernel_objects(image: KernelImage) -> list[tuple[int, int]]:
    """Return the physical ranges of a kernel's variables, and what lies between them in its segments; none overlap."""
    spans = sorted(
        (image.physical(each.address), each.size)
        for each in image.symbols.values()
        if each.kind == "object" and each.size
    )
    return list(_disjoint(spans, [(each.physical, each.end) for each in image.segments]))


def read_only_memory(image: KernelImage) -> list[tuple[int, int]]:
    """Return the physical ranges of a kernel's code and constants, on pages in which nothing lies that it may write to; none overlap.

    Code is that of functions whose size the symbol table says: a kernel in assembly language may have variables between them. Sections that serve the start
    only, as their names say, are left out: their memory may be used for something else later.
    """
    sections = [each for each in image.sections if each.flags & LOADED_SECTION and each.size]
    written = [
        (image.physical(each.address), image.physical(each.address) + each.size)
        for each in sections
        if each.flags & WRITABLE_SECTION
    ]
    ranges: list[range] = []
    for each in sections:
        section = range(each.address, each.address + each.size)
        if each.flags & WRITABLE_SECTION or _OF_START.search(each.name):
            continue
        is_code = each.flags & EXECUTABLE_SECTION
        ranges += [one for one in image.sized_functions if one.start in section] if is_code else [section]
    physical = sorted((image.physical(each.start), image.physical(each.start) + len(each)) for each in ranges)
    return list(_without_pages_of(_merged(physical), written))


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield ascending spans, those that overlap or touch as one."""
    now: tuple[int, int] | None = None
    for start, end in spans:
        if now is not None and start <= now[1]:
            now = now[0], max(now[1], end)
            continue
        if now is not None:
            yield now
        now = start, end
    if now is not None:
        yield now


def _without_pages_of(
    spans: Iterable[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield what is left of spans without the pages that others lie in, or a part of them."""
    pages = sorted((start & -PAGE_SIZE, -(-end // PAGE_SIZE) * PAGE_SIZE) for start, end in others)
    for start, end in spans:
        first = start
        for low, high in pages:
            if high <= first:
                continue
            if low >= end:
                break
            if first < low:
                yield first, low
            first = high
        if first < end:
            yield first, end


def _disjoint(
    spans: Iterable[tuple[int, int]], segments: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield the first of spans (start, size) that overlap, and what lies between them in the segments."""
    spans = list(spans)
    for first, last in segments:
        end = first
        for start, size in spans:
            if not end <= start < last:
                continue
            if end < start:
                yield end, start
            end = min(start + size, last)
            yield start, end
        if end < last:
            yield end, last
