from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.symbolizer import Frame, Symbolizer
from emulator.loader.image import KernelImage
from tests.helpers.guest import assemble
from tests.helpers.inlining_kernel import compile_inlining
from tests.unit.loader import elf_builder as eb
from tests.unit.loader.elf_builder import BASE, Elf, Sym, build_elf, patch_section_header

if TYPE_CHECKING:
    from pathlib import Path

SYMTAB_SECTION = 2
CALLS = """
        call    never_returns
        .loc    1 100
next:   nop
        .globl  never_returns
        .type   never_returns, @function
        .loc    1 200
never_returns:
        hlt
        .size   never_returns, . - never_returns
"""


def test_a_return_address_belongs_to_the_call_in_front_of_it() -> None:
    functions = [Sym("panics", BASE, 16, eb.FUNC), Sym("other", BASE + 16, 16, eb.FUNC)]
    symbolizer = Symbolizer(KernelImage(build_elf(Elf(symbols=functions)), "k.elf"))
    assert symbolizer.caller(BASE + 16) == (Frame(BASE + 16, "panics", 16),)
    assert symbolizer.instruction(BASE + 16) == Frame(BASE + 16, "other", 0)


def test_a_return_address_has_the_line_of_its_call() -> None:
    image = assemble('.file 1 "guest.s"\n.loc 1 99\n' + CALLS)
    symbol = image.symbol("_start")
    assert symbol is not None
    after_call = symbol.address + 10  # the stack is set up by five bytes, the call takes five
    symbolizer = Symbolizer(image)
    (caller,) = symbolizer.caller(after_call)
    assert (caller.function, caller.offset, caller.line) == ("_start", 10, 99)
    assert symbolizer.instruction(after_call).line == 100


def test_a_backtrace_is_an_instruction_and_the_calls_around_it() -> None:
    functions = [Sym("inner", BASE, 16, eb.FUNC), Sym("outer", BASE + 16, 16, eb.FUNC)]
    symbolizer = Symbolizer(KernelImage(build_elf(Elf(symbols=functions)), "k.elf"))
    assert symbolizer.backtrace(BASE, [BASE + 32, 0x99]) == (
        Frame(BASE, "inner"),
        Frame(BASE + 32, "outer", 16),
        Frame(0x99),
    )


def test_a_damaged_symbol_table_names_nothing() -> None:
    data = patch_section_header(
        build_elf(Elf(symbols=[Sym("kmain", BASE, 8)])), SYMTAB_SECTION, eb.SH_LINK, 99
    )
    symbolizer = Symbolizer(KernelImage(data, "k.elf"))
    assert symbolizer.instruction(BASE + 4) == Frame(BASE + 4)
    assert symbolizer.caller(BASE + 4) == (Frame(BASE + 4),)


def test_a_stack_that_ends_early_says_so() -> None:
    symbolizer = Symbolizer(KernelImage(build_elf(Elf()), "k.elf"))
    (frame,) = symbolizer.callers([0])
    assert str(frame) == "..."


def test_a_call_in_inlined_functions_has_a_level_for_each(tmp_path: Path) -> None:
    image = KernelImage.read(compile_inlining(tmp_path, "gcc", "-O2", "-g"))
    make = image.symbols["make"]
    symbolizer = Symbolizer(image)
    inlined = {
        tuple(map(str, frames))
        for each in range(1, make.size)
        if len(frames := symbolizer.caller(make.address + each)) == 4
    }
    assert any(
        texts[:3]
        == ("zalloc (inlined) kernel.c:7", "node_new (inlined) kernel.c:15", "push (inlined) kernel.c:21")
        for texts in inlined
    )
    assert symbolizer.backtrace(make.address) == (image.location(make.address),)
