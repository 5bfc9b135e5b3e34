"""Which kinds of findings a check has looked for: "nothing found" says something only of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.check.findings import Kind
from emulator.profile.model import Role

if TYPE_CHECKING:
    from emulator.check.run import EndedRun
    from emulator.check.structures.state import StateChecks
    from emulator.profile.model import Profile

_OF_STRUCTURES: Final = {Kind.CORRUPTION, Kind.BITMAP, Kind.REFCOUNT, Kind.RESERVED, Kind.DEADLOCK}
_LENGTHS: Final = {"size", "pages", "order"}


def looked_for(
    profile: Profile, run: EndedRun, state: StateChecks | None, *, walked: bool, is_rerun: bool
) -> frozenset[Kind]:
    """Return what a check has looked for.

    Args:
        profile: What was recorded.
        run: That is over.
        state: What is known of the kernel's structures; None: nothing.
        walked: They were looked at, while they had to be whole, at least once.
        is_rerun: The kernel may be run once more.
    """
    kinds = set(Kind) - _OF_STRUCTURES
    if state is not None:
        kinds |= state.kinds
        if not walked:
            kinds.discard(Kind.CORRUPTION)
        if not state.quiet:
            kinds -= {Kind.BITMAP, Kind.REFCOUNT}
    if not run.by_itself:
        kinds -= {Kind.LEAK, Kind.LOCK_HELD, Kind.DEADLOCK}
    if not is_rerun:
        kinds -= {Kind.LOCK_HELD, Kind.LOCK_TWICE}
    frees = [each for each in profile.functions if each.role is Role.FREE]
    if not any(_LENGTHS & set(each.parameters) for each in frees if not profile.pages(each.area)):
        kinds.discard(Kind.WRONG_SIZE)
    if not any("pool" in each.parameters for each in frees):
        kinds.discard(Kind.WRONG_POOL)
    return frozenset(kinds)
