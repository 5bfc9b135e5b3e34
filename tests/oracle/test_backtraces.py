"""The stacks of all recorded calls show the levels that addr2line finds at their return addresses, and the same at every -O level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator.guest.symbolizer import Symbolizer
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.inlining_kernel import compile_inlining
from tests.helpers.recorded import held_calls
from tests.unit.loader.dwarf.test_inlined import addr2line

if TYPE_CHECKING:
    from emulator.guest.symbolizer import Frame

STACKS = {"demo": "kmalloc", "overflow": "kmalloc", "btron_demo": "kmem_alloc"}
WAYS = [
    (compiler, *options)
    for compiler in ("gcc", "clang")
    for options in (("-O0", "-g"), ("-O1", "-g"), ("-O2", "-g"), ("-O3", "-gdwarf-4"), ("-Os", "-g"))
]
INNER = ["zalloc", "node_new", "push", "make"]
DEPTHS = (0, 0, 0, 1, 1, 2, 1, 0, 0)
"""How often `make` has called itself at each call of `kmalloc`."""


def recorded_stacks(image: KernelImage, function: str) -> list[tuple[int, ...]]:
    """Run a kernel, and return the stack of each call of a function."""
    machine = Machine(image)
    recording = record(machine, [RecordedFunction(function, 1)])
    machine.run(timeout_s=60)
    return [recording.stack(call.stack) for call in held_calls(recording)]


def check(path: Path, stacks: list[tuple[int, ...]], image: KernelImage) -> None:
    symbolizer = Symbolizer(image)
    addresses = sorted({address for stack in stacks for address in stack})
    assert addresses[0]
    for address, levels in zip(addresses, addr2line(path, [each - 1 for each in addresses]), strict=True):
        frames = symbolizer.caller(address)
        assert [(frame.function, _location(frame)) for frame in frames] == levels
        assert [frame.inlined for frame in frames] == [True] * (len(frames) - 1) + [False]


def _location(frame: Frame) -> str:
    return f"{frame.file.rpartition('/')[2] or '??'}:{frame.line or '?'}"


@pytest.mark.parametrize("kernel", STACKS)
def test_levels_are_those_of_addr2line(kernel: str) -> None:
    path = resolve(f"firmware:{kernel}")
    image = KernelImage.read(path)
    stacks = recorded_stacks(image, STACKS[kernel])
    assert stacks
    check(Path(path), stacks, image)


@pytest.mark.parametrize("way", WAYS, ids="".join)
def test_every_optimisation_has_the_same_stacks(way: tuple[str, ...], tmp_path: Path) -> None:
    path = compile_inlining(tmp_path, *way)
    image = KernelImage.read(path)
    stacks = recorded_stacks(image, "kmalloc")
    check(path, stacks, image)
    callers = Symbolizer(image).callers
    assert [[frame.function for frame in callers(stack)] for stack in stacks] == [
        [*INNER, *["make"] * depth, "kmain", "_start"] for depth in DEPTHS
    ]
