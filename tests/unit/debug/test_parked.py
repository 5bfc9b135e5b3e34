"""Variables of tasks that do not run. The truth is what they are where the task goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import debug
from emulator.debug.parked import ParkedVariables
from emulator.debug.variables import GlobalVariables, NamesOfLevel, Variables
from emulator.guest.backtrace import parked_backtrace
from emulator.guest.storage import Unavailable
from emulator.guest.tasks import task_reader
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from emulator.debug import Debugger

SWITCHED = """
struct task { int pid; char comm[8]; unsigned *esp; struct task *next; };
struct point { int x, y; };
static unsigned stack_of_two[512];
struct task two = {2, "worker", 0, 0}, one = {1, "main", 0, &two};
struct task *tasks = &one, *current = &one;
void switch_to(unsigned **from, unsigned *to);
__asm__(".text\\n.globl switch_to\\n.type switch_to, @function\\nswitch_to:\\n"
        "movl 4(%esp), %eax\\nmovl 8(%esp), %edx\\npush %ebp\\npush %ebx\\npush %esi\\npush %edi\\n"
        "movl %esp, (%eax)\\nmovl %edx, %esp\\npop %edi\\npop %esi\\npop %ebx\\npop %ebp\\nret\\n"
        ".size switch_to, . - switch_to\\n");
#define REAL __attribute__((noinline, noclone))
REAL void yield(void)
{
    struct task *from = current, *to = from == &one ? &two : &one;
    current = to;
    switch_to(&from->esp, to->esp);
}
REAL int inner(int depth, struct point *p) { int twice = 2 * depth; p->x += twice; yield(); return p->x + twice; }
REAL int outer(int depth)
{
    struct point here = {depth, -depth};
    int sum = inner(depth, &here), rest = sum - here.y;
    return rest + inner(depth + 1, &here);
}
REAL void worker(void) { for (int i = 3;; i += 10) outer(i); }
REAL void *kmalloc(unsigned size) { __asm__ volatile("" : "+r"(size)); return (void *)size; }
void kmain(void)
{
    unsigned *top = stack_of_two + 507;
    top[4] = (unsigned)worker;
    two.esp = top;
    for (int turn = 100; turn < 103; turn++) { yield(); kmalloc(turn); }
    __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ;
}
"""
PROFILE = """
[tasks]
list = "tasks"
next = "next"
id = "pid"
name = "comm"
current = "current"
esp = "esp"
pushed = ["edi", "esi", "ebx", "ebp", "eip"]
[heap]
alloc = "kmalloc(size)"
"""


def shown(variables: Variables, first: int = 0) -> list[dict[str, str]]:
    """Return the arguments and locals of the levels from one on."""
    return [
        {each.name: each.value.text() for each in (*variables.arguments(level), *variables.locals_(level))}
        for level in range(first, len(variables.levels))
    ]


def parked(d: Debugger) -> dict[int, Mapping[str, int]]:
    """Return the registers of the tasks that do not run and have begun."""
    reader = task_reader(d.machine, d.profile.tasks)
    assert reader is not None
    found = {each.number: each.registers for each in reader.tasks() if not each.is_running}
    return {number: saved for number, saved in found.items() if len(parked_backtrace(d.machine, saved)) > 1}


def described(tmp_path: Path, compiler: str, *options: str) -> Debugger:
    kernel = compile_kernel(tmp_path, SWITCHED, ["-g", *options], compiler, entry=ENTRY)
    profile = tmp_path / "profile.toml"
    profile.write_text(PROFILE)
    return debug.debugger(str(kernel), profile=str(profile))


def go_on(d: Debugger, saved: Mapping[str, int]) -> None:
    """Go to where a task goes on."""
    stop = d.run_to(saved["eip"], lambda d: d.machine.registers().esp == saved["esp"])
    assert stop.point is None
    assert (d.machine.registers().eip, d.machine.registers().esp) == (saved["eip"], saved["esp"])


@pytest.mark.parametrize("optimisation", ["-O0", "-O1", "-O2"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_variables_of_a_waiting_task_are_those_with_which_it_goes_on(
    tmp_path: Path, compiler: str, optimisation: str
) -> None:
    with described(tmp_path, compiler, optimisation) as d:
        point = d.break_at("kmalloc")
        d.run()
        d.run()
        point.remove()
        ((number, saved),) = parked(d).items()
        assert number == 2
        before = ParkedVariables(d.machine, GlobalVariables(d.image), saved)
        names = [each.stack_frame.frame.function for each in before.levels]
        assert names[:4] == ["yield", "inner", "outer", "worker"]
        texts = shown(before, 1)
        known = [text for each in texts for text in each.values() if not text.startswith("<")]
        assert len(known) >= (7 if optimisation == "-O0" else 1)
        registers = [
            {name: before.register(name, level) for name in ("ebx", "esi", "edi", "ebp", "esp", "eip")}
            for level in range(1, 4)
        ]
        go_on(d, saved)
        now = Variables(d.machine)
        assert [each.stack_frame.frame.function for each in now.levels] == names
        assert [each.stack_frame[1:] for each in now.levels] == [
            each.stack_frame[1:] for each in before.levels
        ]
        assert shown(now, 1) == texts
        assert [
            {name: now.register(name, level) for name in ("ebx", "esi", "edi", "ebp", "esp", "eip")}
            for level in range(1, 4)
        ] == registers


def test_each_task_of_btron_has_its_variables() -> None:
    with debug.debugger("firmware:btron_pools_wait") as d:
        point = d.break_at("tget_blk+0")
        for _ in range(30):
            d.run()
        point.remove()
        here, tasks = d.moment, parked(d)
        assert sorted(tasks) == [0, 1, 2, 3, 4]
        compared = 0
        for saved in (tasks[number] for number in (1, 2, 3, 4)):
            before = ParkedVariables(d.machine, GlobalVariables(d.image), saved)
            texts = shown(before, 1)
            go_on(d, saved)
            assert shown(Variables(d.machine), 1) == texts
            compared += sum(not text.startswith("<") for each in texts for text in each.values())
            d.go_to(here)
        assert compared > 20
        waiting = ParkedVariables(d.machine, GlobalVariables(d.image), tasks[3])
        level = next(
            number for number, each in enumerate(waiting.levels) if each.stack_frame.frame.function == "ask"
        )
        (request,) = (each.value for each in waiting.locals_(level) if each.name == "request")
        assert request.target.member("name").text().endswith('"B"')


def test_what_is_only_of_the_running_task_is_not_known(tmp_path: Path) -> None:
    with described(tmp_path, "gcc", "-O1") as d:
        d.break_at("kmalloc")
        d.run()
        ((_, saved),) = parked(d).items()
        variables = ParkedVariables(d.machine, GlobalVariables(d.image), saved)
        for level in (0, 1):
            assert [
                variables.register(name, level) for name in ("eax", "ecx", "edx", "eflags", "cr3", "cs")
            ] == [None] * 6
        assert variables.register("eip", 0) == saved["eip"]
        assert variables.register("esp", 0) == saved["esp"]
        with pytest.raises(ValueError, match=r"^'rax' is no register$"):
            variables.register("rax", 0)
        assert variables.all_floating(0) == {}
        with pytest.raises(
            Unavailable, match=r"^registers of the FPU and of SSE are those of the task that runs$"
        ):
            variables.floating("st0", 0)
        names = NamesOfLevel(variables, d.image, 1)
        two = names.variable("two")
        assert two is not None
        assert two.member("pid").text() == "2"


def test_of_a_task_whose_registers_are_not_known_there_are_global_variables_alone(tmp_path: Path) -> None:
    with described(tmp_path, "gcc", "-O0") as d:
        d.break_at("kmalloc")
        d.run()
        variables = ParkedVariables(d.machine, GlobalVariables(d.image), {})
        assert (variables.levels, variables.frames) == ((), ())
        current = variables.find("current")
        assert current is not None
        assert current.text().endswith("<one>")
        begun = ParkedVariables(
            d.machine, GlobalVariables(d.image), {"eip": d.image.symbols["worker"].address}
        )
        assert [each.stack_frame.frame.function for each in begun.levels] == ["worker"]
        assert begun.arguments(0) == begun.locals_(0) == []
        assert begun.register("eip", 0) == d.image.symbols["worker"].address


def test_memory_of_programs_is_not_read_through_the_tables_of_another_task() -> None:
    with debug.debugger("firmware:vm_share") as d:
        d.run_to(d.image.symbols["__user_text"].address)
        assert d.machine.registers().cs & 3
        user = d.machine.registers().esp & -16
        variables = ParkedVariables(d.machine, GlobalVariables(d.image), {})
        assert len(Variables(d.machine).read(user, 4)) == 4
        for start in (user, user - 2):
            with pytest.raises(Unavailable, match=rf"^0x{start:08x} may be other memory for the task$"):
                variables.read(start, 4)
        kernel = d.image.symbols["_start"].address
        assert variables.read(kernel, 4) == Variables(d.machine).read(kernel, 4)
