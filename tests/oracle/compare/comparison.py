"""Goes through a kernel's run on both machines, and finds the first point at which registers differ."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from tests.oracle.compare.remote import Ended
from tests.oracle.compare.sides import COMPARED, Ours, Qemu, Setting, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Progress = Callable[[int], None]

_STEPS_MAX = 10_000  # after the last entry that was the same, to find the instruction
_MARGIN = 4096  # instructions: a repeated one counts once or once a round, depending on how the core runs
_REPEATS = b"\xf2\xf3"

Registers = dict[str, tuple[int, int]]
"""Name -> value here, value in QEMU."""


class Difference(NamedTuple):
    """The first difference.

    Attributes:
        instruction: Address of the instruction after which registers differ; None: it is not known.
        reached: Where the two machines are then: here and QEMU.
        registers: Those that differ.
    """

    instruction: int | None
    reached: tuple[int, int]
    registers: Registers


class Comparison(NamedTuple):
    """What came out.

    Attributes:
        points: At how many points the registers were the same.
        last: Where the last of these points is; None: there was none.
        difference: None: there is none as far as both ran.
        ended: Why nothing more was compared.
        from_start: Registers that differ at the kernel's first instruction already, and are not compared.
    """

    points: int
    last: int | None
    difference: Difference | None
    ended: str
    from_start: Registers


class Pair:
    """Both machines, at the kernel's first instruction.

    Args:
        setting: What they are made of.
        progress: Called with the number of points that are the same.

    Raises:
        HostError: QEMU is not installed, or does not start the kernel.
    """

    def __init__(self, setting: Setting, progress: Progress) -> None:
        self._setting = setting
        self._progress = progress
        self.qemu = Qemu(setting)
        self.ours = Ours(setting, self.qemu)
        self._from_start: Registers = {}
        self._from_start = self._differing(self.ours.state(), self.qemu.state())

    def close(self) -> None:
        """End QEMU."""
        self.qemu.close()

    def at_functions(self, addresses: Sequence[int], points_max: int | None) -> tuple[Comparison, int]:
        """Compare at each entry of a function.

        Returns:
            What came out; and the instructions that were executed here by the block of the last point.
        """
        last, count = None, 0
        ours_stops, their_stops = self.ours.stops(addresses), self.qemu.stops(addresses)
        points = 0
        while points != points_max:
            here = next(ours_stops, None)
            there, ended = self._next(their_stops)
            if here is None or there is None:
                return self._ended(points, last, ended, goes_on=bool(here or there)), count
            found = self._differing(here[0], there)
            if found:
                difference = Difference(None, (here[0]["eip"], there["eip"]), found)
                return Comparison(points, last, difference, "", self._from_start), count
            points, last, count = points + 1, here[0]["eip"], here[1]
            self._progress(points)
        return self._ended(points, last, f"{points} points were asked for", goes_on=False), count

    def go_to(self, addresses: Sequence[int], points: int, count: int) -> None:
        """Go to a point at which both are the same.

        Args:
            addresses: Of the functions at which both stop.
            points: How often they stop there.
            count: Instructions that are executed here by the block of that point.
        """
        if points:
            their_stops = self.qemu.stops(addresses)
            for _ in range(points):
                there = next(their_stops)
            if count > _MARGIN:
                self.ours.run(count - _MARGIN)
            while self._differing(self.ours.state(), there) and not self.ours.ended:
                self.ours.step()

    def every(self, instructions: int, points_max: int | None) -> Comparison:
        """Compare after each so many instructions."""
        points, last = 0, None
        while True:
            here, there = self.ours.state(), self.qemu.state()
            found = self._differing(here, there)
            if found:
                at = last if instructions == 1 else None
                difference = Difference(at, (here["eip"], there["eip"]), found)
                return Comparison(points, last, difference, "", self._from_start)
            points, last = points + 1, here["eip"]
            self._progress(points)
            if self.ours.ended or points == points_max:
                ended = self.ours.ended or f"{points} points were asked for"
                return self._ended(points, last, ended, goes_on=False)
            try:
                for _ in range(instructions):
                    _step(self.ours)
                    _step(self.qemu)
            except (Ended, TimeoutError) as error:
                ended = "QEMU ends" if isinstance(error, Ended) else "QEMU waits"
                return self._ended(points, last, ended, goes_on=not self.ours.ended)

    def _next(self, stops: Iterator[State]) -> tuple[State | None, str]:
        """Go to QEMU's next stop. Returns its registers, or why there is none."""
        try:
            return next(stops), ""
        except Ended:
            return None, "QEMU ends"
        except TimeoutError:
            return None, f"QEMU enters no function for {self._setting.timeout_s:g} s"

    def _ended(self, points: int, last: int | None, ended: str, *, goes_on: bool) -> Comparison:
        words = " and ".join(each for each in (ended, self.ours.ended) if each)
        return Comparison(
            points, last, None, f"{words}, the other one goes on" if goes_on else words, self._from_start
        )

    def _differing(self, ours: State, theirs: State) -> Registers:
        return {
            name: (ours[name], theirs[name])
            for name in COMPARED
            if name not in self._from_start and name in theirs and ours[name] != theirs[name]
        }


def at_functions(
    setting: Setting, names: Sequence[str], points_max: int | None, progress: Progress
) -> Comparison:
    """Compare at each entry of a function, and after a difference instruction by instruction from the entry before.

    Args:
        setting: Of both machines.
        names: The functions; none: all of the kernel.
        points_max: How many entries to compare; None: no limit.
        progress: Called with the number of points that are the same.

    Raises:
        HostError: QEMU is not installed, or does not start the kernel.
        ValueError: The kernel has no such function, or none at all.
    """
    addresses = _addresses(setting, names)
    with closing(Pair(setting, progress)) as pair:
        found, count = pair.at_functions(addresses, points_max)
    if found.difference is None:
        return found
    with closing(Pair(setting, lambda _points: None)) as pair:
        pair.go_to(addresses, found.points, count)
        fine = pair.every(1, _STEPS_MAX).difference
    return found._replace(difference=fine or found.difference)


def every(setting: Setting, instructions: int, points_max: int | None, progress: Progress) -> Comparison:
    """Compare after each so many instructions; QEMU takes no interrupt then.

    Args:
        setting: Of both machines.
        instructions: From one point to the next.
        points_max: How many points to compare; None: no limit.
        progress: Called with the number of points that are the same.

    Raises:
        HostError: QEMU is not installed, or does not start the kernel.
    """
    with closing(Pair(setting, progress)) as pair:
        return pair.every(instructions, points_max)


def _step(machine: Qemu | Ours) -> None:
    """Execute one instruction, all rounds of a repeated one."""
    at = machine.state()["eip"]
    machine.step()
    while machine.state()["eip"] == at and any(each in _REPEATS for each in machine.memory(at, at + 2)):
        machine.step()


def _addresses(setting: Setting, names: Sequence[str]) -> list[int]:
    functions = {
        each.name: each.address for each in setting.image.symbols.values() if each.kind == "function"
    }
    missing = [name for name in names if name not in functions]
    if missing:
        raise ValueError(f"the kernel has no function {missing[0]!r}")
    if not functions:
        raise ValueError("the kernel has no symbols of functions: compare every so many instructions")
    return sorted({functions[name] for name in names or functions})
