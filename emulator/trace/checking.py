"""Check a machine's accesses by what a profile says: which memory its allocators have handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.machine.core.observed import BLOCK_VALUES, BlockFunction, BlockResult, BlockRole
from emulator.profile.binding import allocator_code
from emulator.profile.functions import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from emulator.loader.image import KernelImage
    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.core.observed import BadAccesses
    from emulator.machine.machine import Machine
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile

_RESULTS: Final = {
    Result.POINTER: BlockResult.POINTER,
    Result.FRAME: BlockResult.FRAME,
    Result.ERROR: BlockResult.ERROR,
}
_LENGTHS: Final = {"size", "pages", "order"}
_ALWAYS: Final = {"ptr", "frame", "when"}  # what they are counts, even where they are not known


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
    return machine.observers.check_accesses(
        block_functions(profile), kernel_objects(machine.image), code, ends_run, uninitialised=uninitialised
    )


def block_functions(profile: Profile) -> list[BlockFunction]:
    """Return what the functions of a profile do to blocks, in its order."""
    areas = profile.areas
    return [
        _block_function(each, areas.index(each.area), pages=profile.pages(each.area))
        for each in profile.functions
    ]


def kernel_objects(image: KernelImage) -> list[tuple[int, int]]:
    """Return the physical ranges of a kernel's variables, and what lies between them in its segments; none overlap."""
    spans = sorted(
        (image.physical(each.address), each.size)
        for each in image.symbols.values()
        if each.kind == "object" and each.size
    )
    return list(_disjoint(spans, [(each.physical, each.end) for each in image.segments]))


def _block_function(function: TracedFunction, area: int, *, pages: bool) -> BlockFunction:
    names = function.parameters
    values: dict[str, int] = {
        name: names.index(name)
        for name in BLOCK_VALUES
        if name in names and (name in _ALWAYS or function.knows(name))
    }
    if "count" in function.unknown:
        values.pop("size", None)
    is_frame = "frame" in names or function.result is Result.FRAME
    return BlockFunction(
        BlockRole[function.role.name],
        _RESULTS.get(function.result, BlockResult.OTHER),
        area,
        pages,
        function.stores_block,
        is_frame and not _LENGTHS & set(names),
        values,
        function.failures,
    )


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
