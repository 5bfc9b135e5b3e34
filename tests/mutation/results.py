"""What became of mutants: a file of results, a line for each, and the table for people."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Sequence
    from pathlib import Path

KILLED, SURVIVED = "killed", "survived"

Key = tuple[object, ...]


class Tried(NamedTuple):
    """A mutant.

    Attributes:
        key: What distinguishes it from others.
        file: As it is written for people.
        line: Where it is.
        what: What is changed, in one line.
    """

    key: Key
    file: str
    line: int
    what: str


class Results:
    """The results in a file; of each mutant the last one counts.

    Args:
        path: The file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._known: dict[Key, str] = {}
        for line in lines:
            facts = json.loads(line)
            self._known[tuple(facts["key"])] = facts["verdict"]

    def of(self, tried: Tried) -> str | None:
        """Return a verdict; None: it has not been tried."""
        return self._known.get(tried.key)

    def add(self, tried: Tried, verdict: str, **facts: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Write a result down."""
        self._known[tried.key] = verdict
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps({**tried._asdict(), "verdict": verdict, **facts}) + "\n")

    def print_table(self, everything: Iterable[Tried], verdicts: Sequence[str], alive: Sequence[str]) -> None:
        """Print what is alive, and how many mutants of each file there are with each verdict."""
        counts: dict[str, Counter[str]] = {}
        for tried in everything:
            verdict = self.of(tried)
            if verdict is None:
                continue
            counts.setdefault(tried.file, Counter())[verdict] += 1
            if verdict in alive:
                print(f"{verdict}  {tried.file}:{tried.line}: {tried.what}")
        width: Final = max(map(len, counts), default=0) + 2
        print(f"\n{'':{width}}" + "".join(f"{each:>12}" for each in verdicts))
        for name, count in [*counts.items(), ("all", sum(counts.values(), Counter[str]()))]:
            print(f"{name:{width}}" + "".join(f"{count[each]:12}" for each in verdicts))


def add_options(parser: ArgumentParser, example: str) -> None:
    """Add the options that all have."""
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"such as {example}; all if none is given")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="only every Nth mutant, for a first look"
    )
    parser.add_argument("--again", action="store_true", help="run what is alive once more")
    parser.add_argument("--report", action="store_true", help="only print the table")


def to_run(options: Namespace, known: str | None, alive: Sequence[str]) -> bool:
    """Return whether a mutant is to be run, by what is known of it."""
    return not options.report and (known is None or (options.again and known in alive))
