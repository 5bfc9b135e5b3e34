"""The audits of BTRON/386: which structures they check, and the areas of what they find."""

from __future__ import annotations

import pytest

from kernel_model.text import defect_text
from tests.conformance.btron.subjects import KERNEL, RAM_END, Guest, ModelSubject

TABLE = 0x0012_0000


@pytest.fixture
def subject() -> ModelSubject:
    """Return a kernel with a pool of each kind."""
    subject = ModelSubject()
    guest = Guest(subject)
    guest.boot()
    assert guest.er("mpl_create", 7, guest.packet(0, 0, 56)) == 0
    assert guest.er("mpf_create", 2, guest.packet(0, 0, 2, 12)) == 0
    return subject


def found(subject: ModelSubject) -> list[tuple[str, str, int, str]]:
    audits = subject.btron.audits(RAM_END)
    assert [audit.structure for audit in audits] == ["page table", "kmem", "pools"]
    defects = [(audit, defect) for audit in audits for defect in audit.defects()]
    assert all(defect.area in audit.areas for audit, defect in defects)
    return [(audit.structure, each.area, each.address, defect_text(each)) for audit, each in defects]


def test_valid_structures_have_no_defects(subject: ModelSubject) -> None:
    assert found(subject) == []


@pytest.mark.parametrize(
    ("symbol", "offset", "structure", "area", "text"),
    [
        ("kmem_free_list", 0, "kmem", "kmem", "kmem_free_list: there is no area at 0x00000005"),
        ("mpf_table", 2 * 40 + 36, "pools", "mpf", "mpf 2: free_count is 5, but 2 blocks are free"),
        (
            "mpl_table",
            7 * 32 + 20,
            "pools",
            "mpl",
            "mpl 7: the free list leads to 0x00000005, not to 0x80309fc0",
        ),
    ],
)
def test_each_structure_has_an_audit_and_an_area(
    subject: ModelSubject, symbol: str, offset: int, structure: str, area: str, text: str
) -> None:
    address = subject.symbols[symbol] - KERNEL + offset
    subject.memory.store_u32(address, 5)
    assert found(subject) == [(structure, area, address, text)]


def test_a_page_that_cannot_be(subject: ModelSubject) -> None:
    entry = TABLE + 8 * 0x123
    subject.memory.store_u32(entry, 5)
    text = f"0x{entry:08x} pmem_table[0x00000123].flag = 0x00000005: there is no such flag"
    assert found(subject) == [("page table", "pmem", entry, text)]


def test_a_defect_lies_where_the_models_locate_it(subject: ModelSubject) -> None:
    """What an audit says of a word is what `locate` says of its address."""
    free = subject.btron.mpf.fields(2).free
    for address in (free - KERNEL + 8, subject.symbols["mpf_table"] - KERNEL + 2 * 40 + 24):
        before = subject.memory.load_u32(address)
        subject.memory.store_u32(address, 5)
        (defect,) = subject.btron.audits(RAM_END)[2].defects()
        assert defect.location == subject.btron.locate(address)
        assert (defect.address, defect.invariant.of_free_list) == (address, True)
        subject.memory.store_u32(address, before)
