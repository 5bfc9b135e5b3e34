"""The audits of LiteCore: which structures they check, and the areas of what they find."""

from __future__ import annotations

import pytest

from kernel_model.litecore.abi import LiteCore
from kernel_model.litecore.boot import BootSettings
from kernel_model.memory import ByteMemory
from kernel_model.text import defect_text
from tests.unit.kernel_model.litecore.test_abi import SYMBOLS

SIZE = 0x500000


@pytest.fixture
def memory() -> ByteMemory:
    memory = ByteMemory(0, SIZE)
    LiteCore(memory, SYMBOLS, print).memory_init(BootSettings())
    return memory


def found(memory: ByteMemory) -> list[tuple[str, str, str]]:
    audits = LiteCore(memory, SYMBOLS, print).audits(SIZE)
    assert [audit.structure for audit in audits] == ["heap", "memmap", "locks"]
    defects = [(audit, defect) for audit in audits for defect in audit.defects()]
    assert all(defect.area in audit.areas for audit, defect in defects)
    return [(audit.structure, defect.area, defect_text(defect)) for audit, defect in defects]


def test_valid_structures_have_no_defects(memory: ByteMemory) -> None:
    assert found(memory) == []


@pytest.mark.parametrize(
    ("symbol", "structure", "area"),
    [
        ("heap_end", "heap", "heap"),
        ("memmap", "memmap", "frames"),
        ("heap_lock", "locks", "heap"),
        ("memmap_lock", "locks", "frames"),
    ],
)
def test_each_structure_has_an_audit_and_an_area(
    memory: ByteMemory, symbol: str, structure: str, area: str
) -> None:
    memory.store_u32(SYMBOLS[symbol], 5)
    ((where, whose, text),) = found(memory)
    assert (where, whose) == (structure, area)
    assert text.startswith(f"0x{SYMBOLS[symbol]:08x} {symbol}")


def test_a_held_lock_is_no_defect(memory: ByteMemory) -> None:
    litecore = LiteCore(memory, SYMBOLS, print)
    assert not litecore.any_lock_held()
    memory.store_u32(SYMBOLS["memmap_lock"], 1)
    assert litecore.any_lock_held()
    assert found(memory) == []
