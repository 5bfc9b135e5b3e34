"""Kernels that halt for good: some have come to a good end, in others tasks wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.bad_endings import deadlocks
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.check.structures.kernel_checks import kernel_checks
from emulator.hle.kernels import find_btron
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.report.text.ending import ending_text
from emulator.run.ending import Ending, How
from kernel_model.btron.kernel_space import KERNEL_BASE
from kernel_model.btron.tcb import TaskState
from kernel_model.structs import TCB
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.machine.machine import Machine

TAKE = Profile("test", (TracedFunction("take", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),))


def waiting(machine: Machine) -> list[str]:
    checks = kernel_checks(machine, matching_profile(machine.image).name)
    assert checks is not None
    return checks.waiting()


def found(machine: Machine, folder: Path, tasks: list[str], how: How = How.HALTED) -> list[Finding]:
    trace = TraceBuilder().call("kmalloc", 8, result=0x200008).trace(folder / "t")
    return deadlocks(machine, Ending(how), trace, tasks)


def test_tasks_that_wait_for_each_other() -> None:
    machine = boot("firmware:btron_bad_wait")
    (finding,) = check_kernel(machine, matching_profile(machine.image)).findings
    assert finding.kind is Kind.DEADLOCK
    assert finding.message == "deadlock: the kernel halted for good, with interrupts off, while 2 tasks wait"
    assert finding.details == (
        "task 2 waits for a block of fixed-size memory pool 2",
        "task 3 waits for a block of fixed-size memory pool 1",
    )
    assert finding.call_site is not None
    assert [frame.function for frame in finding.call_site.backtrace[:2]] == ["get_blf", "read_request"]


def test_a_loop_that_nothing_can_end_is_a_halt_too() -> None:
    machine = boot("firmware:btron_bad_wait")
    shut = machine.image.symbols["direct"]
    code = machine.memory.read(shut.address - KERNEL_BASE, shut.size)
    assert code.count(b"\xfa\xf4\xeb\xfc") == 1  # cli; hlt; jmp to both
    machine.memory.write(shut.address - KERNEL_BASE + code.index(b"\xf4\xeb"), b"\x90")
    (finding,) = check_kernel(machine, matching_profile(machine.image)).findings
    assert finding.message == "deadlock: the kernel halted for good, with interrupts off, while 2 tasks wait"


def test_a_halt_without_tasks_that_wait_is_a_good_end(tmp_path: Path) -> None:
    machine = boot("firmware:btron_bad_wait_ok")
    machine.run()
    assert waiting(machine) == []
    assert found(machine, tmp_path, []) == []


def test_who_exits_may_leave_tasks_unfinished(tmp_path: Path) -> None:
    assert found(boot("firmware:btron_demo"), tmp_path, ["task 2 waits to be woken"], How.EXIT) == []


def test_with_interrupts_on_there_is_no_device_that_could_interrupt(tmp_path: Path) -> None:
    machine = boot("firmware:btron_demo")
    registers = machine.cpu.registers()
    machine.cpu.set_registers(registers._replace(eflags=registers.eflags | 0x200))
    (finding,) = found(machine, tmp_path, ["task 2 waits to be woken"])
    assert (
        finding.message
        == "deadlock: the kernel halted for good, with no device to interrupt it, while 1 task waits"
    )
    assert finding.call_site is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"wait_kind": 1}, "to be woken"),
        ({"wait_kind": 1, "has_deadline": 1, "deadline_lo": 451}, "to be woken until tick 451"),
        ({"wait_kind": 2, "wait_id": 1, "wait_size": 200}, "for 200 bytes of memory pool 1"),
        ({"wait_kind": 3, "wait_id": 4}, "for a block of fixed-size memory pool 4"),
        ({"wait_kind": 9}, "for what kmemu does not know (wait_kind 9)"),
    ],
)
def test_what_tasks_wait_for(fields: dict[str, int], text: str) -> None:
    machine = boot("firmware:btron_demo")
    btron = find_btron(machine)
    assert btron is not None
    table = btron.tasks.addresses.tcb_table
    for task, state in ((1, TaskState.READY), (7, TaskState.WAIT), (8, TaskState.DORMANT)):
        for name, value in {"state": int(state), **fields}.items():
            machine.memory.store_u32(table + task * TCB.size + TCB.offset(name), value)
    assert waiting(machine) == [f"task 7 waits {text}"]


def test_litecore_has_no_tasks() -> None:
    assert waiting(boot("firmware:demo")) == []


@pytest.mark.parametrize(
    ("calls", "end"),
    [(0, ""), (1, ", and 1 recorded call has not returned"), (2, ", and 2 recorded calls have not returned")],
)
def test_calls_that_have_not_returned_are_counted(calls: int, end: str) -> None:
    machine = machine_of(
        FUNCTION
        + f"""
        movl    ${calls}, %ecx
        testl   %ecx, %ecx
        jz      stop
        call    take
stop:   cli
        hlt
        function take
        decl    %ecx
        jz      stop
        call    take
        ret
        ends    take
        """
    )
    report = check_kernel(machine, TAKE)
    assert report.findings == ()
    assert report.ending.how is How.HALTED
    assert ending_text(report.ending).startswith("the kernel halted at stop+0x1 (")
    assert ending_text(report.ending).partition(") with interrupts off")[1:] == (") with interrupts off", end)


def wild(code: str, ram_end: int = 0) -> list[Finding]:
    source = FUNCTION + f"call take\n exit 0\nfunction take\n {code}\n ret\nends take\n"
    if ram_end:
        source = f"movl 0x{ram_end:x}, %eax\n" + source
    return list(check_kernel(machine_of(source), TAKE).findings)


def test_an_allocator_that_accesses_nothing_follows_a_wild_pointer() -> None:
    (finding,) = wild("movl $0, 0x40000010\n xorl %eax, %eax")
    assert finding.kind is Kind.WILD_ACCESS
    assert finding.message == "wild access: write to 0x40000010"
    assert finding.call_site is not None
    assert (finding.call_site.call, finding.call_site.event) == (1, 1)
    assert [frame.function for frame in finding.call_site.backtrace] == ["take", "_start"]


def test_a_kernel_that_takes_ram_to_be_larger_than_it_is_follows_none() -> None:
    assert wild("movl $0, 0x40000010\n xorl %eax, %eax", ram_end=0x500000) == []


def test_other_code_may_look_for_devices() -> None:
    source = (
        FUNCTION
        + "call take\n movl 0x40000000, %eax\n exit 0\nfunction take\n xorl %eax, %eax\n ret\nends take\n"
    )
    assert list(check_kernel(machine_of(source), TAKE).findings) == []


def strayed(before: str, after: str, *, sanitize: bool = True) -> list[Finding]:
    """Return what is found of a kernel that does something before and after it takes its first block; `look` reads what EBX says."""
    source = f"""
        movl    $0x40000010, %ebx
        {before}
        call    take
        {after}
        exit    0
        function take
        movl    $0x200000, %eax
        ret
        ends    take
        function look
        movl    (%ebx), %eax
        ret
        ends    look
        function other
        movl    %eax, (%ebx)
        ret
        ends    other
        """
    report = check_kernel(machine_of(FUNCTION + source), TAKE, sanitize=sanitize)
    return [each for each in report.findings if each.kind is Kind.WILD_ACCESS]


def test_other_code_does_so_where_accesses_are_checked() -> None:
    read, written = strayed("", "call look\n call look\n addl $0x5000, %ebx\n call other")
    assert read.message == "wild access: read of 0x40000010"
    assert written.message == "wild access: write to 0x40005010"
    assert written.call_site is not None
    assert [each.function for each in written.call_site.backtrace] == ["other", "_start"]
    assert (written.call_site.call, written.call_site.event) == (0, 2)


def test_one_place_is_one_finding() -> None:
    (read,) = strayed("", "again: call look\n addl $0x1000, %ebx\n cmpl $0x40003010, %ebx\n jne again")
    assert read.details == ("neither RAM nor a device is there", "3 pages like this")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "movl $0xc0000010, %ebx\n call look"),
        ("", "movl $0x80000000, %ebx\n call other"),
        ("call look", "call other"),
        ("again: call look\n addl $0x1000, %ebx\n cmpl $0x40003010, %ebx\n je on", "jmp again\n on: nop"),
    ],
    ids=["a device of PCI", "the first of these", "a page before", "a place before"],
)
def test_it_may_look_for_devices_there_too(before: str, after: str) -> None:
    assert strayed(before, after) == []


def test_without_checked_accesses_only_allocators_follow_wild_pointers() -> None:
    assert strayed("", "call look", sanitize=False) == []
