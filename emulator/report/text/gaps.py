"""Say what a trace of a kernel will not have, although its profile asks for it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from emulator.loader.builtin import is_built_in
from emulator.loader.debug_gaps import Reason, debug_gaps
from emulator.loader.functions.names import find_functions
from emulator.profile.binding import unknown_parameters
from emulator.profile.functions import Role
from emulator.wording import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.loader.debug_gaps import DebugGap
    from emulator.loader.image import KernelImage
    from emulator.profile.binding import UnknownParameter
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile

_CALLERS_MAX: Final = 4
_GLOB: Final = set("*?")
_WHY: Final = {
    Reason.UNKNOWN_COMPRESSION: "damaged, or compressed neither by zlib nor by zstd",
    Reason.NO_FILE: "neither beside the kernel nor in .debug",
    Reason.OTHER_BUILD: "of another build than the kernel (its checksum differs)",
    Reason.SPLIT_MISSING: "not found, or of another build than the kernel",
    Reason.SPLIT_DWARF_4: "split files of DWARF 4; compile with -gdwarf-5",
}


def missing_lines(given: Profile, profile: Profile, image: KernelImage) -> Iterator[str]:
    """Yield a line for each function that a kernel lacks, and that it may have under a similar name.

    Args:
        given: As the user wrote it.
        profile: As it was matched with the kernel.
        image: The kernel.
    """
    there = {each.original for each in profile.functions}
    lacking = [
        each
        for each in given.functions
        if not (each.name in there or _GLOB & set(each.name) or find_functions(image, each.name))
    ]
    if lacking:
        from emulator.profile.discovery.similar import similar_names  # most kernels have all functions

        for name, names in similar_names(lacking, profile, image):
            yield f"the kernel has no {name} (similar: {', '.join(names)})"


def gap_lines(profile: Profile, image: KernelImage) -> Iterator[str]:
    """Yield lines about debug information that is not read, a KASAN runtime of the kernel's own, unknown parameters of functions, and copies of them inside of others.

    Args:
        profile: As it was matched with the kernel.
        image: The kernel.
    """
    yield from debug_lines(image)
    if image.has_own_kasan:
        yield "the kernel has a KASAN runtime of its own, which is left alone"
    if image.kasan is not None:
        yield from _variable_lines(image)
    for name, unknown in groupby(unknown_parameters(profile), key=lambda each: each.function):
        yield f"not known of {name}: {_with_reasons(unknown)}"
    for function in profile.functions:
        if function.copies is not None:
            yield _copies_text(function, image)


def _variable_lines(image: KernelImage) -> Iterator[str]:
    """Yield a line where accesses beside static variables are not found in a kernel that was compiled with KASAN."""
    from emulator.loader.kasan import static_variables  # few kernels were compiled so

    known, unread = static_variables(image)
    if unread:
        yield f"static variables of {counted(unread, 'file')} are not checked: what describes them is not found"
    elif not known:
        yield "static variables are not checked: no file describes any for KASAN"


def debug_lines(image: KernelImage) -> Iterator[str]:
    """Yield lines about debug information that is not read."""
    if not is_built_in(image.path):
        yield from map(_debug_text, debug_gaps(image))


def _debug_text(gap: DebugGap) -> str:
    first, others = gap.names[0], len(gap.names) - 1
    more = f" and {counted(others, 'other')}" if others else ""
    return f"debug information is not read: {printable(first)}{more}: {_WHY[gap.reason]}"


def _copies_text(function: TracedFunction, image: KernelImage) -> str:
    addresses = [entry.address for entry in function.entries]
    callers = [image.location(each).function or f"0x{each:08x}" for each in addresses]
    where = ", ".join([*dict.fromkeys(callers)][:_CALLERS_MAX])
    what = "blocks it gives back"
    if function.copies is Role.SEED:
        what = "memory it gives to the allocator"
    elif function.copies is not None and function.copies.makes_block:
        what = "blocks it makes"
    return f"{function.original} is inlined in {where} ({counted(len(addresses), 'time')}): which {what} there is not known"


def _with_reasons(unknown: Iterable[UnknownParameter]) -> str:
    """Return names of parameters, each reason behind the last one that it holds for."""
    reasons = groupby(unknown, key=lambda each: each.reason)
    return ", ".join(f"{', '.join(each.parameter for each in those)} ({reason})" for reason, those in reasons)
