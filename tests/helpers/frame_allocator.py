"""An allocator of frames whose functions do nothing: how they are called says all."""

from __future__ import annotations

from typing import Final

from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole
from emulator.machine.recording import RecordedFunction

ALLOCATOR: Final = """
        jmp     9f
        function seed
        ret
        ends    seed
        function make
        movl    4(%esp), %eax
        ret
        ends    make
        function drop
        ret
        ends    drop
9:
"""
"""Needs `tests.helpers.guest.FUNCTION`. ``seed(start, end)`` in linear addresses, ``make(frame, size)``, ``drop(frame)``."""
FUNCTIONS: Final = (RecordedFunction("seed", 2), RecordedFunction("make", 2), RecordedFunction("drop", 1))


def _role(kind: BlockRole, **values: int) -> BlockFunction:
    result = BlockResult.FRAME if kind is BlockRole.ALLOC else BlockResult.OTHER
    return BlockFunction(
        kind, result, 0, pages=False, stores_block=False, is_one_page=False, values=values, failures=()
    )


ROLES: Final = (
    _role(BlockRole.SEED, start=0, end=1),
    _role(BlockRole.ALLOC, size=1),
    _role(BlockRole.FREE, frame=0),
)
"""Of its functions."""
