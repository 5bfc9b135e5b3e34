"""Which functions are reached from some code only."""

from __future__ import annotations

from emulator.loader.functions.callers import private_functions
from tests.helpers.guest import assemble

SOURCE = """
        call    outside
        call    shared
        exit    0
        .macro  begin name
        .type   \\name, @function
\\name:
        .endm
        .macro  finish name
        .size   \\name, . - \\name
        .endm
        begin   allocate
        call    own
        call    shared
        call    stored
        call    describes_itself
        call    gives_itself
        jz      by_jump
        ret
        finish  allocate
        begin   own
        call    deeper
        call    own
        ret
        finish  own
        .byte   0x8d, 0x76, 0x00  # lea 0(%esi), %esi
        begin   deeper
        ret
        finish  deeper
        begin   by_jump
        ret
        finish  by_jump
        begin   describes_itself
        movl    $0x41b58ab3, (%esp)
        movl    $describes_itself, 8(%esp)
        ret
        finish  describes_itself
        begin   gives_itself
        movl    $0x41b58ab3, (%esp)
        movl    $gives_itself, 8(%esp)
        pushl   $gives_itself
        ret
        finish  gives_itself
        begin   shared
        ret
        finish  shared
        begin   stored
        ret
        finish  stored
        begin   outside
        call    of_outside
        ret
        finish  outside
        begin   of_outside
        ret
        finish  of_outside
        .data
        .long   stored
        .text
"""


def test_functions_that_nobody_else_calls() -> None:
    image = assemble(SOURCE)
    symbols = image.symbols
    extents = {
        name: image.function_extent(symbols[name].address)
        for name in ("allocate", "own", "deeper", "by_jump", "describes_itself")
    }
    allocate = extents.pop("allocate")
    assert allocate is not None
    assert private_functions(image, [allocate]) == set(extents.values())


def test_of_no_code_there_is_none() -> None:
    assert private_functions(assemble(SOURCE), []) == frozenset()
