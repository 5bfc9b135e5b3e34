"""Build and compare every cell of the matrix: ``python -m tests.matrix [SEED]``. It takes about an hour; ``make matrix``."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.matrix.cells import Cell, all_cells, build
from tests.matrix.comparison import Comparison, compare


def _outcome(cell: Cell, seed: int) -> Comparison:
    with tempfile.TemporaryDirectory(prefix="kmemu-matrix-") as folder:
        return compare(build(cell, Path(folder), seed), Path(folder), stacks=cell.stacks)


def main(seed: int) -> int:
    """Compare all cells; return 1 if something was recorded that was not so."""
    cells, failed = all_cells(), 0
    with ProcessPoolExecutor() as pool:
        for cell, found in zip(cells, pool.map(_outcome, cells, [seed] * len(cells)), strict=True):
            failed += bool(found.wrong)
            sys.stdout.write(f"{cell}: {found}\n")
    sys.stdout.write(f"{len(cells)} cells, {failed} with wrong calls\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
