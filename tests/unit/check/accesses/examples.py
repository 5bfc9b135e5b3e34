"""A bad access: a byte is written after a block of 24 bytes."""

from __future__ import annotations

from typing import Final

from emulator.machine.core.core_types import Access, Registers
from emulator.machine.core.observed import AllocatedBlock, BadAccess, Poison, Use

BLOCK: Final = AllocatedBlock(0x200008, 24, 0, 2, 1, None, None)
REGISTERS: Final = Registers._make([0] * len(Registers._fields))
_SHADOW: Final = (
    *(8 * [Poison.REDZONE], 24 * [Poison.ACCESSIBLE], 8 * [Poison.REDZONE]),
    *(16 * [Poison.FREED], 8 * [Poison.GAP]),
)
ACCESS: Final = BadAccess(
    linear=0x200020,
    physical=0x200020,
    size=1,
    access=Access.WRITE,
    poison=Poison.REDZONE,
    offset=0,
    event=2,
    callers=(),
    registers=REGISTERS,
    use=Use.NONE,
    read_at=0,
    times=1,
    time_ns=100,
    last_ns=100,
    block=BLOCK,
    distance=24,
    frame=0,
    variables=0,
    owner=0,
    around=0x200000,
    memory=bytes(range(64)),
    shadow=tuple(state for part in _SHADOW for state in part),
)
