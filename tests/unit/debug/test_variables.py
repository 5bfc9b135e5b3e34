from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.debug import debugger
from emulator.debug.values import Value
from emulator.debug.variables import Variables
from emulator.errors import BudgetUsedUp
from emulator.guest.storage import InPieces, Known, Piece, Unavailable
from emulator.loader.dwarf.value_types import ValueType
from tests.helpers.aggregate_kernel import compile_aggregates
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine


def at_the_end(tmp_path_factory: pytest.TempPathFactory, *way: str) -> Machine:
    """Return a machine in front of the last instructions of `kmain`."""
    machine = boot(str(compile_variables(tmp_path_factory.mktemp("variables"), *way)))
    count = boot(machine.image.path).run().instructions
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=count - 3)
    return machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return at_the_end(tmp_path_factory, "gcc", "-O0")


def thing(machine: Machine) -> Value:
    found = Variables(machine).find("thing")
    assert found is not None
    return found


def test_global_variables_have_names_types_files_and_addresses(machine: Machine) -> None:
    found = {each.name: each for each in Variables(machine).globals_()}
    assert list(found) == ["lookup", "nodes", "seen", "thing"]
    names = {name: each.value.type.name for name, each in found.items()}
    assert names == {
        "lookup": "u8[3]",
        "nodes": "struct list[3]",
        "seen": "volatile u32",
        "thing": "struct thing",
    }
    assert found["seen"].file == "kernel.c"
    assert found["thing"].value.address == machine.image.symbols["thing"].address


def test_a_structure_opens_into_its_members(machine: Machine) -> None:
    members = {each.name: each.value for each in thing(machine).children()}
    shown = {name: value.text() for name, value in members.items()}
    assert shown["name"] == '"@ thing"'
    assert shown["colour"] == "BLUE (9)"
    assert shown["bits"] == "{low = 5, middle = -3, high = 703710, after = 200 '\\310', wide = 78187493520}"
    assert shown["grid"] == "{{1, 2, 3}, {4, 5, -6}}"
    assert shown["is_good"] == "true"
    assert (shown["part"], shown["whole"], shown["large"]) == ("0.25", "-1.5", "3.0")
    assert shown["run"].endswith(" <kmain>")
    assert shown["text"].endswith(' "text\\n"')
    assert members["grid"].type.name == "int[2][3]"
    assert [each.name for each in members["grid"].children()] == ["[0]", "[1]"]
    assert [each.value.text() for each in members["grid"].element(1).children(1, 5)] == ["5", "-6"]


def test_a_pointer_opens_into_what_it_points_to(machine: Machine) -> None:
    following = thing(machine).member("list").member("next")
    assert [each.name for each in following.children()] == ["next", "value"]
    assert following.target.member("value").number == -7
    assert following.target.member("next").target.member("value").number == 8
    last = following.target.member("next").target.member("next").target.member("next")
    assert not last.is_expandable
    assert last.text() == "0x00000000"
    assert thing(machine).member("right").number == 20  # of a nameless structure


def test_bytes_of_a_new_value_leave_the_bits_beside_it(machine: Machine) -> None:
    bits = thing(machine).member("bits")
    high = bits.member("high")
    before = int.from_bytes(bits.storage.read(bits.offset, 4), "little")
    after = int.from_bytes(high.encoded(0x12345), "little") << 8 * (high.offset - bits.offset)
    assert after | before & 0xFF == 0x12345 << 8 | before & 0xFF
    assert bits.member("low").encoded(2)[0] == before & 0xF8 | 2
    assert bits.member("middle").encoded(-1)[0] == before & 7 | 0xF8
    with pytest.raises(Unavailable, match=r"^8 does not fit into 3 bits$"):
        bits.member("low").encoded(8)
    with pytest.raises(Unavailable, match=r"^a value of type struct bits cannot be set$"):
        bits.encoded(1)
    assert thing(machine).member("colour").encoded(-1) == b"\xff" * 4


def test_what_is_no_member_no_element_and_no_number_is_refused(machine: Machine) -> None:
    with pytest.raises(Unavailable, match=r"^struct thing has no member 'colours'$"):
        thing(machine).member("colours")
    with pytest.raises(Unavailable, match=r"^struct thing has no elements$"):
        thing(machine).element(0)
    with pytest.raises(Unavailable, match=r"^struct thing is no number$"):
        _ = thing(machine).number
    with pytest.raises(Unavailable, match=r"^enum colour is no pointer$"):
        _ = thing(machine).member("colour").target


def test_inner_variables_hide_outer_ones_and_static_ones_are_found(tmp_path: Path) -> None:
    machine = boot(str(compile_variables(tmp_path, "gcc", "-O0")))
    while True:
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=1)
        variables = Variables(machine)
        local = {each.name: each.value for each in variables.locals_(0)}
        if (
            variables.levels[0].stack_frame.frame.name == "leaf"
            and "calls" in local
            and local["calls"].number > 40
        ):
            break
    assert list(local) == ["calls", "n", "i", "sum"]
    assert [each.name for each in variables.arguments(0)] == ["n", "t", "flags", "letter"]
    found = variables.find("n", 0)
    assert found is not None
    assert found.address == local["n"].address != variables.arguments(0)[0].value.address
    assert variables.arguments(0)[0].value.number == 3
    assert variables.arguments(0)[2].value.text() == "READ | WRITE (3)"
    assert variables.find("n", 1) is None
    assert variables.register("esp", 1) == (variables.frames[0].frame_address or 0)
    assert variables.register("eax", 1) is None


def test_nothing_is_known_of_code_without_debug_information(machine: Machine) -> None:
    variables = Variables(machine)
    outermost = len(variables.levels) - 1
    assert variables.levels[outermost].stack_frame.frame.name == "_start"
    assert variables.arguments(outermost) == variables.locals_(outermost) == []
    with pytest.raises(ValueError, match=r"^'cr9' is no register$"):
        variables.register("cr9", 0)


@pytest.mark.parametrize(
    "way",
    [
        ("gcc", "-O0"),
        ("gcc", "-O2"),
        ("clang", "-O0"),
        ("clang", "-O2"),
        ("clang", "-O2", "-fno-omit-frame-pointer"),
    ],
    ids=" ".join,
)
def test_a_variable_of_the_caller_lies_where_its_pointer_leads(tmp_path: Path, way: tuple[str, ...]) -> None:
    """Clang counts variables from ESP as it is after the prologue; at a call it has moved."""
    machine = boot(str(compile_variables(tmp_path, *way)))
    machine_calls = 0
    while machine_calls < 8:
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=1)
        variables = Variables(machine)
        names = [each.stack_frame.frame.name for each in variables.levels]
        if names[:2] != ["leaf", "writes"]:
            continue
        machine_calls += 1
        copy = variables.find("copy", 1)
        assert copy is not None
        passed = variables.find("t", 0)
        assert passed is not None
        if not passed.text().startswith("<"):
            assert copy.address == passed.number
            assert copy.member("name").text() == '"@ thing"'
            break
    assert machine_calls < 8


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_names_in_an_inlined_function_are_its_own(tmp_path: Path, compiler: str) -> None:
    machine = boot(
        str(compile_variables(tmp_path, compiler, "-O2", "-fno-ipa-cp" if compiler == "gcc" else "-g"))
    )
    while True:
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=1)
        variables = Variables(machine)
        frames = [each.stack_frame.frame for each in variables.levels]
        if frames[0].inlined and frames[0].name == "inner":
            break
    assert frames[1].name == "spread"
    assert [each.name for each in variables.arguments(0)] == ["pair", "scale"]
    for number, name in ((0, "scale"), (0, "area"), (1, "third"), (1, "here")):
        shown = {
            each.name: each.value.text()
            for each in (*variables.arguments(number), *variables.locals_(number))
        }
        found = variables.find(name, number)
        assert found is not None
        assert found.text() == shown[name]
    assert variables.find("third", 0) is variables.find("scale", 1) is None


def test_a_variable_that_the_compiler_keeps_as_one_bit_does_not_hide_others(tmp_path: Path) -> None:
    source = """
        volatile unsigned other = 7;
        static int ready;
        __attribute__((noinline)) void prepare(void) { if (!ready) { ready = 5; other++; } }
        void kmain(void) { prepare(); prepare(); __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ; }
    """
    machine = boot(str(compile_kernel(tmp_path, source, ["-gdwarf-5"], "clang", entry=ENTRY)))
    found = {each.name: each.value.text() for each in Variables(machine).globals_()}
    assert found["other"] == "7"
    assert found["ready"] == "0"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_variable_that_was_left_out_does_not_hide_an_inner_one(tmp_path: Path, compiler: str) -> None:
    """Of the outer variable clang has no entry in the copy; gcc has one without a place."""
    source = """
        volatile unsigned seen;
        static inline __attribute__((always_inline)) unsigned inner(unsigned n, unsigned unused, unsigned m)
        {
            unsigned value = n + m;
            unsigned kept = value + seen;
            {
                unsigned value = n + 40;
                seen = value;
                seen = kept;
            }
            return n;
        }
        __attribute__((noinline)) unsigned outer(unsigned n) { return inner(n, 7, n + 1) + seen; }
        void kmain(void) { seen = outer(5); __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ; }
    """
    machine = boot(str(compile_kernel(tmp_path, source, ["-g"], compiler, entry=ENTRY)))
    seen = []
    while True:
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=1)
            break
        variables = Variables(machine)
        if variables.levels and variables.levels[0].stack_frame.frame.name == "inner":
            found = variables.find("value", 0)
            assert found is not None
            seen.append((found.text(), [(each.name, each.value.text()) for each in variables.locals_(0)]))
            assert [each.name for each in variables.arguments(0)] == ["n", "unused", "m"]
    assert ("45", [("value", "45"), ("kept", "11")]) in seen


@pytest.mark.parametrize(
    "way", [("gcc", "-O0"), ("gcc", "-O0", "-gdwarf-2", "-gstrict-dwarf"), ("clang", "-O0")], ids=" ".join
)
def test_arrays_are_as_long_as_they_were_made(tmp_path: Path, way: tuple[str, ...]) -> None:
    with debugger(str(compile_aggregates(tmp_path, *way))) as d:
        source = (tmp_path / "kernel.c").read_text().splitlines()
        line = next(number for number, text in enumerate(source, start=1) if "sum += row[i]" in text)
        d.break_at(f"kernel.c:{line}")
        d.run()
        row, grid = (Variables(d.machine).find(name, 0) for name in ("row", "grid"))
        assert row is not None
        assert grid is not None
        assert (row.type.size, row.text()) == (16, "{0, 3, 6, 9}")
        assert (grid.type.size, grid.element(3).text()) == (24, "{3, 2, 1}")
        assert grid.text() == "{{0, -1, -2}, {1, 0, -1}, {2, 1, 0}, {3, 2, 1}}"
        assert row.type.name == "int[4]"
        assert grid.is_expandable
        variables = Variables(d.machine)
        scope = variables.levels[0].scope
        assert scope is not None
        typed = next(each.typed for each in scope.variables if each.name == "grid")
        lengths = iter([4, None] * 20)  # of the rows it is not known
        of_rows = ValueType(d.image.units, typed, lambda _dimension: next(lengths))
        rows = Value(variables.memory, of_rows, grid.storage)
        assert not rows.is_expandable
        assert list(rows.children()) == []
        assert rows.text() == "<its length is not known>"


def test_a_bit_field_is_known_though_others_beside_it_are_not() -> None:
    pieces = [
        Piece(3, None, problem="optimised out"),
        Piece(5, Known(b"\x15")),
        Piece(8, None, problem="gone"),
    ]
    storage = InPieces(pieces)
    assert storage.bits(3, 5) == 0x15
    assert storage.bits(4, 3) == 2
    with pytest.raises(Unavailable, match=r"^optimised out$"):
        storage.bits(2, 2)
    with pytest.raises(Unavailable, match=r"^optimised out$"):
        storage.read(0, 1)
    with pytest.raises(Unavailable, match=r"^gone$"):
        storage.bits(7, 2)
    with pytest.raises(Unavailable, match=r"^its debug information has no place for all of it$"):
        storage.bits(16, 1)
    assert Known(b"\x12\x34").bits(4, 8) == 0x41
