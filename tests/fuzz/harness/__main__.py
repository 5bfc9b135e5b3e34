"""``make fuzz``: run many random inputs, print what came of them; a failure keeps its input and says how to have it again."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.harness.devices import Devices
from tests.fuzz.harness.guests import Guests
from tests.fuzz.harness.kernels import Kernels
from tests.fuzz.harness.limits import BYTES_OVER, SECONDS_OVER
from tests.fuzz.harness.machines import Machines
from tests.fuzz.harness.pages import Pages
from tests.fuzz.harness.processes import Processes
from tests.fuzz.harness.programs import Programs
from tests.fuzz.harness.traces import Traces
from tests.fuzz.harness.workers import case_of, run_cases

if TYPE_CHECKING:
    from argparse import Namespace

    from tests.fuzz.harness.target import Target
    from tests.fuzz.harness.workers import Failure, Tally

TARGETS: tuple[type[Target], ...] = (Kernels, Traces, Guests, Devices, Pages, Programs, Machines, Processes)
_FAILED, _INTERRUPTED = 1, 130


def main() -> int:
    options = _options()
    ran = failed = 0
    for target in (each() for each in TARGETS):
        count = getattr(options, target.name) or 0
        numbers = range(options.first, options.first + count)
        if not numbers:
            continue
        kept = _Kept(target, options)
        tally = run_cases(target, options.seed, numbers, jobs=options.jobs, on_failure=kept.keep)
        ran += tally.cases
        failed += len(tally.failures)
        sys.stdout.write(report(target, options.seed, tally))
        sys.stdout.flush()
        if tally.interrupted:
            return _INTERRUPTED
    if not ran:
        sys.stdout.write("nothing was run\n")
    return _FAILED if failed or not ran else 0


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.fuzz.harness", description=__doc__)
    for target in TARGETS:
        parser.add_argument(
            f"--{target.name}", type=int, metavar="N", help=f"how many cases ({target.count})"
        )
    parser.add_argument(
        "--seed", type=int, default=1, help="what the cases are made of, with their numbers (1)"
    )
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="of the cases (0)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes at a time (%(default)s)"
    )
    parser.add_argument(
        "--keep", type=Path, default=Path("build/fuzz"), metavar="FOLDER", help="for failing inputs"
    )
    options = parser.parse_args()
    if all(getattr(options, target.name) is None for target in TARGETS):
        for target in TARGETS:
            setattr(options, target.name, target.count)
    return options


class _Kept:
    def __init__(self, target: Target, options: Namespace) -> None:
        self._target = target
        self._options = options

    def keep(self, failure: Failure) -> None:
        """Write the input to a file and say what happened."""
        target, seed, number = self._target, self._options.seed, failure.number
        case = case_of(target, seed, number)
        folder = self._options.keep
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{target.name}-{seed}-{number}{target.suffix}"
        path.write_bytes(case.data)
        beside = {name: folder / f"{path.stem}-{name}" for name in case.beside}
        for name, data in case.beside.items():
            beside[name].write_bytes(data)
        names = {"{}": str(path)} | {name: str(file) for name, file in beside.items()}
        commands = [
            "kmemu " + " ".join(names.get(word, word) for word in command) for command in case.commands
        ]
        sys.stdout.write(
            f"FAILED {target.name} {number} ({case.note}): {failure.text.strip()}\n"
            f"  again: {sys.executable} -m tests.fuzz.harness --{target.name} 1 --seed {seed} --first {number}\n"
            + "".join(f"  input: {command}\n" for command in commands)
        )
        sys.stdout.flush()


def report(target: Target, seed: int, tally: Tally) -> str:
    """Return the figures of one target."""
    head = (
        f"{target.name}: {tally.cases} cases, seed {seed}, {tally.elapsed_s:.0f} s, {len(tally.failures)} failures; at most "
        f"{tally.seconds:+.2f} s over 1.2 x timeout (limit +{SECONDS_OVER}), "
        f"{tally.size >> 20} MiB over RAM (limit {BYTES_OVER >> 20})"
    )
    lines = [head, *(f"  {count:8} {ending}" for ending, count in tally.endings.most_common())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
