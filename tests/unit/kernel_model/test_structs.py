"""The layouts of spec 1.2 and 1.3, and of 2.2 to 2.4."""

from __future__ import annotations

import pytest

from kernel_model import structs
from kernel_model.structs import BLOCK_HEADER, FREE_BLOCK, MEMMAP, SPINLOCK, StructLayout


def offsets(layout: StructLayout) -> dict[str, int]:
    return {name: layout.offset(name) for name in layout.fields}


def test_layouts_are_those_of_the_specification() -> None:
    assert offsets(MEMMAP) == {
        "start_addr": 0,
        "end_addr": 4,
        "start_frame": 8,
        "max_frames": 12,
        "bitmap": 16,
    }
    assert offsets(BLOCK_HEADER) == {"size": 0, "used": 4}
    assert offsets(FREE_BLOCK) == {"size": 0, "used": 4, "next": 8}
    assert (MEMMAP.size, BLOCK_HEADER.size, FREE_BLOCK.size, SPINLOCK.size) == (20, 8, 12, 4)


@pytest.mark.parametrize(
    ("layout", "size", "last"),
    [
        (structs.PMEM_ENTRY, 8, "refcount"),
        (structs.BOOT_RANGE, 8, "end"),
        (structs.KMEM_ENTRY, 8, "size"),
        (structs.KMEM_EXTENT, 8, "size"),
        (structs.MPL_BLOCK, 8, "tag"),
        (structs.POOL_MPL, 32, "exists"),
        (structs.POOL_MPF, 40, "free_count"),
        (structs.TCB, 80, "reserved"),
        (structs.T_CMPL, 12, "mplsz"),
        (structs.T_RMPL, 16, "maxsz"),
        (structs.T_CMPF, 16, "blfsz"),
        (structs.T_RMPF, 12, "frbcnt"),
    ],
    ids=lambda each: each.name if isinstance(each, StructLayout) else None,
)
def test_layouts_of_btron(layout: StructLayout, size: int, last: str) -> None:
    assert (layout.size, layout.offset(last)) == (size, size - 4)


def test_a_free_block_of_a_pool_is_a_record_with_one_word_after_it() -> None:
    assert structs.FREE_MPL_BLOCK.fields[:2] == structs.MPL_BLOCK.fields
    assert structs.FREE_MPL_BLOCK.offset("next") == structs.MPL_BLOCK.size


def test_an_offset_can_be_asked_for_by_name() -> None:
    assert MEMMAP.offset("bitmap") == 16
    with pytest.raises(ValueError, match=r"^tuple\.index\(x\): x not in tuple$"):
        MEMMAP.offset("colour")


@pytest.mark.parametrize(("offset", "name"), [(0, "size"), (3, "size"), (4, "used"), (7, "used")])
def test_a_byte_belongs_to_a_field(offset: int, name: str) -> None:
    assert BLOCK_HEADER.field_at(offset) == name


@pytest.mark.parametrize("offset", [-1, 8, 1000])
def test_a_byte_outside_belongs_to_none(offset: int) -> None:
    assert BLOCK_HEADER.field_at(offset) is None
