"""Exits of functions, in code written so that the addresses are known: every one has the label that is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from capstone import CS_ARCH_X86, CS_MODE_32, Cs

from emulator.errors import UnsupportedFunction
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.code.exits import find_exits, find_own_exits
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.guest import assemble, machine_of
from tests.helpers.kernels import BTRON, LITECORE

if TYPE_CHECKING:
    from pathlib import Path

FUNCTION = ".type {0}, @function\n{0}: {1}\n.size {0}, . - {0}\n"


def function(name: str, body: str) -> str:
    return FUNCTION.format(name, body)


def exits(source: str, name: str = "f") -> list[str]:
    """Return the exits of a function as names of labels, or as numbers where there is no label."""
    image = assemble("hlt\n" + source, stack=False)
    labels = {symbol.address: symbol.name for symbol in image.symbols.values() if symbol.name[0] == "r"}
    return [
        labels.get(address, f"{address:#x}") for address in find_exits(image, image.symbols[name]).returns
    ]


class TestOneFunction:
    def test_all_returns(self) -> None:
        assert exits(function("f", "test %eax, %eax\n jz r2\n r1: ret\n r2: ret $4")) == ["r1", "r2"]

    def test_a_prefix_belongs_to_the_return(self) -> None:
        assert exits(function("f", "nop\n r1: rep ret")) == ["r1"]

    def test_loops_are_followed_once(self) -> None:
        body = "1: loop 1b\n 2: jecxz 3f\n jmp 2b\n 3: loop r2\n r1: ret\n r2: ret"
        assert exits(function("f", body)) == ["r1", "r2"]

    def test_a_return_after_a_call(self) -> None:
        assert exits(function("f", "call _start\n r1: ret")) == ["r1"]

    def test_returns_of_called_functions_do_not_count(self) -> None:
        assert exits(function("f", "call g\n r1: ret") + function("g", "r2: ret")) == ["r1"]

    def test_a_call_into_the_middle_of_the_function_is_a_jump(self) -> None:
        thunk = "call 2f\n 1: pause\n jmp 1b\n 2: lea 4(%esp), %esp\n r1: ret"
        assert exits(function("f", "jmp g") + function("g", thunk)) == ["r1"]

    @pytest.mark.parametrize(
        "end", ["jmp f", "1: hlt\n jmp 1b", "iret", "lret", "sysexit", "ljmp $8, $0x100000", "ljmp *(%eax)"]
    )
    def test_a_function_that_never_returns(self, end: str) -> None:
        assert exits(function("f", end) + function("g", "r1: ret")) == []

    @pytest.mark.parametrize("end", ["call _start", "ud2", "int3", "int $0x21", "hlt", "lcall *(%eax)"])
    def test_a_function_that_ends_with_what_does_not_return(self, end: str) -> None:
        assert exits(function("f", end) + function("g", "r1: ret")) == []

    @pytest.mark.parametrize("middle", ["ud2", "int3", "hlt", "sti", "int $0x21"])
    def test_what_may_go_on_does_so_inside_of_a_function(self, middle: str) -> None:
        assert exits(function("f", f"{middle}\n r1: ret")) == ["r1"]

    def test_a_long_one(self) -> None:
        assert exits(function("f", ".rept 1000\n addl $0x12345678, 0x1234(%eax)\n .endr\n r1: ret")) == ["r1"]

    def test_the_selector_of_a_far_jump_is_no_address(self) -> None:
        code = {0x100: b"\xea\x00\x00\x10\x00\x08\x00", 8: b"\xc3"}  # ljmp $8, $0x100000
        image = assemble("hlt")
        symbol = image.symbols["_start"]._replace(address=0x100)
        assert find_exits(image, symbol, lambda address, _size: code.get(address, b"")).returns == []


class TestData:
    def test_between_code(self) -> None:
        """A linear disassembler takes 0xe8 for a call, and with it the return."""
        assert exits(function("f", "jmp r1\n .byte 0xe8\n r1: ret")) == ["r1"]

    def test_data_that_reads_as_a_return(self) -> None:
        assert exits(function("f", "jmp r1\n .byte 0xc3, 0xc3\n r1: ret")) == ["r1"]

    def test_that_is_no_instruction(self) -> None:
        assert exits(function("f", ".byte 0x0f, 0xff, 0xff, 0xff\n nop\n ret")) == []

    def test_at_the_end_of_the_image(self) -> None:
        image = assemble("hlt", stack=False)
        start = image.symbols["_start"]
        cut = {start.address: b"\xf4"}
        assert find_exits(image, start, lambda address, _size: cut.get(address, b"")).returns == []

    def test_without_an_end(self) -> None:
        """Zeros are `add %al, (%eax)`, for ever."""
        image = assemble("hlt")
        assert find_exits(image, image.symbols["_start"], lambda _address, size: bytes(size)).returns == []


class TestTailCalls:
    def test_into_another_function(self) -> None:
        assert exits(function("f", "jmp g") + function("g", "r1: ret")) == ["r1"]

    def test_on_a_condition(self) -> None:
        assert exits(function("f", "jz g\n r1: ret") + function("g", "r2: ret")) == ["r1", "r2"]

    def test_over_several_functions(self) -> None:
        source = function("f", "jmp g") + function("g", "jz h\n r1: ret") + function("h", "r2: ret")
        assert exits(source) == ["r1", "r2"]

    def test_in_a_circle(self) -> None:
        source = function("f", "jmp g") + function("g", "jz f\n jmp h") + function("h", "jz g\n r1: ret")
        assert exits(source) == ["r1"]

    def test_into_the_middle(self) -> None:
        assert exits(function("f", "jmp 1f") + function("g", "r1: ret\n 1: nop\n r2: ret")) == ["r2"]

    def test_backwards(self) -> None:
        assert exits(function("g", "r1: ret") + function("f", "jmp g")) == ["r1"]

    def test_to_where_there_is_nothing(self) -> None:
        assert exits(function("f", "jz 0x40000000\n r1: ret")) == ["r1"]

    def test_by_going_on_into_the_next_function(self) -> None:
        assert exits(function("f", "nop") + function("g", "r1: ret")) == ["r1"]


class TestIndirectJumps:
    def test_a_table_of_cases(self) -> None:
        body = "jmp *table(,%eax,4)\n case0: nop\n r1: ret\n case1: jmp g\n table: .long case0, case1"
        assert exits(function("f", body) + function("g", "r2: ret")) == ["r1", "r2"]

    def test_a_table_in_front_of_the_cases(self) -> None:
        body = "jmp *table(,%eax,4)\n table: .long case0, 0\n case0: nop\n nop\n nop\n r1: ret"
        assert exits(function("f", body)) == ["r1"]

    def test_a_tail_jump_has_no_known_exit(self) -> None:
        assert exits(function("f", "jmp *%eax") + function("g", "r1: ret")) == []
        assert exits(function("f", "jz 1f\n jmp *8(%eax)\n 1: nop\n r1: ret")) == ["r1"]

    def test_in_a_function_that_was_jumped_to(self) -> None:
        source = function("f", "jmp g") + function("g", "jmp *table(,%eax,4)\n case: nop\n r1: ret")
        assert exits(source + "table: .long case") == ["r1"]


class TestSymbolsWithoutSize:
    def test_the_code_is_followed_over_labels(self) -> None:
        assert exits("f: nop\n jz l2\n l1: nop\n r1: ret\n l2: call _start\n l3: nop\n r2: ret") == [
            "r1",
            "r2",
        ]

    def test_a_label_reaches_to_the_next_one(self) -> None:
        assert exits("f: jmp *%eax\n nop\n r1: ret\n g: nop\n ret") == ["r1"]


class TestMemory:
    def test_a_function_that_begins_with_ret_in_memory(self) -> None:
        machine = machine_of("hlt\n" + function("f", "nop\n r1: ret"))
        symbol = machine.image.symbols["f"]
        assert find_exits(machine.image, symbol).returns == [symbol.address + 1]
        machine.memory.write(symbol.address, b"\xc3")
        assert find_exits(machine.image, symbol, machine.memory.read).returns == [symbol.address]


class TestNoCode:
    def test_a_symbol_outside_of_the_image(self) -> None:
        image = assemble("hlt\n .set f, 0x12345678\n .globl f")
        with pytest.raises(
            UnsupportedFunction, match=r"^cannot watch f: its symbol at 0x12345678 covers no code$"
        ):
            find_exits(image, image.symbols["f"])


class TestOwnExits:
    def test_all_returns_of_a_function(self) -> None:
        image = assemble("hlt\n" + function("f", "test %eax, %eax\n jz 1f\n ret\n 1: ret $4"))
        start = image.symbols["f"].address
        assert find_own_exits(image, image.symbols["f"]) == [start + 4, start + 5]

    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            (function("f", "jmp _start"), r"it leaves by a jump to 0x0010000c at 0x[0-9a-f]{8}"),
            (function("f", "jz _start\n ret"), r"it leaves by a jump to 0x0010000c at 0x[0-9a-f]{8}"),
            (function("f", "hlt"), "it has no ret instruction"),
            (function("f", "nop") + "r: ret", r"it goes on past its end, to the ret at 0x[0-9a-f]{8}"),
            ("f: ret", r"its symbol at 0x[0-9a-f]{8} covers no code"),
        ],
    )
    def test_a_function_that_does_not_end_in_itself(self, source: str, problem: str) -> None:
        image = assemble(f"hlt\n{source}")
        with pytest.raises(UnsupportedFunction, match=f"^cannot watch f: {problem}$"):
            find_own_exits(image, image.symbols["f"])


COMPILED = r"""
__attribute__((noinline)) int last(int n) { asm volatile("" : "+r"(n)); return n; }
__attribute__((noinline)) int tail(int n) { asm volatile("nop"); return n > 3 ? last(n + 1) : n; }
__attribute__((noinline)) int cases(int n)
{
    switch (n) {
    case 0: asm volatile("hlt"); return 1;
    case 1: asm volatile("cli"); return tail(n);
    case 2: asm volatile("sti"); return 7;
    case 3: asm volatile("nop"); return n * 3;
    case 4: asm volatile("cld"); return last(9);
    case 5: asm volatile("std"); return 5;
    }
    return 0;
}
int (*pointer)(int) = last;
int indirect(int n) { return pointer(n); }
__attribute__((noreturn, noinline)) void never(void) { for (;;) asm volatile("hlt"); }
int dies(int n) { if (n) never(); return 1; }
void _start(void) { cases(1); }
"""


def test_what_gcc_makes_of_tail_calls_and_cases(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, COMPILED))
    disassembler = Cs(CS_ARCH_X86, CS_MODE_32)

    def own(name: str) -> set[int]:
        parts = (symbol for each, symbol in image.symbols.items() if each in {name, f"{name}.cold"})
        return {
            instruction.address
            for part in parts
            for instruction in disassembler.disasm(image.code(part.address, part.size), part.address)
            if instruction.mnemonic == "ret"
        }

    def found(name: str) -> set[int]:
        return set(find_exits(image, image.symbols[name]).returns)

    assert found("last") == own("last")
    assert found("tail") == own("tail") | own("last")
    assert found("cases") == own("cases") | own("tail") | own("last")
    assert len(own("cases")) >= 3
    assert found("indirect") == own("indirect") == set()
    assert found("never") == set()
    assert found("dies") == own("dies") != set()


@pytest.mark.parametrize("kernel", [LITECORE[0], BTRON[0]])
def test_every_function_of_the_built_in_kernels(kernel: str) -> None:
    """They are compiled without tail calls and without data in the code, so a plain disassembly finds the same."""
    image = KernelImage.read(builtin.resolve(f"firmware:{kernel}"))
    disassembler = Cs(CS_ARCH_X86, CS_MODE_32)
    functions = [each for each in image.symbols.values() if each.kind == "function" and each.size]
    for symbol in functions:
        code = disassembler.disasm(image.code(symbol.address, symbol.size), symbol.address)
        expected = [instruction.address for instruction in code if instruction.mnemonic == "ret"]
        assert find_exits(image, symbol).returns == expected, symbol.name
    assert len(functions) > 100
