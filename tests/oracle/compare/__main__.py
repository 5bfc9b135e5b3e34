"""``make compare-qemu``: run a kernel in QEMU and here, and name the first difference."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import EmulatorError
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from tests.oracle.compare.comparison import Comparison, Registers, at_functions, every
from tests.oracle.compare.sides import Setting
from tests.oracle.instructions.cases import disassembled

if TYPE_CHECKING:
    from collections.abc import Callable

_SAME, _DIFFERENT, _FAILED = 0, 1, 2
_PROGRESS_S = 0.5


def main() -> int:
    """Compare as the command line says; return the exit status."""
    options = _options()
    try:
        image = KernelImage.read(resolve(options.kernel))
        modules = tuple(path.resolve() for path in options.module)
        setting = Setting(image, options.ram, options.cmdline, modules, options.timeout)
        if options.every:
            found = every(setting, options.every, options.points, _progress(options))
        else:
            names = [name for name in options.functions.split(",") if name not in {"", "1"}]
            found = at_functions(setting, names, options.points, _progress(options))
    except (EmulatorError, ValueError, OSError) as error:
        print(f"compare-qemu: {options.kernel}: {error}", file=sys.stderr)  # noqa: T201 - a command
        return _FAILED
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)  # noqa: T201
    print(json.dumps(_document(options, image, found), indent=2) if options.json else _text(image, found))  # noqa: T201
    return _SAME if found.difference is None else _DIFFERENT


def _options() -> Namespace:
    parser = ArgumentParser(prog="make compare-qemu", description=__doc__)
    parser.add_argument("kernel", help="ELF file, or firmware:NAME")
    point = parser.add_mutually_exclusive_group()
    point.add_argument(
        "--every", type=int, metavar="N", help="compare after each N instructions, without interrupts"
    )
    point.add_argument(
        "--functions", default="", metavar="NAME,NAME", help="compare at these functions (default: at all)"
    )
    parser.add_argument("--points", type=int, metavar="N", help="compare at N points at most")
    parser.add_argument("--ram", type=int, default=128, metavar="MIB", help="memory (default: %(default)s)")
    parser.add_argument("--cmdline", default="", metavar="TEXT", help="command line for the kernel")
    parser.add_argument(
        "--module", type=Path, action="append", default=[], metavar="FILE", help="(repeatable)"
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="for either to get to the next point"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if options.every is not None and options.every < 1:
        parser.error("--every has to be 1 or more")
    return options


def _progress(options: Namespace) -> Callable[[int], None]:
    last = time.monotonic()

    def show(points: int) -> None:
        nonlocal last
        if time.monotonic() - last > _PROGRESS_S:
            last = time.monotonic()
            print(f"\r{points} points are the same", end="", file=sys.stderr, flush=True)  # noqa: T201

    return show if sys.stderr.isatty() and not options.json else lambda _points: None


def _text(image: KernelImage, found: Comparison) -> str:
    lines = [f"{found.points} points are the same" + (f"; then {found.ended}" if found.ended else "")]
    if found.from_start:
        lines.append(
            "  not compared      " + ", ".join(_values(found.from_start)) + ": different from the start"
        )
    if found.last is not None:
        lines.append(f"  the last of them  {image.location(found.last)}")
    if found.difference is not None:
        at, (here, there) = found.difference.instruction, found.difference.reached
        if at is not None:
            lines.append(f"  instruction       {_instruction(image, at)}  {image.location(at)}")
        lines.append(f"  then at, here     {image.location(here)}")
        if there != here:
            lines.append(f"           QEMU     {image.location(there)}")
        lines += [f"  {each}" for each in _values(found.difference.registers)]
    return "\n".join(lines)


def _values(registers: Registers) -> list[str]:
    return [f"{name} here 0x{ours:08x} QEMU 0x{theirs:08x}" for name, (ours, theirs) in registers.items()]


def _instruction(image: KernelImage, address: int) -> str:
    return disassembled(image.code(address, 15), address).split("; ")[0]


def _document(options: Namespace, image: KernelImage, found: Comparison) -> dict[str, object]:
    document: dict[str, object] = {
        "version": 1,
        "kernel": options.kernel,
        "points": found.points,
        "last": None if found.last is None else _location(image, found.last),
        "ended": found.ended or None,
        "from_start": _pairs(found.from_start),
        "difference": None,
    }
    if found.difference is not None:
        at, (here, there) = found.difference.instruction, found.difference.reached
        document["difference"] = {
            "instruction": None if at is None else {"text": _instruction(image, at), **_location(image, at)},
            "here": _location(image, here),
            "qemu": _location(image, there),
            "registers": _pairs(found.difference.registers),
        }
    return document


def _pairs(registers: Registers) -> dict[str, object]:
    return {name: {"here": ours, "qemu": theirs} for name, (ours, theirs) in registers.items()}


def _location(image: KernelImage, address: int) -> dict[str, object]:
    return image.location(address)._asdict()


if __name__ == "__main__":
    sys.exit(main())
