"""Follows the instructions of the guest from an address on.

Theory. Every path is followed: past calls, and over jumps, also those into other functions. Calls into the middle of the function that they stand
in are jumps as well, after which a return address is dropped: thunks for returns and for indirect branches are written so. What no path reaches is not
followed, so data in the code does no harm. Only where a path ends in an indirect jump, perhaps through a table of cases,
its targets are not known: then all of the function that the jump stands in is taken for code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.machine.code.steps import Next, Step, read_step
from emulator.x86 import LONGEST_INSTRUCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.loader.image import KernelImage

    Code = Callable[[int, int], bytes]

_READ_AT_ONCE: Final = 128  # bytes, more than the longest instruction
_MOST_INSTRUCTIONS: Final = 20_000  # far more than any function has; ends a search through data

_NEVER_GO_ON: Final = frozenset((Next.JUMP, Next.INDIRECT, Next.RETURN, Next.LEAVE))
_MAY_NOT_GO_ON: Final = frozenset((Next.CALL, Next.STOP))


class Jump(NamedTuple):
    """A direct jump.

    Attributes:
        address: Its own.
        target: Where it leads to.
        fall_through: Where it goes on if it is conditional and not taken.
    """

    address: int
    target: int
    fall_through: int


class Flow:
    """The instructions that can be reached from an address.

    Args:
        image: The kernel, for its symbols.
        code: Returns the bytes at a linked address: as many as it is asked for, or fewer where there are no more.
        start: The address.

    Attributes:
        returns: Addresses of the `ret` instructions (those that return to the same code segment).
        jumps: All direct jumps.

    Raises:
        BadImage: The symbol table is damaged.
    """

    def __init__(self, image: KernelImage, code: Code, start: int) -> None:
        self.returns: set[int] = set()
        self.jumps: list[Jump] = []
        self._image = image
        self._code = code
        self._sizes: dict[int, int] = {}  # of what was decoded, by address
        self._indirect: list[int] = []
        self._follow(start)
        self._sweep_after_indirect_jumps()

    def _sweep_after_indirect_jumps(self) -> None:
        swept = set()
        while self._indirect:
            extent = self._image.function_extent(self._indirect.pop())
            if extent is not None and extent not in swept:
                swept.add(extent)
                self._sweep(extent)

    def _sweep(self, extent: range) -> None:
        """Take a whole function for code."""
        address = extent.start
        while address < extent.stop and len(self._sizes) < _MOST_INSTRUCTIONS:
            self._follow(address)
            address += self._sizes.get(address, 1)

    def _follow(self, start: int) -> None:
        pending = [start]
        while pending:
            for step in self._path(pending.pop()):
                self._note(step, pending)
                if self._is_last(step):
                    break

    def _path(self, address: int) -> Iterator[Step]:
        """Yield the instructions from an address on, up to one that is known already or that is none."""
        while code := self._code(address, _READ_AT_ONCE):
            start = address
            for step in _steps(code, start):
                if address in self._sizes or len(self._sizes) >= _MOST_INSTRUCTIONS:
                    return
                self._sizes[address] = step.size
                yield step
                address += step.size
            if address == start:
                self._sizes.setdefault(address, 1)
                return

    def _note(self, step: Step, pending: list[int]) -> None:
        """Note a `ret`, and where a jump, or a call that is one, leads to."""
        match step.next:
            case Next.RETURN:
                self.returns.add(step.address)
            case Next.JUMP | Next.BRANCH:
                self.jumps.append(Jump(step.address, step.target, step.address + step.size))
                pending.append(step.target)
            case Next.INDIRECT:
                self._indirect.append(step.address)
            case Next.CALL:
                extent = self._image.function_extent(step.address)
                if extent is not None and step.target in extent and step.target != extent.start:
                    pending.append(step.target)

    def _is_last(self, step: Step) -> bool:
        """Return whether nothing after an instruction belongs to its path."""
        # Where a compiler knows that a call does not return, it puts nothing after it.
        return step.next in _NEVER_GO_ON or (step.next in _MAY_NOT_GO_ON and self._ends_function(step))

    def _ends_function(self, step: Step) -> bool:
        found = self._image.function_at(step.address)
        return found is not None and found[1] + step.size == found[0].size


def _steps(code: bytes, address: int) -> Iterator[Step]:
    """Yield the instructions of a piece of code up to where there is none, or it may be cut off; not if it is the first."""
    at = 0
    while at == 0 or len(code) - at >= LONGEST_INSTRUCTION:
        step = read_step(code, at, address + at)
        if step is None:
            from emulator.machine.code.unusual_steps import decode_step  # few functions have any

            step = decode_step(code[at:], address + at)
        if step is None:
            return
        yield step
        at += step.size
