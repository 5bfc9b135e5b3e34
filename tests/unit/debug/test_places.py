from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot, debug
from emulator.debug.places import places_of_function, read_places
from emulator.debug.variables import Variables
from emulator.loader.functions.inlined import inlined_copies
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.inlining_kernel import compile_inlining
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from pathlib import Path

JUMPS = """
volatile int flag, x;
__attribute__((noinline)) void loops(void) { while (flag) x++; }
__attribute__((noinline)) void returns(void) { x = 1; if (!flag)
    return; x = 5; loops(); }
void kmain(void) { returns(); loops(); __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ; }
"""
TWO_FILES = """
static __attribute__((noinline)) int take(int n) { return n * 2; }
int other(int n) { return take(n + 1); }
"""


@pytest.mark.parametrize(
    "way",
    [
        ("gcc", "-O0"),
        ("gcc", "-O0", "-mregparm=3"),
        ("gcc", "-O0", "-mregparm=3", "-fomit-frame-pointer"),
        ("gcc", "-O0", "-mregparm=3", "-fpie"),
        ("gcc", "-O2", "-mregparm=3"),
        ("clang", "-O0"),
        ("clang", "-O2"),
    ],
    ids=" ".join,
)
def test_a_function_is_stopped_where_its_arguments_are(tmp_path: Path, way: tuple[str, ...]) -> None:
    with debug.debugger(str(compile_variables(tmp_path, *way))) as d:
        point = d.break_at("leaf")
        d.run()
        arguments = {each.name: each.value.text() for each in Variables(d.machine).arguments(0)}
        assert arguments == {
            "n": "3",
            "t": arguments["t"],
            "flags": "READ | WRITE (3)",
            "letter": "97 'a'",
        }
        assert arguments["t"].endswith("<thing>")
        start = d.image.symbols["leaf"].address
        (address,) = point.addresses
        assert (address > start) == (way[1] == "-O0" or way[0] == "clang")
        assert d.break_at("leaf+0").addresses == (start,)
        assert d.break_at(start).addresses == (start,)


@pytest.mark.parametrize("option", ["-Og", "-O1", "-O2"])
def test_no_jump_is_left_out(tmp_path: Path, option: str) -> None:
    """No variable has a list of locations here: all that is known is the code."""
    image = boot(str(compile_kernel(tmp_path, JUMPS, ["-g", option], entry=ENTRY))).image
    for name in ("loops", "returns"):
        assert places_of_function(image, name) == (image.symbols[name].address,)


def test_a_function_without_debug_information_begins_where_it_begins(tmp_path: Path) -> None:
    image = boot(str(compile_variables(tmp_path, "gcc", "-O0"))).image
    assert places_of_function(image, "_start") == (image.symbols["_start"].address,)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_copies_inside_of_other_functions_are_stopped_at(tmp_path: Path, compiler: str) -> None:
    with debug.debugger(str(compile_inlining(tmp_path, compiler, "-g", "-O2"))) as d:
        assert d.image.symbol("node_new") is None
        nodes = d.break_at("node_new")
        line = next(number for number in d.image.lines_of_file("kernel.c") if number > 7)
        in_copies = d.break_at(f"kernel.c:{line}")
        assert len(nodes.addresses) == 2
        stops = 0
        while d.run().point is not None:
            if d.machine.registers().eip in nodes.addresses:
                stops += 1
                names = [each.stack_frame.frame.name for each in Variables(d.machine).levels]
                assert "node_new" in names[:2]  # zalloc() is in it
        assert stops >= nodes.hits == 9  # calls of push()
        assert in_copies.hits >= nodes.hits


@pytest.mark.parametrize("option", ["-O1", "-O2", "-Os"])
def test_arguments_of_a_copy_are_there_where_it_is_stopped(tmp_path: Path, option: str) -> None:
    """Gcc lets this copy be entered by an instruction of its caller."""
    source = """
        static inline void words(void *to, int value, int count)
        {
            __asm__ volatile("cld; rep stosl" : "=D"(to), "=c"(count) : "0"(to), "1"(count), "a"(value) : "memory");
        }
        char room[64];
        __attribute__((noinline)) void *fill(void *to, int value, unsigned size)
        {
            if ((unsigned)to % 4 == 0 && size % 4 == 0) {
                value &= 0xff;
                words(to, value << 24 | value << 16 | value << 8 | value, size / 4);
            }
            return to;
        }
        void kmain(void) { fill(room, 7, 64); for (;;) ; }
    """
    with debug.debugger(str(compile_kernel(tmp_path, source, ["-g", option], entry=ENTRY))) as d:
        (entered,) = (each.address for each in inlined_copies(d.image, ["words"]))
        assert not d.image.inlined_calls(entered)
        d.break_at("words")
        d.run()
        variables = Variables(d.machine)
        assert variables.levels[0].stack_frame.frame.name == "words"
        assert [each.name for each in variables.arguments(0)] == ["to", "value", "count"]


def test_of_functions_of_one_name_all_are_meant_or_that_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(TWO_FILES)
    source = "static __attribute__((noinline)) int take(int n) { return n + 1; } int other(int n);\n"
    source += "volatile int sink; void kmain(void) { sink = take(sink); sink = other(sink); for (;;) ; }"
    options = ["-g", "-O2", "-fno-inline", "other.c"]
    image = boot(str(compile_kernel(tmp_path, source, options, entry=ENTRY))).image
    both = places_of_function(image, "take")
    assert len(both) == 2
    first, second = (places_of_function(image, f"{file}:take") for file in ("kernel.c", "other.c"))
    assert {*first, *second} == {*both}
    assert len(first) == len(second) == 1


def test_a_copy_belongs_to_the_file_of_its_function(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(TWO_FILES.replace("noinline", "always_inline"))
    source = "static __attribute__((noinline)) int take(int n) { return n + 1; } int other(int n);\n"
    source += "volatile int sink; void kmain(void) { sink = take(sink); sink = other(sink); for (;;) ; }"
    image = boot(str(compile_kernel(tmp_path, source, ["-g", "-O2", "other.c"], entry=ENTRY))).image
    assert places_of_function(image, "kernel.c:take") == (image.symbols["take"].address,)
    (copy,) = places_of_function(image, "other.c:take")
    assert image.function_at(copy) == (image.symbols["other"], 0)
    assert places_of_function(image, "take") == (image.symbols["take"].address, copy)


def test_the_rest_of_a_function_that_begins_in_its_callers_is_no_second_beginning(tmp_path: Path) -> None:
    source = """
        volatile int flag, x; void g(void);
        void f(void) { if (flag) { x = 3; g(); } x = 4; }
        void h(void) { while (flag) x++; }
        void k(void) { for (;;) { if (x) return; g(); } }
        void g(void) { x = 1; if (!flag)
            return; x = 5; h(); f(); k(); }
        void kmain(void) { g(); for (;;) ; }
    """
    image = boot(str(compile_kernel(tmp_path, source, ["-g", "-O2"], entry=ENTRY))).image
    rest = next(each for each in image.symbols.values() if each.name.startswith("g.part."))
    assert len(places_of_function(image, "g")) > 2
    (begin,) = places_of_function(image, rest.name)
    assert rest.address <= begin < rest.address + rest.size
    assert begin not in places_of_function(image, "g")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nowhere.c:12", "no instruction belongs to nowhere.c:12"),
        ("heap.c:x", "'heap.c:x' is no address and no symbol of the kernel"),
        ("nobody", "'nobody' is no address and no symbol of the kernel"),
    ],
)
def test_what_is_no_place_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^") as error:
        read_places(text, boot("firmware:overflow").image)
    assert str(error.value) == problem


@pytest.mark.parametrize("name", ["push", "Queue::push", "kernel.c:push", "kernel.c:Queue::push"])
def test_the_scopes_of_a_name_may_be_left_out(tmp_path: Path, name: str) -> None:
    source = """
        namespace sched { struct Queue { int head; __attribute__((noinline)) void push(int n) { head = n; } }; }
        sched::Queue queue;
        extern "C" void kmain(void) { queue.push(1); __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ; }
    """
    image = boot(
        str(compile_kernel(tmp_path, source, ["-g", "-O1", "-std=gnu++17"], "g++", entry=ENTRY))
    ).image
    whole = places_of_function(image, "sched::Queue::push")
    assert whole
    assert places_of_function(image, name) == whole
    for part in ("ush", "ueue::push", "Queue"):
        assert places_of_function(image, part) == ()
