"""Which functions a kernel calls from some of its code only."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from emulator.loader.image import KernelImage

_BRANCH: Final = re.compile(rb"(?=[\xe8\xe9]|\x0f[\x80-\x8f]|[\xeb\x70-\x7f])")
"""Where a call or a jump to a distance may begin (Intel SDM vol. 2, CALL, JMP, Jcc); of 32 bits, or of 8."""
_FRAME: Final = (0x41B58AB3).to_bytes(4, "little")
"""With which a frame begins that code compiled with KASAN describes; the function's address follows."""
_TWO_BYTES: Final = 0x0F
_FAR: Final = b"\xe8\xe9"


def private_functions(image: KernelImage, code: Iterable[range]) -> frozenset[range]:
    """Return the functions that are reached from a part of the code only, by calls and jumps, and from each other.

    A function whose address stands anywhere in the kernel, as a number, may be reached from elsewhere and is left out. Bytes that merely look
    like a call or a jump can only make the answer shorter.

    Args:
        image: The kernel.
        code: Linked addresses of functions, which are not among the answer.

    Raises:
        BadImage: The symbol table is damaged.
    """
    sites = _sites(image)
    allowed = list(code)
    given = len(allowed)
    fresh = allowed
    while fresh:
        reached = {
            target for each in fresh for _, target in _branches(image.code(each.start, len(each)), each.start)
        }
        candidates = (image.function_extent(target) for target in sorted(reached))
        fresh = [
            each
            for each in candidates
            if each and each not in allowed and _is_private(image, each, allowed, sites)
        ]
        allowed = [*allowed, *fresh]
    return frozenset(allowed[given:])


def _is_private(
    image: KernelImage, function: range, allowed: Sequence[range], sites: Mapping[int, Sequence[int]]
) -> bool:
    callers = sites.get(function.start, ())
    is_called = all(any(at in each for each in (*allowed, function)) for at in callers)
    return bool(callers) and is_called and not _is_stored(image, function)


def _sites(image: KernelImage) -> dict[int, list[int]]:
    """Return from where calls and jumps lead to other functions: linked address -> those of the instructions."""
    sites: dict[int, list[int]] = defaultdict(list)
    for section in image.code_sections:
        text = image.code(section.start, len(section))
        for at, target in _branches(text, section.start):
            if target in section:
                sites[target].append(at)
    return sites


def _branches(text: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Yield the linked address of each branch, and where it leads to.

    One to what follows would be none; 76 00 ends the three bytes that assemblers put between functions (8d 76 00).
    """
    for found in _BRANCH.finditer(text):
        at = found.start()
        opcode, size = (2, 4) if text[at] == _TWO_BYTES else (1, 4) if text[at] in _FAR else (1, 1)
        end = at + opcode + size
        distance = int.from_bytes(text[end - size : end], "little", signed=True)
        if end <= len(text) and distance:
            yield start + at, start + end + distance


def _is_stored(image: KernelImage, function: range) -> bool:
    """Return whether a function's address stands in the kernel, other than in what says how to unwind it, or describes its frames for KASAN."""
    number, unwinding = function.start.to_bytes(4, "little"), image.unwind_ranges
    places = [
        segment.virtual + found.start()
        for segment in image.segments
        for found in re.finditer(re.escape(number), segment.data)
    ]
    its_own = [place for place in places if place in function]
    describes = len(its_own) == image.code(function.start, len(function)).count(_FRAME)
    return any(
        not (place in function and describes) and not any(place in each for each in unwinding)
        for place in places
    )
