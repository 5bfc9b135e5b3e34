"""Random programs of memory accesses end in QEMU as they do here, with checked accesses and without: a sample of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oracle.memory_programs import differences, random_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_program_ends_the_same_in_qemu(tmp_path: Path, seed: int) -> None:
    assert differences(random_program(seed), tmp_path, ("fast", "ordinary", "reference")) == []


def test_a_difference_is_said(tmp_path: Path) -> None:
    """Which CPU it is shows in what cpuid says."""
    source, end, _ = random_program(1).rpartition("hlt\n        jmp 9b")
    assert end
    told = source + "movl $1, %eax\n cpuid\n movl %eax, 0x300000\n hlt\n"
    found = differences(told, tmp_path, ("fast",))
    assert [line.partition(" at ")[0] for line in found if "memory" in line] == [
        "fast, checked: memory",
        "fast: memory",
    ]
    assert any(line.startswith("fast: eax 0x") for line in found)
