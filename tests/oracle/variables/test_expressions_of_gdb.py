"""Expressions are what gdb says of them in the same state, in C and in C++."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.debug import debugger
from emulator.debug.expressions.arithmetic import Number
from emulator.debug.expressions.expression import Expression
from emulator.debug.variables import NamesOfLevel, Variables
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.gdb import PROGRAM
from tests.helpers.gdb_core import write_core
from tests.helpers.variable_kernel import compile_variables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IN_C = """
(unsigned char)0x1ff
(char)200
(short)0x18000
(enum colour)9
(u64)-1
(unsigned long long)(int)-1
(long long)0xffffffff
(u32)(u8)-1
((struct thing *)t)->list.next[1].value
*(unsigned *)&thing.both
*(unsigned short *)((char *)&thing.both + 1)
{struct list} &thing.list
{u8} (lookup + 1)
sizeof(struct thing)
sizeof thing.bits
sizeof(struct list *)
sizeof(thing.grid[0])
sizeof 1ll + sizeof(char)
nodes[0]@2
lookup[0]@3
*nodes@1+1
&nodes[1]
&thing.list
&nodes[2] - &nodes[0]
(struct list *)24 - (struct list *)8
(struct list *)8 + 2
nodes + 1
1 + nodes
thing.list.next == &nodes[0]
t->grid[1][2]
thing.bits.middle * 2 - thing.colour
-thing.colour
!thing.list.next
letter + 1
(letter) - 1
(letter) * (2)
(u32) - 1
(u32)-1 / 2
-7 / 2
-7 % 3
7u - 8 > 0
-1 > 0u
0x80000000 > 0
2147483648 > 0
0xffffffff + 1
0xffffffffu + 1ll
1 << 31
'a' + '\\\\x01'
'\\\\377' < 0
010 + 0x10
1 ? 2 : 3
0 ? 1 : 0 ? 2 : 3
5 & 6 ^ 1 | 8
1 + 2 << 3
1 < 2 == 1
thing.text[1]
*thing.text
(unsigned)thing.text[0] + 1
thing.left + thing.right
thing.is_good + 1
"""
CPP = """
namespace heap { struct node { node *next; int value; }; enum class kind : unsigned char { ONE = 1, TWO }; }
template <typename T> struct pair { T first, second; };
class base { protected: int id = 7; public: virtual int area() { return id; } };
class square : public base { int side = 3; public: int area() override { return side * side + id; } };
union word { unsigned all; unsigned char bytes[4]; };
struct outer { struct { int in; }; word w; int *end; int (*call)(int); int fields[2][3]; unsigned low : 3, high : 5; };
heap::node last = {nullptr, 2}; heap::node head = {&last, 1};
static int twice(int n) { return 2 * n; }
volatile int sink;
extern "C" void *memcpy(void *to, const void *from, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}
__attribute__((noinline)) int look(outer &o, const pair<short> *p, heap::kind kind, square &s)
{
    sink = o.in + p->first + int(kind) + s.area();
    return sink + o.call(4);
}
extern "C" void kmain()
{
    outer o = {{5}, {0x01020304}, &head.value, twice, {{1, 2, 3}, {4, 5, 6}}, 5, 17};
    pair<short> p = {-3, 4};
    square s;
    sink = look(o, &p, heap::kind::TWO, s);
    asm volatile("outl %0, $0xf4" : : "a"(0));
    for (;;) ;
}
"""
IN_CPP = """
o.in
o.w.bytes[1]
o.end[0]
*o.end
o.fields[1][2]
o.low + o.high
p->first * p->second
p.first
head.next->value
head.next[0].value + 1
sizeof(outer)
sizeof(o)
sizeof(word)
((outer *)&o)->in
(word *)0
*(word *)&o.w
*(unsigned *)&o.w
s.side
s.id
(unsigned)kind
sizeof(square)
*p@1
"""


def said_by_gdb(kernel: Path, core: Path, expressions: Sequence[str]) -> list[str]:
    commands = [f"print {each}" for each in expressions]
    settings = ["set print symbol off", "set width 0", "set print static-members off", "set charset ASCII"]
    words = [word for each in (*settings, *commands) for word in ("-ex", "echo @\\n", "-ex", each)]
    command = [PROGRAM, "-q", "-nx", "-batch", *words, str(kernel), str(core)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return [each.strip().partition(" = ")[2] for each in done.stdout.split("@\n")[1 + len(settings) :]]


def normal(text: str) -> str:
    text = re.sub(r"^\([^()]*(?:\(\*\)[^()]*\([^()]*\))?\) (?=0x|@0x)", "", text)  # of pointers the type
    text = re.sub(r"0x0*([0-9a-f]+)", r"0x\1", text)
    text = re.sub(r" <[^>]*>", "", text)
    text = re.sub(r"\b([A-Z]+) \(\d+\)", r"\1", text)
    return {"true": "1", "false": "0"}.get(text, text)


def compare(kernel: Path, function: str, expressions: str, tmp_path: Path) -> None:
    texts = expressions.replace("\\\\", "\\").strip().splitlines()
    with debugger(str(kernel)) as d:
        d.break_at(function)
        d.run()
        write_core(d.machine, tmp_path / "core")
        names = NamesOfLevel(Variables(d.machine), d.image, 0)
        results = [Expression(each, names.types).result(names) for each in texts]
        ours = [normal(str(each.value) if isinstance(each, Number) else each.text()) for each in results]
    theirs = [normal(each) for each in said_by_gdb(kernel, tmp_path / "core", texts)]
    assert dict(zip(texts, ours, strict=True)) == dict(zip(texts, theirs, strict=True))


@pytest.mark.parametrize("way", [("gcc", "-O0"), ("clang", "-O0", "-gdwarf-4")], ids=" ".join)
def test_expressions_in_c_are_those_of_gdb(tmp_path: Path, way: tuple[str, ...]) -> None:
    compare(compile_variables(tmp_path, *way), "leaf", IN_C, tmp_path)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_expressions_in_cpp_are_those_of_gdb(tmp_path: Path, compiler: str) -> None:
    (tmp_path / "k.cpp").write_text(CPP)
    options = (
        "-m32",
        "-march=i686",
        "-g",
        "-O0",
        "-ffreestanding",
        "-fno-pie",
        "-fno-rtti",
        "-fno-exceptions",
    )
    subprocess.run([compiler, *options, "-c", "k.cpp"], cwd=tmp_path, check=True)
    kernel = compile_kernel(tmp_path, "", ["k.o"], compiler, entry=ENTRY)
    compare(kernel, "look", IN_CPP, tmp_path)
