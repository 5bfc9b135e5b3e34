"""The kernel of the matrix: allocators of all shapes, functions that call them, and its own log of these calls.

The log is kept by the callers, after each call: the allocators' code is the compiler's alone. What an allocator calls in turn follows
from what it is (`_CALLED_BY`). A shadow stack of the callers' numbers is the call stack as the source has it.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER: Final = """
typedef unsigned char byte;
typedef unsigned short half;
typedef unsigned size_t;
typedef unsigned long long wide_t;
#define APART __attribute__((noinline))
struct request { size_t size; unsigned flags; };
struct arena { size_t used; char memory[65536]; };
extern volatile unsigned changing;
extern volatile unsigned char chain[16];
extern volatile unsigned depth, live;
extern void *volatile kept[4];
extern void *(*volatile hook)(size_t size);
void note(unsigned function, const void *result, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f);
static inline __attribute__((always_inline)) void *bump(struct arena *arena, size_t size, unsigned salt)
{
    size_t at = arena->used;
    if (at + size > sizeof arena->memory)
        return 0;
    arena->used = at + (size + 8 + (salt & 15) + 7 & -8u);
    live += 1;
    return arena->memory + at;
}
void *kmalloc(size_t size, unsigned flags);
void kfree(void *block);
void *array(size_t count, size_t size);
void *idle(unsigned zone, size_t size, unsigned unused);
void *many(size_t size, ...);
__attribute__((regparm(2))) void *in_registers(size_t size, unsigned flags);
__attribute__((fastcall)) void *fast(size_t size, unsigned flags, unsigned third);
"""

_LOG: Final = """
#include "kernel.h"
struct row { unsigned function, result, arguments[6], depth; byte chain[16]; } rows[2048];
unsigned row_count;
volatile unsigned changing = 1;
volatile unsigned char chain[16];
volatile unsigned depth, live;
void *volatile kept[4];
void *(*volatile hook)(size_t size);
APART void note(unsigned function, const void *result, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f)
{
    unsigned words[6] = {a, b, c, d, e, f};
    struct row *row = &rows[row_count++ & 2047];
    row->function = function;
    row->result = (unsigned)result;
    for (int i = 0; i < 6; i++)
        row->arguments[i] = words[i];
    row->depth = depth;
    for (unsigned i = 0; i < 16; i++)
        row->chain[i] = chain[i];
}
void kmain(void);
extern char stack_end[];
__asm__(".bss\\n.balign 16\\n.skip 32768\\nstack_end:\\n.text\\n.globl _start\\n.type _start, @function\\n_start: mov $stack_end, %esp\\ncall kmain\\n"
        "mov $0xf4, %edx\\nxor %eax, %eax\\nout %al, %dx\\n1: hlt\\njmp 1b\\n.size _start, . - _start");
"""

_HEAP: Final = """
#include "kernel.h"
static struct arena arena;
static APART void *take(size_t size) { return bump(&arena, size, 1); }
static APART void *heap_alloc(size_t size, unsigned flags, unsigned zone)
{
    live += zone;
    return bump(&arena, size + (flags & 3), zone);
}
static APART void heap_free(void *block) { if (block != (void *)1) live -= 1; }
APART void *kmalloc(size_t size, unsigned flags) { return heap_alloc(size, flags, 5); }
APART void kfree(void *block) { if (block) heap_free(block); }
static APART void *six(int a, size_t size, int unused, int c, int d, char e)
{
    if (a == c + d + e)
        live ^= 1;
    return bump(&arena, size + c, d);
}
static APART void *from(struct request *request) { return bump(&arena, request->size, request->flags); }
static APART void *retry(size_t size, unsigned tries)
{
    void *block = tries ? retry(size + 8, tries - 1) : bump(&arena, size, 0);
    live += 1;
    return block;
}
static void *part(size_t size, unsigned flags)
{
    if (!size)
        return 0;
    for (unsigned i = 0; i < flags; i++)
        live += arena.memory[i] + i * changing;
    live += kept[0] != 0;
    live += kept[1] != 0;
    return bump(&arena, size, flags);
}
"""

_POOL: Final = """
#include "kernel.h"
static struct arena arena;
static APART void *take(size_t size) { live += 2; return bump(&arena, size * 2, 3); }
static APART void *wide(wide_t zone, size_t size) { live += zone >> 40; return bump(&arena, size, (unsigned)zone); }
static APART void *by_pointer(size_t size) { live += 3; return bump(&arena, size, 7); }
static APART void *narrow(byte size, half count) { return bump(&arena, size * (count & 7u), 2); }
static inline __attribute__((always_inline)) void *inlined(size_t size) { live += 5; return bump(&arena, size, 9); }
APART void *array(size_t count, size_t size) { return kmalloc(count * size, 1); }
APART void *idle(unsigned zone, size_t size, unsigned unused) { live += 7; return bump(&arena, size, 4); }
APART void *many(size_t size, ...)
{
    __builtin_va_list rest;
    __builtin_va_start(rest, size);
    unsigned salt = __builtin_va_arg(rest, unsigned);
    __builtin_va_end(rest);
    return bump(&arena, size, salt);
}
APART __attribute__((regparm(2))) void *in_registers(size_t size, unsigned flags) { return bump(&arena, size, flags); }
APART __attribute__((fastcall)) void *fast(size_t size, unsigned flags, unsigned third)
{
    return bump(&arena, size + (third & 1), flags);
}
"""


class Allocator(NamedTuple):
    """An allocator of the kernel.

    Attributes:
        name: Its name; with its file where another file has one of that name.
        parameters: Their names.
        files: Those whose functions call it.
        constants: Arguments that all its callers give, by position.
    """

    name: str
    parameters: tuple[str, ...]
    files: str
    constants: tuple[tuple[int, int], ...] = ()


ALLOCATORS: Final = (
    Allocator("heap.c:take", ("size",), "heap"),
    Allocator("pool.c:take", ("size",), "pool"),
    Allocator("heap_alloc", ("size", "flags", "zone"), "heap", ((2, 5),)),
    Allocator("kmalloc", ("size", "flags"), "heap pool"),
    Allocator("heap_free", ("block",), "heap"),
    Allocator("kfree", ("block",), "heap pool"),
    Allocator("six", ("a", "size", "unused", "c", "d", "e"), "heap", ((3, 7),)),
    Allocator("wide", ("zone", "size"), "pool"),
    Allocator("from", ("request",), "heap"),
    Allocator("retry", ("size", "tries"), "heap"),
    Allocator("part", ("size", "flags"), "heap"),
    Allocator("by_pointer", ("size",), "heap pool"),
    Allocator("in_registers", ("size", "flags"), "heap pool"),
    Allocator("fast", ("size", "flags", "third"), "heap pool"),
    Allocator("idle", ("zone", "size", "unused"), "heap pool"),
    Allocator("narrow", ("size", "count"), "pool"),
    Allocator("many", ("size",), "heap pool"),
    Allocator("array", ("count", "size"), "heap pool"),
    Allocator("inlined", ("size",), "pool"),
)
PROFILE: Final = (
    "[all]\nother = ["
    + ", ".join(
        f'"{each.name.rpartition(":")[2]}({", ".join(each.parameters)}) -> value"'
        for each in ALLOCATORS
        if each.name != "pool.c:take"
    )
    + "]\n"
)


class LoggedCall(NamedTuple):
    """A call as the source makes it.

    Attributes:
        function: Of `ALLOCATORS`, by name.
        arguments: As words.
        result: As the function returned it; None: it returns nothing.
        callers: Names of the functions around it, innermost first, without allocators.
    """

    function: str
    arguments: tuple[int, ...]
    result: int | None
    callers: tuple[str, ...]


def sources(seed: int) -> dict[str, str]:
    """Return the kernel's files: the same calls for the same seed."""
    chance = random.Random(seed)
    files = {"kernel.h": HEADER, "log.c": _LOG}
    drivers = [(file, index) for file in ("heap", "pool") for index in range(6)]
    turns = {file: _turns(chance, file) for file in ("heap", "pool")}
    bodies: dict[str, list[str]] = {"heap": [], "pool": []}
    for number, (file, index) in reversed(list(enumerate(drivers))):
        later = [f"{there}_{other}" for there, other in drivers[number + 1 :] if there == file]
        storage = "void" if index == 0 else "static APART void" if index % 2 else "static void"
        lines = [_statement(chance, turns[file], later, step) for step in range(5)]
        text = "\n    ".join(lines)
        bodies[file].append(
            f"{storage} {file}_{index}(unsigned n)\n{{\n    chain[depth++] = {number};\n    {text}\n    depth--;\n}}\n"
        )
    start = "static void *(*const pointer)(size_t) = by_pointer;\nvoid pool_setup(void) { hook = pointer; }\n"
    files["heap.c"] = _HEAP + "".join(bodies["heap"])
    files["pool.c"] = _POOL + start + "".join(bodies["pool"])
    files["main.c"] = (
        '#include "kernel.h"\nvoid pool_setup(void);\nvoid heap_0(unsigned n);\nvoid pool_0(unsigned n);\n'
        "__attribute__((used)) void kmain(void)\n{\n    pool_setup();\n    for (unsigned i = 0; i < 6; i++) {\n"
        "        heap_0(i * changing);\n        pool_0(i + changing);\n    }\n}\n"
    )
    return files


def is_inlinable(caller: str) -> bool:
    """Return whether a compiler may put a caller into its own callers."""
    return caller[-1] in "24"


def caller_name(number: int) -> str:
    """Return the caller that goes by a number on the shadow stack."""
    return f"{'heap' if number < 6 else 'pool'}_{number % 6}"


def _turns(chance: random.Random, file: str) -> Iterator[int]:
    """Yield the numbers of the allocators that a file calls, each as often as the others."""
    mine = [number for number, each in enumerate(ALLOCATORS) if file in each.files]
    while True:
        chance.shuffle(mine)
        yield from mine


def _statement(chance: random.Random, turns: Iterator[int], later: list[str], step: int) -> str:
    if later and step in (1, 3):
        return f"{chance.choice(later)}(n + {chance.randrange(9)} * changing);"
    return f"{{ {_call(chance, next(turns))} }}"


def _call(chance: random.Random, number: int) -> str:
    """Return the statements that make one call and log it."""
    allocator = ALLOCATORS[number]
    name = allocator.name.rpartition(":")[2]
    constants = dict(allocator.constants)
    values = [
        "n & 31"
        if name == "part" and parameter == "size"
        else str(constants[index])
        if index in constants
        else _argument(chance, parameter)
        for index, parameter in enumerate(allocator.parameters)
    ]
    types = {"zone": "wide_t"} if name == "wide" else {"block": "void *"}
    setup = "".join(
        f"{types.get(each, 'unsigned')} a{index} = {value}; "
        for index, (each, value) in enumerate(zip(allocator.parameters, values, strict=True))
    )
    arguments = [f"a{index}" for index in range(len(values))]
    words = [f"(unsigned){each}" for each in arguments] + ["0"] * (6 - len(arguments))
    if name == "from":
        setup = f"struct request r = {{{_argument(chance, 'size')}, n}}; struct request *volatile a0 = &r; "
        arguments, words[0] = ["(struct request *)a0"], "(unsigned)a0"
    called = "hook" if name == "by_pointer" else name
    given = ", ".join([*arguments, "n"] if name == "many" else arguments)
    if allocator.parameters == ("block",):
        return f"{setup}{called}({given}); note({number}, 0, {', '.join(words)});"
    keep = f"kept[{chance.randrange(4)}] = r_;"
    return f"{setup}void *r_ = {called}({given}); note({number}, r_, {', '.join(words)}); {keep}"


def _argument(chance: random.Random, parameter: str) -> str:
    if parameter == "block":
        return f"kept[{chance.randrange(4)}]"
    if parameter == "tries":
        return str(chance.randrange(3))
    if parameter in ("a", "c", "d", "flags", "third", "unused", "zone"):
        return chance.choice((str(chance.randrange(16)), "n", f"n * {chance.randrange(2, 9)} + changing"))
    if parameter == "e":
        return str(chance.randrange(100))
    return chance.choice((str(chance.randrange(1, 64)), "(n & 31) + 1", "(changing + 7)"))


ROW: Final = struct.Struct("<9I16s")


def logged_calls(rows: bytes) -> list[LoggedCall]:
    """Return the calls of a log, in order of their entries, with those that allocators make."""
    found: list[LoggedCall] = []
    for number, result, *words, depth, chain in ROW.iter_unpack(rows):
        allocator = ALLOCATORS[number]
        arguments = tuple(words[: len(allocator.parameters)])
        callers = tuple(caller_name(each) for each in reversed(chain[:depth]))
        no_result = allocator.parameters == ("block",)
        call = LoggedCall(allocator.name, arguments, None if no_result else result, callers)
        found += _with_called(call)
    return found


def _with_called(call: LoggedCall) -> list[LoggedCall]:
    """Return a call and those that it makes in turn."""
    first, second = (*call.arguments, 0, 0)[:2]
    inner: tuple[str, tuple[int, ...]] | None = None
    match call.function:
        case "kmalloc":
            inner = "heap_alloc", (first, second, 5)
        case "kfree" if first:
            inner = "heap_free", (first,)
        case "retry" if second:
            inner = "retry", (first + 8, second - 1)
        case "array":
            inner = "kmalloc", (first * second, 1)
    if inner is None:
        return [call]
    return [call, *_with_called(call._replace(function=inner[0], arguments=inner[1]))]
