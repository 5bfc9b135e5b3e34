"""Inlined calls: what addr2line says of every address of the code, and nothing of files that are damaged."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.loader.builtin import resolve
from emulator.loader.dwarf.debug_info import DebugInfo
from emulator.loader.dwarf.inlined import InlinedCalls
from emulator.loader.dwarf.line_header import DebugSections
from emulator.loader.image import KernelImage
from tests.helpers.inlining_kernel import compile_inlining

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS = [
    (compiler, *options)
    for compiler in ("gcc", "clang")
    for options in (("-O2", "-gdwarf-4"), ("-O2", "-gdwarf-5"), ("-O3", "-gdwarf-3"), ("-O0", "-gdwarf-5"))
]


def addr2line(path: Path, addresses: list[int]) -> Iterator[list[tuple[str, str]]]:
    """Yield function and ``file:line`` of all levels at each address, innermost first."""
    command = ["addr2line", "-i", "-f", "-a", "-e", str(path), *map(hex, addresses)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("0x")]
    for start, end in pairwise([*starts, len(lines)]):
        levels = [line.rpartition("/")[2].partition(" ")[0] for line in lines[start + 1 : end]]
        yield list(zip(levels[::2], levels[1::2], strict=True))


def compare(path: Path) -> int:
    """Compare all addresses of a kernel's code; return how many lie in inlined calls."""
    image = KernelImage.read(path)
    addresses = [address for section in image.code_sections for address in section]
    inlined = 0
    for address, levels in zip(addresses, addr2line(path, addresses), strict=True):
        calls = image.inlined_calls(address)
        inlined += bool(calls)
        assert [call.function for call in calls] == [function for function, _ in levels[:-1]]
        locations = [f"{call.file.rpartition('/')[2]}:{call.line}" for call in calls]
        assert locations == [location for _, location in levels[1:]]
    return inlined


@pytest.mark.parametrize("way", WAYS, ids="".join)
def test_every_address_is_in_the_calls_that_addr2line_says(way: tuple[str, ...], tmp_path: Path) -> None:
    assert compare(compile_inlining(tmp_path, *way)) > 20


@pytest.mark.parametrize("kernel", ["demo", "btron_demo"])
def test_so_it_is_in_our_own_kernels(kernel: str) -> None:
    assert compare(Path(resolve(f"firmware:{kernel}"))) > 20


SECTIONS = ("info", "abbrev", "ranges", "rnglists", "line", "str")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SECTIONS), st.data())
def test_damage_is_no_error(section: str, data: st.DataObject) -> None:
    image = KernelImage.read(resolve("firmware:demo"))
    sections = {**image.debug_sections}
    content = bytearray(sections[section] or b"\0" * 16)
    for _ in range(4):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    sections[section] = bytes(content[: data.draw(st.integers(0, len(content)))])
    calls = InlinedCalls(
        DebugInfo(sections),
        DebugSections(*(sections[each] for each in DebugSections._fields)),
    )
    for code in image.code_sections:
        for address in code[:: max(1, len(code) // 50)]:
            assert isinstance(calls.find(address), tuple)
