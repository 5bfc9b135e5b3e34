"""The calls of a debugger's run, wherever in it the machine stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import Cancelled
from emulator.guest.symbolizer import Symbolizer
from emulator.replay.travel import Halt
from emulator.trace.logged import LoggedTrace
from emulator.trace.recording import RepeatedLog

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.replay.travel import Travel


class RecordedCalls:
    """The calls of one machine.

    Args:
        machine: Not run yet.
        profile: Functions whose calls are recorded.

    Raises:
        KernelMismatch: The kernel lacks a function of the profile.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self._image = machine.image
        self._log = RepeatedLog(machine, profile)
        self._whole: LoggedTrace | None = None

    def leave(self) -> None:
        """Take the calls that there are: the machine is going to go back."""
        self._log.flush()

    def arrive(self) -> None:
        """Record no more if calls are lacking: the machine has gone forwards without those in between."""
        if not self._log.knows_all:
            self._log.pause()

    def trace(self, travel: Travel) -> LoggedTrace:
        """Return the calls so far, or those of the whole run, if it was finished.

        Args:
            travel: Goes through the run once more, if it lacks calls; it stands where it stood afterwards.

        Raises:
            Cancelled: The machine was stopped from outside on that way, and stands somewhere before.
        """
        if self.complete(travel) is not Halt.TARGET:
            raise Cancelled
        return self._log.trace(Symbolizer(self._image)) if self._whole is None else self._whole

    def complete(self, travel: Travel) -> Halt:
        """Have all calls so far: where some are lacking, go through the run once more.

        Returns:
            `Halt.TARGET`; or the machine was stopped from outside, and stands somewhere before.
        """
        if self._whole is not None or not self._log.is_paused:
            return Halt.TARGET
        here = travel.moment
        travel.back_to_start()
        self._log.go_on()
        return travel.pass_to(here)

    def finish(self, travel: Travel) -> None:
        """Take the calls so far for those of the whole run, and record no more.

        Raises:
            Cancelled: See `trace`.
        """
        self.trace(travel)
        self._whole = LoggedTrace(self._log.finish(), self._log.recording, Symbolizer(self._image))

    def reopen(self) -> None:
        """Say that the run goes on in another way from here than the one that is known."""
        self._whole = None
        self._log.forget_later()
