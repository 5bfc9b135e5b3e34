"""Bisect a run: between which two events does something break, and which write breaks it.

Machines are deterministic: what happened between two events happens between them again. So the first event after
which something is broken is found by bisection, from checkpoints, and the rest is left to a watch on the broken word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.replay.engine import Position
from emulator.replay.word import changes_to
from emulator.trace.recording import newest_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.core.observed import LastWrite
    from emulator.replay.engine import Replay
    from emulator.replay.word import Word

_EVENTS_AFTER: Final = 64
"""How many events are searched when something was found to be wrong at a pause, and not at the event before."""


class Damage(NamedTuple):
    """Something that broke between two events.

    Attributes:
        last_whole: The last event at which it was known to be right.
        broken: Where it was found to be wrong first: an event, or the end of the run.
        word: What is wrong.
    """

    last_whole: int
    broken: Position
    word: Word


class Bisection:
    """The search for a break in one more run.

    Args:
        replay: It stands at the start, without checkpoints.
        broken: Returns the word that is wrong now, None if nothing is; called with the number of the last event.
        unclear: Returns whether that cannot be known now, because the kernel is in the middle of a change.

    Attributes:
        replay: See *replay*.
    """

    def __init__(
        self,
        replay: Replay,
        broken: Callable[[int], Word | None],
        unclear: Callable[[int], bool] = lambda _event: False,
    ) -> None:
        self.replay = replay
        self._broken = broken
        self._unclear = unclear
        self._last_whole = 0

    def find(self, last_whole: int, broken: int) -> Damage | None:
        """Find out between which events something breaks that was right at one event and wrong after another.

        The machine stands at the last event before the damage then; that is the only checkpoint.

        Args:
            last_whole: From where on to search; 0: from the start.
            broken: Where it was found to be wrong, or the last event before that.

        Returns:
            None if nothing breaks this time.
        """
        self.replay.go_to(last_whole)
        self._settle()
        found: int | None = None
        word = None
        top = broken + 1  # nothing from here on is asked
        while top - self._last_whole > 1:
            middle = broken if found is None and top > broken else (self._last_whole + top) // 2
            event = self._go_to_clear(middle, top)
            word_now = None if event is None else self._broken(event)
            if event is None:
                top = middle
            elif word_now is None:
                self._settle()
                top = broken + 1 if found is None else found
            else:
                found, word, top = event, word_now, middle
        if found is None or word is None:
            return self._after(broken)
        self.replay.back()
        return Damage(self._last_whole, Position(found), word)

    def faulting_write(self, damage: Damage, *, by_anyone: bool = False) -> LastWrite | None:
        """Return the write that broke a word: the first one that changed it, or the last one of an allocator's call.

        The allocator may change its own data more than once until it is wrong; nobody else may do it at all.

        Args:
            damage: What `find` has found.
            by_anyone: Whether anyone may change the word, also outside calls, as an entry of a page table: then it is the last one.
        """
        self.replay.back()
        is_last = by_anyone or self._is_entry(damage.last_whole)
        changes = changes_to(self.replay, damage.word, damage.broken)
        return None if changes is None else changes[is_last]

    def _after(self, event: int) -> Damage | None:
        """Search for the damage after all events up to this one, up to the end of the run."""
        self.replay.back()
        for following in range(self._last_whole + 1, event + _EVENTS_AFTER):
            if not self.replay.go_to(following):
                end = self.replay.position
                word = self._broken(end.event)
                self.replay.back()
                return None if word is None else Damage(self._last_whole, end, word)
            if self._unclear(following):
                continue
            word = self._broken(following)
            if word is not None:
                self.replay.back()
                return Damage(self._last_whole, Position(following), word)
            self._settle()
        return None

    def _is_entry(self, event: int) -> bool:
        newest = newest_calls(self.replay.recording, self.replay.profile).entered[-1:]
        return event > 0 and event in newest

    def _settle(self) -> None:
        """Keep the only checkpoint here."""
        self.replay.keep()
        self._last_whole = self.replay.reached

    def _go_to_clear(self, event: int, limit: int) -> int | None:
        """Go to an event or one of the next below *limit* where it is not unclear; return which."""
        self.replay.go_to(event)
        while self._unclear(event):
            event += 1
            if event >= limit or not self.replay.go_to(event):
                return None
        return event
