"""What the harness runs: a kind of input, how to make one, and what to do with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tests.fuzz.harness.limits import Meter


class Case(NamedTuple):
    """One input.

    Attributes:
        data: The file.
        commands: Those that use it, without "kmemu"; "{}" stands for the file.
        timeout_s: What they are given as `--timeout`.
        ram: Bytes of guest RAM.
        note: What it is, for people.
        beside: Other files that the commands name.
    """

    data: bytes
    commands: tuple[tuple[str, ...], ...]
    timeout_s: float
    ram: int
    note: str
    beside: Mapping[str, bytes] = {}


class Target(ABC):
    """A kind of input. An object is made once and used in many processes, each of which has a copy.

    Attributes:
        name: On the command line.
        suffix: Of files.
        count: How many cases `make fuzz` runs.
        cases_a_process: How many cases one process runs.
    """

    name: str
    suffix: str
    count: int
    cases_a_process = 500

    @abstractmethod
    def prepare(self) -> None:
        """Do what all cases need, before the processes are made."""

    @abstractmethod
    def make(self, random: Random) -> Case:
        """Return a case that depends on nothing but *random*."""

    @abstractmethod
    def run(self, case: Case, meter: Meter, number: int) -> str:
        """Use the case, say in a few words how that ended.

        Args:
            case: Made by `make`.
            meter: Measures what the product does.
            number: Of the case; for what is done with some of them only.

        Raises:
            Exception: It is a failure, whatever it is.
        """
