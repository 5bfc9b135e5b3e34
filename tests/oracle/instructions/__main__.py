"""``make instructions``: run many random instructions in QEMU and here, and print those that end differently."""

from __future__ import annotations

import sys
from argparse import ArgumentParser

from tests.oracle.instructions.cases import CASES_MAX
from tests.oracle.instructions.generator import cases
from tests.oracle.instructions.known import unexplained
from tests.oracle.instructions.machines import differences


def main() -> int:
    parser = ArgumentParser(prog="make instructions", description=__doc__)
    parser.add_argument("--count", type=int, default=CASES_MAX, help="how many (default: %(default)s)")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="of the first 10000; the next have the next seed (default: %(default)s)",
    )
    parser.add_argument("--only", default="", metavar="CATEGORY", help="as in generator.py, such as string")
    parser.add_argument("--mmu", choices=("fast", "reference"), default="fast")
    options = parser.parse_args()
    found = 0
    for number, first in enumerate(range(0, options.count, CASES_MAX)):
        count = min(CASES_MAX, options.count - first)
        for each in unexplained(
            differences(list(cases(options.seed + number, count, options.only)), options.mmu)
        ):
            found += 1
            print(each)  # noqa: T201 - a command
        print(f"seed {options.seed + number}: {count} cases", file=sys.stderr)  # noqa: T201
    print(f"{options.count} cases, {found} of them end differently")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
