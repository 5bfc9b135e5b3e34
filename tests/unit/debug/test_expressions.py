from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.debug.expressions import Expression, Number
from emulator.debug.variables import NamesOfLevel, Variables
from emulator.errors import BudgetUsedUp
from emulator.guest.storage import Unavailable
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from emulator.debug.expressions import Context
    from emulator.machine.machine import Machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine in `leaf`, called from `kmain`."""
    machine = boot(str(compile_variables(tmp_path_factory.mktemp("expressions"), "gcc", "-O0")))
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=30)
    assert Variables(machine).levels[0].stack_frame.frame.name == "leaf"
    return machine


@pytest.fixture(scope="module")
def context(machine: Machine) -> Context:
    return NamesOfLevel(Variables(machine), machine.image, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3 - -1", 10),
        ("10 / 3 * 100 + -10 % 3", 299),
        ("-7 / 2", -3),
        ("1 << 4 | 3", 19),
        ("0xffffffff == -1", 1),
        ("4294967295 == -1", 0),
        ("0xffffffff > 1 && -1 < 1", 1),
        ("0x80000000 + 0x80000000", 0),
        ("2147483647 + 1", -2147483648),
        ("0x100000000 + 0xffffffff", 0x1FFFFFFFF),
        ("~0", -1),
        ("~0u", -1),
        ("!5 || !0", 1),
        ("5 & 6 ^ 1", 5),
        ("1 == 1 == 1", 1),
        ("'a' + '\\n'", 107),
        ("thing.colour", 5),
        ("thing.bits.middle * 2", -6),
        ("thing.list.next->next->value", 8),
        ("(*thing.list.next).value", -7),
        ("thing.list.next[1].value", 8),
        ("(thing.list.next + 2)->value", 9),
        ("thing.list.next->next - nodes", 1),
        ("thing.grid[1][2]", -6),
        ("*thing.text == 't' && thing.text[4] == '\\n'", 1),
        ("lookup[2]", 3),
        ("t->grid[1][1] + flags", 8),
        ("letter", 97),
        ("&thing == t", 1),
        ("&t->name[3] - &thing.name[1]", 2),
        ("thing.run == kmain", 1),
        ("&kmain == kmain", 1),
        ("$cr0 & 1", 1),
        ("$cs_base", 0),
        ("0 && nobody", 0),
        ("1 || 1 / 0", 1),
    ],
)
def test_expressions_are_those_of_c(context: Context, text: str, value: int) -> None:
    assert Expression(text).number(context) == value


def test_registers_are_those_of_the_level(machine: Machine) -> None:
    variables = Variables(machine)
    inner, outer = (NamesOfLevel(variables, machine.image, level) for level in (0, 1))
    assert Expression("$esp").number(inner) == machine.registers().esp
    assert Expression("$eip").number(outer) == variables.levels[1].stack_frame.frame.address
    assert Expression("$ebp").number(inner) < Expression("$ebp").number(outer)
    with pytest.raises(Unavailable, match=r"^eax of this frame is not known$"):
        Expression("$eax").number(outer)


def test_the_names_of_an_expression_are_known_before_it_is_evaluated() -> None:
    expression = Expression("a->b[c.d] + *e && $eax == 'x'")
    assert list(expression.names()) == ["a", "c", "e"]
    assert list(expression.registers()) == ["eax"]


def test_a_variable_is_returned_with_its_type(context: Context) -> None:
    result = Expression("thing.list").result(context)
    assert not isinstance(result, Number)
    assert result.type.name == "struct list"
    pointer = Expression("thing.list.next + 1").result(context)
    assert not isinstance(pointer, Number)
    assert pointer.type.name == "struct list *"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "its end is not expected in ''"),
        ("1 +", "its end is not expected in '1 +'"),
        ("1 2", "'2' is not expected in '1 2'"),
        ("a = 1", "'= 1' cannot be evaluated in 'a = 1'"),
        ("f(1)", "'(' is not expected in 'f(1)'"),
        ("(int)a", "'a' is not expected in '(int)a'"),
        ("a.", "its end is not expected in 'a.'"),
        ("a.1", "'1' is not expected in 'a.1'"),
        ("a[1", "its end is not expected in 'a[1'"),
        ('"text"', "'\"text\"' cannot be evaluated in '\"text\"'"),
        ("1.5", "'1.5' cannot be evaluated in '1.5'"),
        ("'\\q'", "'\\q' is no character"),
        ("99999999999999999999", "99999999999999999999 is no number of 64 bits"),
        ("-" * 100, f"{'-' * 40!r}... is nested too deeply"),
        ("1" * 1001, "the expression has 1001 characters, more than 1000"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^") as error:
        Expression(text)
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nobody", "there is no variable 'nobody' here"),
        ("&nobody", "there is no variable 'nobody' here"),
        ("_start.x", "_start is a number, which has no parts"),
        ("$eax->x", "$eax is a number, which has no parts"),
        ("$nobody", "'nobody' is no register"),
        ("thing.nobody", "struct thing has no member 'nobody'"),
        ("thing.colour[1]", "enum colour has no elements"),
        ("*thing.colour", "enum colour is no pointer"),
        ("thing + 1", "struct thing is no number"),
        ("1 / 0", "a division by zero"),
        ("1 << 32", "a shift by 32 bits"),
        ("nodes + nodes", "two pointers have no sum"),
        ("&thing.bits.low", "thing has no address"),
        ("*thing.list.next->next->next->next", "struct list is no number"),
        ("thing.list.next->next->next->next->value + (*(thing.list.next + 0x1000000)).value", None),
    ],
)
def test_what_cannot_be_evaluated_is_refused(context: Context, text: str, problem: str | None) -> None:
    with pytest.raises((ValueError, Unavailable)) as error:
        Expression(text).number(context)
    if problem is not None:
        assert str(error.value).replace("low has", "thing has") == problem
    else:
        assert str(error.value).startswith("nothing is mapped at 0x")
