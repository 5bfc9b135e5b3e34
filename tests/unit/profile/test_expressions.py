"""Expressions of profiles: read, and computed as the core does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.loader.functions.locations import Operation
from emulator.profile.expressions import Variable, compute, names_in, parse

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = {0x100: 0x11111111, 0x104: 0x22222222, 0x10C: 64, 0x2000: 0x9000}
ARGUMENTS = {"cache": 0x100, "page": 0x9060, "order": 3, "pte": 0x2000}
SIZES = {"page": 32}
VARIABLES = {"mem_map": Variable(0x2000, is_word=True), "table": Variable(0x2000, is_word=False)}
FIELDS = {("cache", "object_size"): (12, 4), ("cache", "flags.low"): (5, 1), ("cache", "name"): (0, 20)}
FIELDS |= {("result", "frame"): (4, 4), ("mem_map", "flags"): (0, 4), ("table", "first"): (0, 4)}
NAMES = list(ARGUMENTS)


class Kernel:
    """A function with the parameters above, in a kernel with those variables and fields."""

    def value(self, name: str) -> int | None:
        return NAMES.index(name) if name in NAMES else None

    def variable(self, name: str) -> Variable | None:
        return VARIABLES.get(name)

    def field(self, base: str, path: str) -> tuple[int, int] | None:
        return FIELDS.get((base, path))

    def size(self, structure: str) -> int | None:
        return SIZES.get(structure)


def load(address: int) -> int:
    low = MEMORY.get(address & ~3, 0)
    high = MEMORY.get((address & ~3) + 4, 0)
    return ((high << 32 | low) >> 8 * (address & 3)) & 0xFFFFFFFF


def computed(text: str, result: int = 0) -> int:
    """What an expression gives; the operations are followed as `record/values.c` does."""
    stack: list[int] = []
    for operation, operand in compute(parse(text), Kernel()).operations:
        if operation is Operation.PUSH:
            stack.append(operand)
        elif operation is Operation.VALUE:
            stack.append(ARGUMENTS[NAMES[operand]])
        elif operation is Operation.RESULT:
            stack.append(result)
        elif operation in LOADS:
            stack.append(load(stack.pop()) & LOADS[operation])
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(BINARY[operation](left, right) & 0xFFFFFFFF)
    (value,) = stack
    return value


LOADS = {Operation.LOAD8: 0xFF, Operation.LOAD16: 0xFFFF, Operation.LOAD32: 0xFFFFFFFF}
BINARY: dict[Operation, Callable[[int, int], int]] = {
    Operation.ADD: lambda left, right: left + right,
    Operation.SUBTRACT: lambda left, right: left - right,
    Operation.MULTIPLY: lambda left, right: left * right,
    Operation.DIVIDE: lambda left, right: left // right if right else 0,
    Operation.AND: lambda left, right: left & right,
    Operation.OR: lambda left, right: left | right,
    Operation.SHIFT_LEFT: lambda left, right: left << right if right < 32 else 0,
    Operation.SHIFT_RIGHT: lambda left, right: left >> right if right < 32 else 0,
    Operation.EQUAL: lambda left, right: left == right,
    Operation.DIFFERENT: lambda left, right: left != right,
    Operation.LESS: lambda left, right: left < right,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("0x40", 64),
        ("order", 3),
        ("cache->object_size", 64),
        ("cache->flags.low", 0x22),
        ("*(cache + 12)", 64),
        ("cache[3]", 64),
        ("*cache", 0x11111111),
        ("*pte >> 12", 9),
        ("mem_map", 0x9000),
        ("&mem_map", 0x2000),
        ("table", 0x2000),
        ("table[0]", 0x9000),
        ("(page - mem_map) / 32 * 4096", 3 * 4096),
        ("1 << order", 8),
        ("4096 << order", 4096 * 8),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 - 2 - 1", 4),
        ("1 | 2 & 3 == 3", 1),
        ("5 / 0", 0),
        ("order == 3", 1),
        ("order != 3", 0),
        ("2 < order", 1),
        ("0 - 1", 0xFFFFFFFF),
        ("result + 1", 0x51),
        ("(page - mem_map) / sizeof(page) * 4096", 3 * 4096),
        ("result->frame", 0),
        ("mem_map->flags", 0),
        ("table.first", 0x9000),
    ],
)
def test_values(text: str, value: int) -> None:
    assert computed(text, result=0x50) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expression '' is not understood at its end"),
        ("1 +", "expression '1 +' is not understood at its end"),
        ("1 2", "expression '1 2' is not understood at '2'"),
        ("(1", "expression '(1' is not understood at its end"),
        ("a % b", "expression 'a % b': '% b' is not understood"),
        ("&3", "expression '&3' is not understood at '3'"),
        (
            "(a + b)->c",
            "expression '(a + b)->c': -> goes after a name only; elsewhere write *(e + offset)",
        ),
        ("0x100000000", "expression '0x100000000': 0x100000000 is more than a word of 32 bits"),
    ],
)
def test_what_is_none(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is compared
        parse(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("other", "other is neither a parameter nor a variable of the kernel"),
        ("&order", "order is neither a parameter nor a variable of the kernel"),
        (
            "cache->colour",
            "the kernel's debug information does not say where cache->colour lies; its offset does: *(cache + 12)",
        ),
        (
            "cache->name",
            "the kernel's debug information does not say where cache->name lies; its offset does: *(cache + 12)",
        ),
        ("other->size", "other is neither a parameter nor a variable of the kernel"),
        ("sizeof(slab)", "the kernel's debug information does not say how large slab is"),
        ("+".join(["(1"] * 20) + ")" * 20, "it needs more than 16 words at a time"),
    ],
)
def test_what_means_nothing(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is compared
        compute(parse(text), Kernel())
    assert str(raised.value) == message


def test_names() -> None:
    assert list(names_in(parse("cache->size + *(a + &b) * result"))) == ["cache", "a", "b", "result"]


@given(st.text(alphabet="ab01*&+-<>=()[].|/ ", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - one that is raised at random
