from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.debug import debugger
from emulator.debug.expressions.arithmetic import Number
from emulator.debug.expressions.expression import Expression
from emulator.debug.variables import NamesOfLevel, Variables
from emulator.errors import BudgetUsedUp
from emulator.guest.storage import Unavailable
from emulator.loader.dwarf.made_types import TypeName
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.cpp_kernel import SCOPED, compile_cpp
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.debug.expressions.evaluation import Context
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
        ("~0u", 0xFFFFFFFF),
        ("~0u > 0 && 1u - 2 > 0", 1),
        ("~0ull == ~0ull >> 0", 1),
        ("1ll << 40", 1 << 40),
        ("010 + 0", 8),
        ("'\\x41' + '\\101' + '\\0'", 130),
        ("'\\xff'", -1),
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
        ("0 ? 1 / 0 : 2 ? 3 : 4", 3),
        ("(u8)300 + 1", 45),
        ("(unsigned)-1 > 0", 1),
        ("(short)0x18000", -32768),
        ("(unsigned short int)-1", 65535),
        ("(u32)&thing == (unsigned long)t", 1),
        ("(letter) - 1", 96),
        ("(letter) * (2)", 194),
        ("(u32) - 1 == 0xffffffff", 1),
        ("*(unsigned *)&thing.both", 0x01020304),
        ("*(u8 *)((char *)&thing.both + 3)", 1),
        ("((struct thing *)t)->list.next[1].value", 8),
        ("((struct thing *)(u32)t)->grid[1][2]", -6),
        ("t.list.value", 77),
        ("((struct list *)t->list.next + 1)->value", 8),
        ("(1 + nodes)->value", 8),
        ("(int *)16 + 1 == (void *)20", 1),
        ("(struct list *)24 - (struct list *)8", 2),
        ("sizeof(struct list)", 8),
        ("sizeof thing.grid / sizeof thing.grid[0]", 2),
        ("sizeof(int *) + sizeof(char[5]) + sizeof(u64)", 17),
        ("sizeof 1 + sizeof(1ll)", 12),
        ("sizeof (thing.name)[0]", 1),
        ("(lookup[0]@3)[2]", 3),
        ("{u8} (lookup + 1)", 2),
        ("(void *)kmain == thing.run", 1),
    ],
)
def test_expressions_are_those_of_c(context: Context, text: str, value: int) -> None:
    assert Expression(text, context.types).number(context) == value


def test_registers_are_those_of_the_level(machine: Machine) -> None:
    variables = Variables(machine)
    inner, outer = (NamesOfLevel(variables, machine.image, level) for level in (0, 1))
    esp, eip, ebp, eax = (Expression(f"${name}", inner.types) for name in ("esp", "eip", "ebp", "eax"))
    assert esp.number(inner) == machine.registers().esp
    assert eip.number(outer) == variables.levels[1].stack_frame.frame.address
    assert ebp.number(inner) < ebp.number(outer)
    with pytest.raises(Unavailable, match=r"^eax of this frame is not known$"):
        eax.number(outer)


def test_the_names_of_an_expression_are_known_before_it_is_evaluated(context: Context) -> None:
    text = "a->b[c.d] + *e && $eax == 'x' ? ((struct list *)f)->next : {u32} g + sizeof(u8)"
    expression = Expression(text, context.types)
    assert list(expression.names()) == ["a", "c", "e", "f", "g"]
    assert list(expression.registers()) == ["eax"]
    assert list(expression.types()) == [
        TypeName(("struct", "list"), pointers=1),
        TypeName(("u32",)),
        TypeName(("u8",)),
    ]


@pytest.mark.parametrize(
    ("text", "type_", "shown"),
    [
        ("thing.list", "struct list", None),
        ("thing.list.next + 1", "struct list *", None),
        ("&thing", "struct thing *", None),
        ("&thing.list.value", "int *", None),
        ("*&thing.list.value", "int", "77"),
        ("nodes + 1", "struct list *", None),
        ("&nodes[1] - 1", "struct list *", None),
        ("(unsigned char)0x1ff", "unsigned char", "255 '\\377'"),
        ("(char)200", "char", "-56 '\\310'"),
        ("(enum colour)9", "enum colour", "BLUE (9)"),
        ("(_Bool)8", "_Bool", "true"),
        ("(u64)-1", "u64", "18446744073709551615"),
        ("(long long int)$eip", "long long", None),
        ("(struct list *)&thing.list", "struct list *", None),
        ("*(struct list *)&thing.list", "struct list", None),
        ("(void *)0", "void *", "0x00000000"),
        ("(const char *)thing.name", "char *", None),
        ("{struct list} &thing.list", "struct list", None),
        ("{int} (&thing.list.value)", "int", "77"),
        ("nodes[0]@2", "struct list[2]", None),
        ("lookup[0]@3", "u8[3]", '"\\001\\002\\003"'),
        ("*lookup@1+1", "u8[2]", '"\\001\\002"'),
        ("{int[3]} thing.grid", "int[3]", "{1, 2, 3}"),
        ("1 ? thing.colour : 0", "enum colour", "GREEN (5)"),
    ],
)
def test_results_have_types(context: Context, text: str, type_: str, shown: str | None) -> None:
    result = Expression(text, context.types).result(context)
    assert not isinstance(result, Number)
    assert result.type.name == type_
    assert shown is None or result.text() == shown


def test_a_type_of_several_files_is_that_of_the_level(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(
        "typedef struct { char c[3]; } t; int other(void) { volatile t x = {{7}}; return x.c[0]; }\n"
    )
    source = "typedef struct { int n[4]; } t; volatile t one; int other(void);\n"
    source += "void kmain(void) { one.n[0] = other(); for (;;) ; }"
    kernel = compile_kernel(tmp_path, source, ["-g", "-O0", "other.c"], entry=ENTRY)
    with debugger(str(kernel)) as d:
        for function, size in (("kmain", 16), ("other", 3)):
            d.break_at(function)
            d.run()
            names = NamesOfLevel(Variables(d.machine), d.image, 0)
            assert Expression("sizeof(t)", names.types).number(names) == size


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "its end is not expected in ''"),
        ("1 +", "its end is not expected in '1 +'"),
        ("1 2", "'2' is not expected in '1 2'"),
        ("a = 1", "'= 1' cannot be evaluated in 'a = 1'"),
        ("f(1)", "'(' is not expected in 'f(1)'"),
        ("(int)", "its end is not expected in '(int)'"),
        ("(int", "its end is not expected in '(int'"),
        ("(struct)1", "'struct' is no type in '(struct)1'"),
        ("(int (*)3)1", "'3' is not expected in '(int (*)3)1'"),
        ("(int (*)(int))1", "'(' is not expected in '(int (*)(int))1'"),
        ("(int (*))1", "')' is not expected in '(int (*))1'"),
        ("(int ()[3])1", "'[' is not expected in '(int ()[3])1'"),
        ("(int (*)[0])1", "an array of 0 elements"),
        ("{int[99999][99999]} 1", "an array of 2 dimensions with 9999800001 elements"),
        ("{int[1][1][1][1][1][1][1][1][1]} 1", "an array of 9 dimensions with 1 elements"),
        ("a::", "':' is not expected in 'a::'"),
        (":::a", "':' is not expected in ':::a'"),
        ("{int[0]} 1", "an array of 0 elements"),
        ("{int[9999999]} 1", "an array of 9999999 elements"),
        ("1 ? 2", "its end is not expected in '1 ? 2'"),
        ("08", "08 is no octal number"),
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
def test_what_is_no_expression_is_refused(context: Context, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^") as error:
        Expression(text, context.types)
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
        ("sizeof thing.bits.low", "a bit field has no size"),
        ("sizeof(void)", "the size of void is not known"),
        ("(struct nobody *)0", "there is no type 'struct nobody' in the debug information"),
        ("(union list)0", "there is no type 'union list' in the debug information"),
        ("(long char)1", "'long char' is no type"),
        ("(struct list)0", "nothing can be converted to struct list"),
        ("(float)1", "nothing can be converted to float"),
        ("(int)thing", "struct thing is no number"),
        ("thing.part + 1", "float is a floating-point type, with which nothing is computed"),
        ("1@2", "only what lies in memory has others beside it"),
        ("n@0", "an array of 0 elements"),
        ("*thing.list.next->next->next->next", "struct list is no number"),
        ("thing.list.next->next->next->next->value + (*(thing.list.next + 0x1000000)).value", None),
    ],
)
def test_what_cannot_be_evaluated_is_refused(context: Context, text: str, problem: str | None) -> None:
    with pytest.raises((ValueError, Unavailable)) as error:
        Expression(text, context.types).number(context)
    if problem is not None:
        assert str(error.value).replace("low has", "thing has") == problem
    else:
        assert str(error.value).startswith("nothing is mapped at 0x")


@pytest.mark.parametrize(
    ("text", "type_", "shown"),
    [
        ("&thing.grid", "int (*)[2][3]", None),
        ("&thing.grid[1]", "int (*)[3]", None),
        ("*&thing.grid[1]", "int[3]", "{4, 5, -6}"),
        ("*(thing.grid + 1)", "int[3]", "{4, 5, -6}"),
        ("((int (*)[3])thing.grid)[1]", "int[3]", "{4, 5, -6}"),
        ("*((int (*)[3])thing.grid + 1)", "int[3]", "{4, 5, -6}"),
        ("*(int (*)[3][2])thing.grid", "int[3][2]", "{{1, 2}, {3, 4}, {5, -6}}"),
        ("(*(int (*)[3][2])thing.grid)[2]", "int[2]", "{5, -6}"),
        ("(char *(*)[2])&thing", "char *(*)[2]", None),
        ("(int (**)[3])&thing", "int (**)[3]", None),
        ("&*(int (*)[3])thing.grid", "int (*)[3]", None),
        ("{int[2][3]} &thing.grid", "int[2][3]", "{{1, 2, 3}, {4, 5, -6}}"),
    ],
)
def test_pointers_to_arrays(context: Context, text: str, type_: str, shown: str | None) -> None:
    result = Expression(text, context.types).result(context)
    assert not isinstance(result, Number)
    assert result.type.name == type_
    assert shown in (None, result.text())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sizeof(int (*)[3])", 4),
        ("sizeof *(int (*)[3])0", 12),
        ("sizeof(int[2][3])", 24),
        ("(int (*)[3])thing.grid + 1 - (int (*)[3])thing.grid", 1),
        ("((int (*)[3])thing.grid)[1][2]", -6),
    ],
)
def test_numbers_of_pointers_to_arrays(context: Context, text: str, value: int) -> None:
    assert Expression(text, context.types).number(context) == value


@pytest.fixture(scope="module", params=["g++", "clang++"])
def scoped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Of a kernel with namespaces, in front of its first instruction."""
    machine = boot(str(compile_cpp(tmp_path_factory.mktemp("scoped"), SCOPED, request.param)))
    return NamesOfLevel(Variables(machine), machine.image, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sched::queue.head", 5),
        ("sched::inner::queue.head", 6),
        ("inner::queue.head", 6),
        ("::sched::queue.head + 1", 6),
        ("other::queue", 1),
        ("other::hidden", 3),
        ("inner::only", 9),
        ("sched::Queue::made", 7),
        ("Queue::made", 7),
        ("sizeof(sched::Queue)", 4),
        ("sizeof(other::Queue)", 2),
        ("sizeof(inner::Only)", 10),
        ("sizeof(struct sched::Queue)", 4),
        ("((sched::Queue *)&sched::queue)->head", 5),
        ("({sched::Queue} &inner::queue).head", 6),
        ("sched::queue.head ? other::queue : queue", 1),
        ("sched::Queue::push == &sched::Queue::push && Queue::push", 1),
        ("::queue", 2),
    ],
)
def test_names_have_scopes(scoped: Context, text: str, value: int) -> None:
    assert Expression(text, scoped.types).number(scoped) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("::inner::only", "there is no variable '::inner::only' here"),
        ("sched::nothing", "there is no variable 'sched::nothing' here"),
        ("(sched::Nothing *)1", "')' is not expected in '(sched::Nothing *)1'"),
        (
            "sizeof(struct sched::Nothing)",
            "there is no type 'struct sched::Nothing' in the debug information",
        ),
    ],
)
def test_names_whose_scopes_are_not_there(scoped: Context, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^") as error:
        Expression(text, scoped.types).number(scoped)
    assert str(error.value) == problem


def test_a_name_that_may_mean_several_is_refused(tmp_path: Path) -> None:
    source = """
    namespace a { namespace x { int v = 1; struct T { int i; }; void f() { v++; } } }
    namespace b { namespace x { int v = 2; struct T { char c; }; void f() { v++; } } }
    extern "C" void kmain(void) { a::x::T t; b::x::T u; t.i = a::x::v; u.c = b::x::v; a::x::f(); b::x::f(); for (;;) ; }
    """
    machine = boot(str(compile_cpp(tmp_path, source)))
    context = NamesOfLevel(Variables(machine), machine.image, 0)
    for text, names in (("x::v", "a::x::v, b::x::v"), ("sizeof(x::T)", "a::x::T, b::x::T")):
        with pytest.raises(ValueError, match=rf"^'x::.' may be each of {names}$"):
            Expression(text, context.types).number(context)
    with pytest.raises(ValueError, match=r"^'x::f' may be each of a::x::f\(\), b::x::f\(\)$"):
        Expression("x::f", context.types).number(context)
    assert Expression("b::x::v", context.types).number(context) == 2
