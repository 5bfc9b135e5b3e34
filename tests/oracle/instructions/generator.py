"""Random cases: the same seed makes the same ones, on every host."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

from tests.oracle.instructions import fpu, integer, system
from tests.oracle.instructions.cases import disassembled, first_size, goes_back, is_whole
from tests.oracle.instructions.encodings import EM, TS, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.oracle.instructions.cases import Case

_KINDS: dict[Callable[[State], bytes], int] = {
    integer.arithmetic: 12,
    integer.unary: 8,
    integer.multiply: 3,
    integer.move: 10,
    integer.shift: 8,
    integer.decimal: 4,
    integer.bits: 5,
    integer.exchange: 4,
    integer.string: 8,
    system.stack: 8,
    system.jump: 6,
    system.sequence: 8,
    system.far_jump: 6,
    system.segment: 8,
    system.interrupt: 5,
    system.privileged: 6,
    system.garbage: 6,
    fpu.x87: 8,
    fpu.mmx: 4,
    fpu.sse: 8,
}
"""Categories, and how often each comes."""

_UNEQUAL = frozenset(b"\xc6\xc7\x8f\xf0")  # see docs/differences.md
_TO_RING_3 = (system.far_jump, system.garbage)
_HOST_OR_CPU = re.compile(
    r"\b(rdtscp?|cpuid|rdrand|rdseed|rdpmc|xgetbv|rdmsr|wrmsr|syscall|sysret|monitor|mwait)\b"
)
"""What depends on time, or on what CPU it is."""


def cases(seed: int, count: int, only: str = "", rings: Sequence[int] = (0, 3)) -> Iterator[Case]:
    """Make random cases.

    Args:
        seed: For all that is random.
        count: How many.
        only: Name of a category; empty: of all.
        rings: In which they run.

    Raises:
        ValueError: There is no such category.
    """
    random = Random(seed)
    kinds = {
        kind: weight
        for kind, weight in _KINDS.items()
        if only in {"", kind.__name__} and (kind not in _TO_RING_3 or 3 in rings)
    }
    if not kinds:
        raise ValueError(f"no category is called {only!r}: {', '.join(kind.__name__ for kind in _KINDS)}")
    made = 0
    while made < count:
        (kind,) = random.choices(list(kinds), list(kinds.values()))
        state = State(random, rings)
        code = kind(state)
        if kind.__module__ == integer.__name__:
            code = state.prefixed(code)
        if state.ring not in rings or len(code) > 46 or not _fits(kind, code):
            continue
        size = first_size(code)
        # Over the end of the page, after which there is none. (A CPU without FPU does not look so far.)
        if random.random() < 0.03 and state.ring and size > 1 and not state.cr0 & (EM | TS):
            state.eip = (state.eip & ~0xFFF) + 0x1000 - random.randrange(1, size)
        made += 1
        yield state.case(kind.__name__, code)


def _fits(kind: Callable[[State], bytes], code: bytes) -> bool:
    """Return whether two CPUs have to agree on it."""
    if kind is system.garbage:
        return not (
            _UNEQUAL.intersection(code) or goes_back(code) or _HOST_OR_CPU.search(disassembled(code, 0))
        )
    return kind.__module__ != fpu.__name__ or is_whole(code)
