from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.guest.backtrace import backtrace
from emulator.guest.locator import Field, Locator
from emulator.loader.dwarf.c_types import Encoding
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from kernel_model.audit import Location, LocationKind
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.guest import machine_of, symbol
from tests.helpers.timelines import call_number, go_after_return, timeline_of

if TYPE_CHECKING:
    from emulator.debug.timeline import Timeline

VARIABLES = """
        nop
        .data
        .type   table, @object
        .size   table, 10
table:  .skip   10
        .type   word, @object
        .size   word, 4
word:   .skip   4
        .text
"""
TYPED = """
struct { char flag; int word; struct { short low, high; } pairs[2][2]; } mixed;
int grid[2][3];
void _start(void) { mixed.flag = grid[0][0] = 1; for (;;) ; }
"""


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return timeline_of("overflow")


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    kernel = compile_kernel(tmp_path_factory.mktemp("typed"), TYPED, ["-g", "-mno-sse"])
    return Machine(KernelImage.read(kernel))


def located(machine: Machine, name: str, offset: int) -> Field:
    address = symbol(machine, name) + offset
    return Locator(machine).field_at(address, address + 1)


def test_a_member_is_a_field_with_its_encoding() -> None:
    machine = boot("firmware:overflow")
    memmap = symbol(machine, "memmap")
    location = Location(LocationKind.VARIABLE, "memmap", memmap + 16, memmap + 20, field="bitmap")
    assert located(machine, "memmap", 17) == Field(location, memmap + 16, memmap + 20, Encoding.POINTER)
    assert located(machine, "memmap", 0).encoding is Encoding.UNSIGNED


@pytest.mark.parametrize(
    ("name", "offset", "index", "field", "size"),
    [
        ("mixed", 4, None, "word", 4),
        ("mixed", 8 + 4 + 2, None, "pairs[0][1].high", 2),
        ("grid", 16, 1, "[1]", 4),
    ],
)
def test_a_part_inside_others_is_named_by_the_way_to_it(
    typed: Machine, name: str, offset: int, index: int | None, field: str, size: int
) -> None:
    found = located(typed, name, offset).location
    start = symbol(typed, name) + offset
    assert found == Location(LocationKind.VARIABLE, name, start, start + size, item=index, field=field)


def test_a_byte_between_members_is_padding(typed: Machine) -> None:
    start = symbol(typed, "mixed") + 1
    location = Location(LocationKind.PADDING, "mixed", start, start + 1)
    assert located(typed, "mixed", 1) == Field(location, start, start + 1)


def test_of_an_object_without_a_type_the_word_is_known() -> None:
    machine = machine_of(VARIABLES)
    start = symbol(machine, "table")
    whole = Location(LocationKind.VARIABLE, "table", start + 4, start + 8, byte=4)
    assert located(machine, "table", 7) == Field(whole, start + 4, start + 8, Encoding.UNSIGNED)
    rest = Location(LocationKind.VARIABLE, "table", start + 8, start + 10, byte=8)
    assert located(machine, "table", 9) == Field(rest, start + 8, start + 10, Encoding.BYTES)
    word = located(machine, "word", 1).location
    assert word == Location(LocationKind.VARIABLE, "word", start + 10, start + 14)


def test_a_body_is_a_field_up_to_where_it_ends(timeline: Timeline) -> None:
    go_after_return(timeline, call_number(timeline, "kmalloc"))
    block = timeline.machine.cpu.registers().eax
    body = Location(LocationKind.BLOCK, "heap", block, block + 24, item=block - 8)
    locator = Locator(timeline.machine)
    assert locator.field_at(block + 2, block + 5) == Field(body, block + 2, block + 5)
    assert locator.field_at(block + 2, block + 99) == Field(body, block + 2, block + 24)


def test_the_stack_belongs_to_the_functions_that_use_it(timeline: Timeline) -> None:
    timeline.go_to(timeline.calls.call(call_number(timeline, "kmalloc")).entered)
    levels = backtrace(timeline.machine)
    kmain = levels[1]
    location = Location(LocationKind.STACK, "kmain", kmain.low, kmain.high)
    found = Locator(timeline.machine).field_at(kmain.low + 4, 1 << 32, levels)
    assert found == Field(location, kmain.low + 4, kmain.high)


def test_nothing_is_known_of_other_memory(timeline: Timeline) -> None:
    assert Locator(timeline.machine).field_at(0x300005, 0x300007) == Field(None, 0x300005, 0x300007)


LABELS = """
        nop
        .data
        .globl  count
        .globl  list
count:  .long   0
list:   .long   1, 2, 3
        .type   sized, @object
        .size   sized, 4
        .globl  sized
sized:  .long   4
        .skip   8
        .text
"""


def test_a_label_without_a_size_reaches_to_the_next_symbol() -> None:
    machine = machine_of(LABELS)
    found = {
        (name, offset): located(machine, name, offset)
        for name, offset in (("count", 0), ("count", 3), ("list", 0), ("list", 9), ("sized", 0), ("sized", 4))
    }
    assert {
        key: None
        if each.location is None
        else (each.location.object, each.location.byte, each.end - each.start)
        for key, each in found.items()
    } == {
        ("count", 0): ("count", None, 4),
        ("count", 3): ("count", None, 4),
        ("list", 0): ("list", None, 4),
        ("list", 9): ("list", 8, 4),
        ("sized", 0): ("sized", None, 4),
        ("sized", 4): None,
    }
    assert found["list", 9].start == symbol(machine, "list") + 8
    assert found["count", 0].encoding is Encoding.UNSIGNED
