"""The part of the stack that a call may use."""

from __future__ import annotations

import pytest

from emulator import boot
from emulator.hle.open_call import STACK_GUESS, data_objects, stack_depth, used_stack
from emulator.loader.elf.symbols import Symbol

OBJECTS = data_objects(
    [
        Symbol("stack_b", 0x3000, 0x1000, "object"),
        Symbol("stack_a", 0x1000, 0x1000, "object"),
        Symbol("main", 0x5000, 0x100, "function"),
        Symbol("edge", 0x6000, 0, "object"),
    ]
)


def test_data_objects_are_ascending_and_have_bytes() -> None:
    assert list(OBJECTS) == [range(0x1000, 0x2000), range(0x3000, 0x4000)]


@pytest.mark.parametrize(
    ("esp", "depth"),
    [
        (0x1000, 0),
        (0x1FFC, 0xFFC),
        (0x3800, 0x800),
        (0x2000, STACK_GUESS),
        (0x5010, STACK_GUESS),
        (0x400, 0x400),
    ],
)
def test_the_stack_ends_with_the_object_that_it_lies_in(esp: int, depth: int) -> None:
    assert stack_depth(OBJECTS, esp) == depth


def test_the_stack_of_a_call_holds_its_arguments_and_what_is_below() -> None:
    assert used_stack(boot("firmware:demo"), 0x9000, 0x100, 2) == (range(0x8F00, 0x900C),)
