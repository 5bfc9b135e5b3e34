"""Floating-point variables: in registers of SSE they are known. Of those in the FPU gcc says the wrong register where its stack has moved: they are marked."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.debug import Debugger
from emulator.debug.expressions.arithmetic import Number
from emulator.debug.expressions.expression import Expression
from emulator.debug.stop import StopKind
from emulator.debug.variables import NamesOfLevel, Variables
from emulator.errors import BudgetUsedUp
from emulator.guest.storage import Unavailable
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY
from tests.helpers.guest import FUNCTION, machine_of

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
volatile double sink;
__attribute__((noinline)) double scale(double a, float b, int n)
{
    double x = a * b;
    float y = b + 1;
    for (int i = 0; i < n; i++) { x = x * y + i; y = y / 2; sink = x; }
    sink = y;
    return x + y;
}
void kmain(void)
{
    sink = scale(3.5, 2.25f, 5);
    __asm__ volatile("outl %0, $0xf4" : : "a"(0));
    for (;;) ;
}
"""
KEPT_IN_ST0 = "<in st0, if the stack of the FPU has not moved>"
MARK = re.compile(" <in st[0-7], if the stack of the FPU has not moved>$")
SSE_ENTRY = ENTRY.replace(
    "xorl    %ebp, %ebp", "movl %cr4, %eax\n orl $0x600, %eax\n movl %eax, %cr4\n xorl %ebp, %ebp"
)


@pytest.mark.parametrize(
    ("compiler", "options", "entry"),
    [
        ("gcc", ["-O2"], ENTRY),
        ("gcc", ["-O2", "-march=pentium4", "-mfpmath=sse"], SSE_ENTRY),
        ("clang", ["-O1", "-march=pentium4"], SSE_ENTRY),
    ],
)
def test_floating_point_variables_are_what_the_program_computes(
    tmp_path: Path, compiler: str, options: list[str], entry: str
) -> None:
    xs, ys = [3.5 * 2.25], [2.25 + 1]
    for number in range(5):
        xs.append(xs[-1] * ys[-1] + number)
        ys.append(ys[-1] / 2)
    machine = boot(str(compile_kernel(tmp_path, SOURCE, ["-g", *options], compiler, entry=entry)))
    seen: dict[str, set[str]] = {"x": set(), "y": set()}
    refused: set[str] = set()
    while True:
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=1)
            break
        variables = Variables(machine)
        if variables.levels and variables.levels[0].stack_frame.frame.name == "scale":
            for name, texts in seen.items():
                found = variables.find(name, 0)
                assert found is not None
                (refused if found.text().startswith("<") else texts).add(found.text())
    marked = {name: {text for text in texts if MARK.search(text)} for name, texts in seen.items()}
    assert seen["x"] - marked["x"] <= {repr(each) for each in xs}
    assert seen["y"] - marked["y"] <= {repr(each) for each in ys}
    if entry is SSE_ENTRY:
        assert len(seen["x"]) > 3 < len(seen["y"])
        assert refused <= {"<optimised out>"}
        assert not marked["x"] | marked["y"]
    else:
        assert marked == seen, "of all these it is not sure"
        shown = {name: {MARK.sub("", text) for text in texts} for name, texts in marked.items()}
        assert shown["x"] >= {repr(each) for each in xs}
        assert shown["y"] >= {repr(each) for each in ys[:5]}
        assert refused <= {"<optimised out>", "<it is computed with floating-point numbers>"}


@pytest.mark.parametrize("of", ["float", "double", "long double"])
def test_a_register_of_the_fpu_that_is_empty_is_no_value(tmp_path: Path, of: str) -> None:
    source = f"""
    volatile {of} in = 1.5, out;
    void kmain(void)
    {{
        {of} x = in * in;
        __asm__ volatile("nop; fninit; nop" : "+t"(x));
        out = x;
        __asm__ volatile("outl %0, $0xf4" : : "a"(0));
    }}
    """
    with Debugger(boot(str(compile_kernel(tmp_path, source, ["-g"], entry=ENTRY)))) as d:
        texts: list[str] = []
        while d.step().kind is StopKind.STEP:
            found = Variables(d.machine).find("x", 0)
            text = "" if found is None else found.text()
            if not texts or texts[-1] != text:
                texts.append(text)
    assert f"2.25 {KEPT_IN_ST0}" in texts
    assert texts[texts.index(f"2.25 {KEPT_IN_ST0}") + 1] == "<st0 is empty>"


STACK = (
    FUNCTION
    + """
        fninit
        fldpi
        fld1
        fldz
        fstp    %st(0)
        call    inner
        exit    0
        function inner
        nop
        ret
        ends    inner
"""
)


def test_registers_of_the_fpu_are_known_in_expressions() -> None:
    with Debugger(machine_of(STACK)) as d:
        assert Variables(d.machine).all_floating(0) == {}, "nobody has used the FPU"
        d.run_to(d.image.symbols["inner"].address)
        variables = Variables(d.machine)
        here, outside = (NamesOfLevel(variables, d.image, level) for level in (0, 1))
        texts = {name: each.text() for name, each in variables.all_floating(0).items()}
        assert texts == {"st0": "1.0", "st1": "3.141592653589793"}
        value = Expression("$ST1", variables.types).result(here)
        assert not isinstance(value, Number)
        assert (value.text(), value.type.name) == ("3.141592653589793", "long double")
        for text, context, problem in (
            ("$st2", here, "st2 is empty"),
            ("$st0", outside, "st0 of this frame is not known"),
            ("$st0 + 1", here, "long double is a floating-point type, with which nothing is computed"),
        ):
            with pytest.raises(Unavailable, match=f"^{problem}$"):
                Expression(text, variables.types).result(context)
        with pytest.raises(ValueError, match=r"^'st8' is no register$"):
            Expression("$st8", variables.types).result(here)
        assert variables.all_floating(1) == {}
