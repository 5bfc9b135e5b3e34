"""What the functions of a profile do to blocks, as the core understands it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.machine.core.observed import BLOCK_VALUES, BlockFunction, BlockResult, BlockRole
from emulator.profile.functions import Result

if TYPE_CHECKING:
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile

_RESULTS: Final = {
    Result.POINTER: BlockResult.POINTER,
    Result.FRAME: BlockResult.FRAME,
    Result.ERROR: BlockResult.ERROR,
}
_LENGTHS: Final = {"size", "pages", "order"}
_ALWAYS: Final = {"ptr", "frame", "when"}  # what they are counts, even where they are not known


def block_functions(profile: Profile) -> list[BlockFunction]:
    """Return what the functions of a profile do to blocks, in its order."""
    areas = profile.areas
    return [
        _block_function(each, areas.index(each.area), pages=profile.pages(each.area))
        for each in profile.functions
    ]


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
