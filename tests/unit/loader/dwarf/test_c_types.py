from __future__ import annotations

import pytest

from emulator.loader.dwarf.c_types import Array, CType, Encoding, Member, Scalar, Struct, part_at

BYTE = Scalar(1, Encoding.UNSIGNED)
WORD = Scalar(4, Encoding.UNSIGNED)
POINT = Struct(8, (Member("x", 0, WORD), Member("y", 4, WORD)))
MIXED = Struct(
    16,
    (
        Member("flag", 0, BYTE),
        Member("points", 4, Array(POINT, 1)),
        Member("", 12, Struct(4, (Member("inner", 0, WORD),))),
    ),
)


@pytest.mark.parametrize(
    ("whole", "offset", "steps", "start"),
    [
        (WORD, 0, (), 0),
        (WORD, 3, (), 0),
        (POINT, 5, ("y",), 4),
        (Array(POINT, 3), 17, (2, "x"), 16),
        (Array(Array(BYTE, 4), 2), 6, (1, 2), 6),
        (MIXED, 0, ("flag",), 0),
        (MIXED, 9, ("points", 0, "y"), 8),
        (MIXED, 13, ("inner",), 12),
    ],
)
def test_a_byte_belongs_to_a_part(
    whole: CType, offset: int, steps: tuple[str | int, ...], start: int
) -> None:
    assert part_at(whole, offset)[:2] == (steps, start)


@pytest.mark.parametrize(
    ("whole", "offset"), [(MIXED, 1), (POINT, 8), (Array(Scalar(0, Encoding.BYTES), 4), 0)]
)
def test_a_byte_between_members_is_padding(whole: CType, offset: int) -> None:
    part = part_at(whole, offset)
    assert (part.is_padding, part.start, part.type.size) == (True, offset, 1)


def test_of_a_union_the_first_member_is_named() -> None:
    union = Struct(4, (Member("byte", 0, BYTE), Member("word", 0, WORD)))
    assert part_at(union, 0).steps == ("byte",)
    assert part_at(union, 2).steps == ("word",)


def test_types_that_nest_without_end_do_not_hang() -> None:
    deep: CType = WORD
    for _ in range(500):
        deep = Struct(4, (Member("in", 0, deep),))
    assert part_at(deep, 0).is_padding
