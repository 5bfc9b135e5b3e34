"""Build and compare every cell of the matrix: ``python -m tests.matrix [--seed N] [--jobs N]``, or ``make matrix``."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.matrix.cells import Cell, all_cells, build
from tests.matrix.comparison import compare


class _Outcome(NamedTuple):
    failures: list[str]
    unknown: int
    right: int


def _outcome(cell: Cell, seed: int) -> _Outcome:
    try:
        with tempfile.TemporaryDirectory(prefix="kmemu-matrix-") as folder:
            found = compare(build(cell, Path(folder), seed), Path(folder), stacks=cell.stacks)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other cells are compared, too
        return _Outcome([f"{type(error).__name__}: {error}"], 0, 0)
    return _Outcome(found.failures(cell), len(found.unknown), found.right)


def main(*, seed: int, jobs: int | None) -> int:
    """Compare all cells, and report at the end those that are not as they have to be.

    Args:
        seed: Of the kernel's source.
        jobs: How many cells at a time; None: as there are CPUs.

    Returns:
        1 if a cell failed.
    """
    cells, failed, right = all_cells(), {}, 0
    with ProcessPoolExecutor(jobs) as pool:
        for number, (cell, found) in enumerate(
            zip(cells, pool.map(_outcome, cells, [seed] * len(cells)), strict=True), start=1
        ):
            right += found.right
            said = f"{found.right} calls, {found.unknown} parameters unknown"
            if found.failures:
                failed[cell], said = found.failures, "FAILED"
            sys.stdout.write(f"{number}/{len(cells)} {cell}: {said}\n")
            sys.stdout.flush()
    for cell, failures in failed.items():
        sys.stdout.write(f"{cell}\n")
        sys.stdout.writelines(f"    {line}\n" for line in failures)
    sys.stdout.write(
        f"{len(cells)} cells, {len(failed)} failed; {right} calls are right; {_cpu_hours():.2f} hours of CPU\n"
    )
    return int(bool(failed))


def _cpu_hours() -> float:
    """Return what this process and those that it has waited for have used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used) / 3600


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.matrix", description="Compare every cell of the matrix."
    )
    parser.add_argument("--seed", type=int, default=1, help="of the kernel's source (default: 1)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="how many cells at a time (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    sys.exit(main(seed=given.seed, jobs=given.jobs))
