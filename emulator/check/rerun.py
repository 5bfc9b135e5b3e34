"""Running a kernel once more, exactly as it ran before, to find out when and by whom something was broken.

Machines are deterministic: what happened between two events happens between them again. So the first event after
which something is broken is found by bisection, from snapshots, and the rest is left to a watch on the broken word.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import EmulatorError
from emulator.machine.execution import Ending
from emulator.trace.recording import newest_calls, record_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.core_types import LastWrite
    from emulator.machine.machine import Machine
    from emulator.machine.snapshots import Snapshot
    from emulator.profile.model import Profile


_EVENTS_BEHIND: Final = 64
"""How many events are looked at when something was seen to be wrong at a pause, and not at the event before."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """How to run a kernel once more.

    Attributes:
        new_machine: Makes a machine as the first one was before its run.
        profile: What was recorded.
        instructions: How many were executed in all, or the run's budget; None: the kernel ended the run by itself.
    """

    new_machine: Callable[[], Machine]
    profile: Profile
    instructions: int | None = None


class Word(NamedTuple):
    """A word of memory, by its physical address, and how many of its bytes matter."""

    address: int
    size: int = 4


class Damage(NamedTuple):
    """Something that broke between two events.

    Attributes:
        sound: The last event at which it was seen to be right.
        broken: The first event at which it was seen to be wrong; None: at the end of the run.
        word: What is wrong.
    """

    sound: int
    broken: int | None
    word: Word


class Replay:
    """One more run, from event to event and back.

    Args:
        rerun: How.
        machine: A new one.
        broken: Tells whether something is wrong now, and which word; is given the number of the last event.
        unclear: Tells that this cannot be told now, because the kernel is in the middle of a change.

    Attributes:
        machine: It.
    """

    def __init__(
        self,
        rerun: Rerun,
        machine: Machine,
        broken: Callable[[int], Word | None],
        unclear: Callable[[int], bool] = lambda _event: False,
    ) -> None:
        self._instructions = rerun.instructions
        self._profile = rerun.profile
        self.machine = machine
        self._broken = broken
        self._unclear = unclear
        self._recording = record_calls(machine, rerun.profile)
        self._base: Snapshot | None = None
        self._sound = 0

    def find(self, sound: int, broken: int) -> Damage | None:
        """Find out between which events something breaks that was right at one event and wrong after another.

        The machine stands at the last sound event then.

        Args:
            sound: From where on to look; 0: from the start.
            broken: Where it was seen to be wrong, or the last event before that.

        Returns:
            None if nothing breaks this time.
        """
        self._go(sound)
        self._settle()
        found: int | None = None
        word = None
        top = broken + 1  # nothing from here on is asked
        while top - self._sound > 1:
            middle = broken if found is None and top > broken else (self._sound + top) // 2
            event = self._go_to_clear(middle, top)
            seen = None if event is None else self._broken(event)
            if event is None:
                top = middle
            elif seen is None:
                self._settle()
                top = broken + 1 if found is None else found
            else:
                found, word, top = event, seen, middle
        if found is None or word is None:
            return self._behind(broken)
        self.back()
        return Damage(self._sound, found, word)

    def back(self) -> None:
        """Go back to the last event at which nothing was wrong."""
        if self._base is not None:
            self._base.reset()

    def last_part(self, damage: Damage) -> None:
        """Run from the last sound event to where the damage was seen."""
        self._advance(damage.broken)

    def watch(self, damage: Damage) -> LastWrite | None:
        """Return the write that broke a word: the first one that changed it, or the last one of an allocator's call.

        The allocator may change its own data more than once until it is wrong; nobody else may do it at all.
        """
        self.back()
        in_call = self._is_entry(damage.sound)
        with self.machine.observers.watch(*damage.word) as watchpoint:
            self.last_part(damage)
            changes = watchpoint.changes()
        return None if changes is None else changes[in_call]

    def _behind(self, event: int) -> Damage | None:
        """Look for the damage behind all events up to this one, up to the end of the run."""
        self.back()
        for following in range(self._sound + 1, event + _EVENTS_BEHIND):
            if not self._advance(following):
                word = self._broken(self._recording.event_count)
                self.back()
                return None if word is None else Damage(self._sound, None, word)
            if self._unclear(following):
                continue
            word = self._broken(following)
            if word is not None:
                self.back()
                return Damage(self._sound, following, word)
            self._settle()
        return None

    def _is_entry(self, event: int) -> bool:
        newest = newest_calls(self._recording, self._profile).entered[-1:]
        return event > 0 and event in newest

    def _settle(self) -> None:
        """Make this the place to come back to."""
        if self._base is not None:
            self._base.discard()
        self._base = self.machine.snapshot()
        self._sound = self._recording.event_count

    def _go_to_clear(self, event: int, limit: int) -> int | None:
        """Go to an event or one of the next below *limit* where something can be told; return which."""
        self._go(event)
        while self._unclear(event):
            event += 1
            if event >= limit or not self._advance(event):
                return None
        return event

    def _go(self, event: int) -> None:
        if self._recording.event_count > event:
            self.back()
        if self._recording.event_count < event:
            self._advance(event)

    def _advance(self, event: int | None) -> bool:
        """Run to an event, None: to the end. Return whether the machine is there."""
        try:
            outcome = self.machine.run(stop_at_event=event, max_instructions=self._instructions)
        except EmulatorError:  # that is how the run ended the first time, too
            return False
        return outcome.ending is Ending.EVENT


def last_change_of_run(rerun: Rerun, word: Word) -> tuple[Machine, LastWrite | None]:
    """Return the last write of the whole run that changed a word, and the machine at the end of the run."""
    machine = rerun.new_machine()
    record_calls(machine, rerun.profile)
    watchpoint = machine.observers.watch(*word)
    with suppress(EmulatorError):  # that is how the run ended the first time, too
        machine.run(max_instructions=rerun.instructions)
    changes = watchpoint.changes()
    return machine, changes and changes[1]
