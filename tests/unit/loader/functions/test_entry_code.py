"""What a function reads before it writes it, whatever its code looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator.loader.functions.entry_code import EntryCode, read_entry_code
from emulator.loader.functions.locations import InRegister, OnStack
from emulator.loader.image import KernelImage
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.loader.functions.locations import Location

EAX, ECX, EDX = map(InRegister, ("eax", "ecx", "edx"))
FIRST, SECOND = OnStack(4), OnStack(8)
SECOND_READER = "second: mov 8(%esp), %eax; ret"
REGISTER_READER = "reader: test %eax, %eax; ret"
KEEPER = "keeper: push %eax; call away; pop %eax; ret; away: xor %ecx, %ecx; ret"


def kernel(folder: Path, *functions: str) -> KernelImage:
    """A kernel of functions in assembly, each ``name: instructions``."""
    lines = []
    for text in functions:
        name = text.partition(":")[0]
        lines.append(f".globl {name}\n.type {name}, @function\n{text}\n.size {name}, . - {name}")
    code = "\n".join(lines).replace(";", "\n").replace("\n", r"\n")
    return KernelImage.read(compile_kernel(folder, f'__asm__("{code}");\nvoid _start(void) {{}}'))


def read(folder: Path, code: str, *others: str) -> EntryCode:
    image = kernel(folder, f"f: {code}", *others)
    return read_entry_code(image, image.symbols["f"].address)


CODES: Final[list[tuple[str, set[Location]]]] = [
    ("mov 4(%esp), %eax; ret", {FIRST}),
    ("push %ebp; mov %esp, %ebp; sub $24, %esp; mov 12(%ebp), %ecx; leave; ret", {SECOND}),
    ("push 4(%esp); push 12(%esp); add $8, %esp; ret", {FIRST, SECOND}),
    ("movl $0, 4(%esp); mov 4(%esp), %eax; ret", set()),
    ("cmpl $0, 4(%esp); jne 1f; ret; 1: mov 8(%esp), %eax; ret", {FIRST, SECOND}),
    ("movzbl 4(%esp), %eax; ret", {FIRST}),
    ("xor %eax, %eax; ret", set()),
    ("sbb %edx, %edx; mov %edx, %eax; ret", set()),
    ("push %ecx; push %edx; add $8, %esp; ret", set()),
    ("test %edx, %edx; ret", {EDX}),
    ("push %ebx; mov %eax, %ebx; mov $1, %eax; cmp $2, %ebx; pop %ebx; ret", {EAX}),
    ("mov %ecx, -4(%esp); xor %ecx, %ecx; cmpl $3, -4(%esp); ret", {ECX}),
    ("mov (%edx), %eax; ret", {EDX}),
    ("mov %eax, 0x200000; ret", {EAX}),
    ("cmpl $1, 0x200000; cmove %edx, %ecx; test %ecx, %ecx; ret", {ECX, EDX}),
    ("mov %edx, %eax; ret", {EDX}),
    ("push %ebx; push %edx; mov 12(%esp), %ebx; pop %eax; pop %ebx; ret", {FIRST}),
    ("push %edx; call out; pop %eax; test %eax, %eax; ret; out: ret", {EDX}),
    ("ret", set()),
    ("cmpl $0, 4(%esp); je 1f; mov 4(%esp), %eax; 1: ret", {FIRST}),
    ("xchg %eax, %edx; mov $0, %eax; test %edx, %edx; ret", {EAX}),
    ("push %ebp; mov %esp, %ebp; and $-16, %esp; mov 8(%ebp), %eax; leave; ret", {FIRST}),
    ("1: mov 4(%esp), %eax; dec %eax; jnz 1b; ret", {FIRST}),
    ("nopw 0(%eax,%eax,1); lea 0(%esi), %esi; ret", set()),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    functions = (f"f{index}: {code}" for index, (code, _) in enumerate(CODES))
    return kernel(tmp_path_factory.mktemp("entry_code"), *functions)


@pytest.mark.parametrize("index", range(len(CODES)), ids=[code for code, _ in CODES])
def test_what_is_read(image: KernelImage, index: int) -> None:
    found = read_entry_code(image, image.symbols[f"f{index}"].address)
    assert found.reads == CODES[index][1]
    assert found.is_complete


def test_a_called_function_reads_what_is_left_for_it(tmp_path: Path) -> None:
    code = "push 4(%esp); push 12(%esp); push 20(%esp); call second; add $12, %esp; ret"
    assert read(tmp_path, code, SECOND_READER).reads == {FIRST, SECOND, OnStack(12)}
    assert read(tmp_path, "push %edx; push %ecx; call second; add $8, %esp; ret", SECOND_READER).reads == {
        EDX
    }


def test_a_called_function_gets_registers_that_are_left_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "sub $12, %esp; call reader; add $12, %esp; ret", REGISTER_READER).reads == {EAX}
    assert read(tmp_path, "mov $1, %eax; call reader; ret", REGISTER_READER).reads == set()


def test_registers_that_a_called_function_keeps_are_still_inputs(tmp_path: Path) -> None:
    assert read(tmp_path, "call keeper; test %eax, %eax; test %ecx, %ecx; ret", KEEPER).reads == {EAX}


def test_a_jump_to_another_function_leaves_it_the_arguments(tmp_path: Path) -> None:
    assert read(tmp_path, "jmp second", SECOND_READER).reads == {SECOND}
    assert read(tmp_path, "push %ebx; mov 8(%esp), %ebx; pop %ebx; jmp reader", REGISTER_READER).reads == {
        FIRST,
        EAX,
    }


def test_a_called_function_may_pop_what_it_was_given(tmp_path: Path) -> None:
    popper = "popper: mov 4(%esp), %eax; ret $4"
    assert read(tmp_path, "push $0; call popper; mov 4(%esp), %eax; ret", popper).reads == {FIRST}
    assert read(tmp_path, "push $0; call popper; ret", popper).popped == 0


def test_through_a_pointer_arguments_are_perhaps_read(tmp_path: Path) -> None:
    found = read(tmp_path, "mov $1, %ecx; push %edx; call *0x200000; pop %edx; ret")
    assert found.reads == set()
    assert found.perhaps & {EAX, ECX, EDX} == {EAX, EDX}
    found = read(tmp_path, "jmp *0x200000")
    assert found.perhaps >= {EAX, ECX, EDX}
    assert not found.is_complete


def test_where_the_address_of_an_argument_goes_it_may_be_read(tmp_path: Path) -> None:
    found = read(tmp_path, "lea 8(%esp), %eax; push %eax; call other; pop %eax; ret", "other: ret")
    assert SECOND in found.perhaps
    assert FIRST not in found.perhaps


def test_all_cases_of_a_table_are_read(tmp_path: Path) -> None:
    cases = "1: mov 4(%esp), %eax; ret; 2: mov 8(%esp), %eax; ret; 3: .long 1b, 2b, 0"
    found = read(tmp_path, f"jmp *3f(,%edx,4); {cases}")
    assert found.reads == {EDX, FIRST, SECOND}
    assert found.is_complete


def test_functions_that_call_each_other_are_read(tmp_path: Path) -> None:
    code = "push 8(%esp); call g; pop %eax; ret"
    assert read(tmp_path, code, "g: cmpl $0, 4(%esp); push 4(%esp); call f; pop %eax; ret").reads == {SECOND}


def test_paths_without_end_are_not_complete(tmp_path: Path) -> None:
    assert not read(tmp_path, ".rept 5000; inc %ebx; .endr; ret").is_complete
