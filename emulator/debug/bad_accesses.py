"""The bad accesses of a run that is gone through: what comes next, and whether a write was one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.core.core_types import Access

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.accesses.bad_accesses import Mistake
    from emulator.check.findings import Finding
    from emulator.debug.writer import Writer
    from emulator.machine.core.observed import BadAccess


class BadAccessesOfRun:
    """The mistakes that a run's bad accesses are.

    Args:
        mistakes: In order of their first accesses.
        is_checked: Whether accesses were checked at all.

    Attributes:
        is_checked: As given.
    """

    def __init__(self, mistakes: Sequence[Mistake] = (), *, is_checked: bool = False) -> None:
        self.is_checked = is_checked
        self._mistakes = mistakes

    @property
    def findings(self) -> list[Finding]:
        """All of them."""
        return [each.finding for each in self._mistakes]

    def after(self, event: int) -> list[Finding]:
        """Return those that happen first between an event and the next one."""
        return [
            each for each in self.findings if each.call_site is not None and each.call_site.event == event
        ]

    def next_event(self, event: int) -> int | None:
        """Return the first event, from one on, after which a mistake happens first; None: there is no more."""
        events = (each.call_site.event for each in self.findings if each.call_site is not None)
        return min((each for each in events if each >= event), default=None)

    def of_write(self, writer: Writer) -> Finding | None:
        """Return the mistake that a write is a part of; None: it is none, as far as is known."""
        return next(
            (
                each.finding
                for each in self._mistakes
                if any(_is_part(access, writer) for access in each.accesses)
            ),
            None,
        )


def _is_part(access: BadAccess, writer: Writer) -> bool:
    """Return whether a write is a bad access; of one that is repeated, only the first has left where it was made."""
    return (
        access.access is Access.WRITE
        and (access.registers.eip, access.event, access.callers) == (writer.eip, writer.event, writer.callers)
        and access.physical < writer.address + len(writer.after)
        and writer.address < access.physical + access.size
    )
