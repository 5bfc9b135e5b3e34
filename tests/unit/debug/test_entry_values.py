"""What a caller has passed is known from its call, and from no other one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.debug.variables import Variables
from emulator.errors import BudgetUsedUp
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.machine.machine import Machine

# At the end of these functions the first argument is in no register any more. Two of them are entered again by jumps, from each other or through a pointer: then
# the call that the return address comes from has passed something else.
SOURCE = """
typedef unsigned u32;
#define REAL __attribute__((noinline, noclone))
volatile u32 seen;
REAL u32 other(u32 n, u32 m);
u32 (*volatile again)(u32, u32);
REAL u32 turn(u32 n, u32 m)
{
    seen = n;
    if (!m)
        return seen;
    u32 next = n * n ^ seen;
    seen = next;
    return other(next, m - 1);
}
REAL u32 other(u32 n, u32 m) { seen = m; return turn(n * 3 ^ m, m); }
REAL u32 turn_by_pointer(u32 n, u32 m)
{
    seen = n;
    if (!m)
        return seen;
    u32 next = n * n ^ seen;
    seen = next;
    return again(next, m - 1);
}
REAL u32 last(u32 n) { seen = n; return n * n; }
REAL u32 once(u32 n, u32 m)
{
    seen = n;
    u32 next = n * n ^ m;
    seen = next;
    return last(next);
}
void kmain(void)
{
    again = turn_by_pointer;
    u32 sum = turn(5, 3);
    sum += turn_by_pointer(6, 3);
    sum += once(7, 8);
    seen = sum;
    __asm__ volatile("outl %0, $0xf4" : : "a"(0));
    for (;;) ;
}
"""


@pytest.mark.parametrize("format_", ["-gdwarf-4", "-gdwarf-5"])
def test_a_function_that_was_jumped_to_has_not_got_what_the_call_passed(tmp_path: Path, format_: str) -> None:
    machine = boot(str(compile_kernel(tmp_path, SOURCE, [format_, "-mregparm=3"], entry=ENTRY)))
    starts = {machine.image.symbols[name].address: name for name in ("turn", "turn_by_pointer", "once")}
    passed: list[int] = []
    ends: dict[str, list[str]] = {}
    for function, shown in each_instruction(machine, starts, passed):
        assert shown.startswith("<") or int(shown) == passed[-1], function
        if function == "once" or shown.startswith("<"):
            ends.setdefault(function, []).append(shown)
    assert len(passed) == 4 + 4 + 1
    assert ends["once"][-1] == "7"
    assert set(ends["turn"]) == set(ends["turn_by_pointer"]) == {"<what the caller passed is not known>"}


def each_instruction(
    machine: Machine, starts: dict[int, str], passed: list[int]
) -> Iterator[tuple[str, str]]:
    """Yield function and first argument at each instruction in some functions, and note what those are entered with."""
    while True:
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=1)
            return
        registers = machine.registers()
        if registers.eip in starts:
            passed.append(registers.eax)
        function = machine.image.function_at(registers.eip)
        if function is not None and function[0].name in starts.values():
            argument = Variables(machine).find("n", 0)
            assert argument is not None
            yield function[0].name, argument.text()
