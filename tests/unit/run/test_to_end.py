"""Runs to the end, whatever that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import BudgetUsedUp, GuestException, HostError
from emulator.hle.lockstep import Divergence
from emulator.machine.recording import RecordedFunction, record
from emulator.run.ending import NO_LIMIT, Budget, Ending, How
from emulator.run.to_end import ending_of, run_to_end
from tests.helpers.guest import FUNCTION, machine_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine


def test_a_kernel_that_exits() -> None:
    machine = machine_of("nop\n exit 5")
    ending = run_to_end(machine, NO_LIMIT)
    assert ending == Ending(How.EXIT, 5, machine.cpu.registers().eip, instructions=ending.instructions)
    assert ending.instructions


def test_a_kernel_that_halts_has_a_location_and_calls_that_go_on() -> None:
    machine = machine_of(FUNCTION + "call take\nfunction take\ncli\nhlt\nret\nends take\n")
    record(machine, [RecordedFunction("take")])
    ending = run_to_end(machine, NO_LIMIT)
    assert ending.how is How.HALTED
    assert ending.location is not None
    assert ending.location.startswith("take+0x1 ")
    assert (ending.eip, ending.open_calls) == (machine.address_of("take") + 2, 1)


@pytest.mark.parametrize(
    ("source", "how", "error"),
    [
        ("ud2", How.STOPPED, GuestException),
        ("1: jmp 1b", How.BUDGET, BudgetUsedUp),
    ],
)
def test_a_kernel_that_something_else_stops(source: str, how: How, error: type[Exception]) -> None:
    budget = Budget(1000)
    ending = run_to_end(machine_of(source), budget)
    assert ending.how is how
    assert type(ending.error) is error
    assert ending.instructions == (1000 if how is How.BUDGET else 1)
    assert ending.budget == (budget if how is How.BUDGET else None)
    assert ending.problem == str(ending.error)
    assert ending.location is not None
    assert ending.location.startswith("_start")


def test_what_kmemu_lacks_is_distinguished_from_what_the_kernel_did() -> None:
    ending = run_to_end(machine_of("movl $0xf0000, %eax\n jmp *%eax"), NO_LIMIT)
    assert (ending.how, ending.eip) == (How.NOT_EMULATED, 0xF0000)


@pytest.mark.parametrize(
    ("error", "how", "problem"),
    [
        (KeyboardInterrupt(), How.INTERRUPTED, ""),
        (KeyboardInterrupt("SIGHUP"), How.INTERRUPTED, "SIGHUP"),
        (HostError("no memory"), How.STOPPED, "no memory"),
        (Divergence("kmalloc", "here", 1, ()), How.DIVERGED, None),
    ],
)
def test_what_is_raised_in_a_run_is_kept(
    error: BaseException, how: How, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = machine_of("hlt")

    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(machine, "run", run)
    ending = run_to_end(machine, NO_LIMIT)
    assert (ending.how, ending.error, ending.eip) == (how, error, machine.cpu.registers().eip)
    assert ending.error is not None
    assert ending.error.__traceback__ is None  # it would keep the machine
    assert problem in (None, ending.problem)


def test_a_run_that_was_asked_to_come_back_has_not_ended() -> None:
    machines: list[Machine] = []
    machine = boot("firmware:leak", on_output=lambda _console, _data: machines[0].stop())
    machines.append(machine)
    with pytest.raises(ValueError, match=r"^a run that goes on: asked$"):
        ending_of(machine, machine.run())


def test_a_budget_names_the_backtrace_and_what_the_kernel_was_doing() -> None:
    source = FUNCTION + "call poll\nfunction poll\n movw $0x300, %dx\n1: inb %dx, %al\n jmp 1b\nends poll\n"
    ending = run_to_end(machine_of(source), Budget(max_instructions=10_000))
    assert ending.how is How.BUDGET
    assert [frame.function for frame in ending.backtrace] == ["poll", "_start"]
    assert ending.activity is not None
    assert ending.activity.waited == 0
    last = ending.activity.last_read
    assert last is not None
    assert (last.port, last.is_answered, last.instructions_ago <= 4) == (0x300, False, True)
    assert last.reads == ending.lacks[0].reads


@pytest.mark.parametrize(
    "source",
    [
        "movb $0xfe, %al\n outb %al, $0x64",  # pulses the reset line
        "movb $0xd1, %al\n outb %al, $0x64\n movb $0xfe, %al\n outb %al, $0x60",  # the same by the output port
        "movb $3, %al\n outb %al, $0x92",
        "movw $0xcf9, %dx\n movb $6, %al\n outb %al, %dx",
    ],
)
def test_each_way_to_reset_the_pc_is_an_end_of_its_own(source: str) -> None:
    machine = machine_of(
        f"call panic\n hlt\n .type panic, @function\npanic: {source}\n hlt\n .size panic, . - panic"
    )
    ending = run_to_end(machine, Budget())
    assert (ending.how, ending.exit_value, ending.exit_code) == (How.RESET, None, None)
    assert [frame.function for frame in ending.backtrace] == ["panic", "_start"]


@pytest.mark.parametrize("port", [0x604, 0xB004])
def test_switching_the_power_off_is_an_end_of_its_own(port: int) -> None:
    machine = machine_of(f"movw ${port}, %dx\n movw $0x2000, %ax\n outw %ax, %dx\n hlt")
    ending = run_to_end(machine, Budget())
    assert (ending.how, ending.exit_value, ending.backtrace) == (How.OFF, None, ())


def test_a_halt_has_its_backtrace() -> None:
    ending = run_to_end(machine_of(FUNCTION + "call die\nfunction die\n cli\n hlt\nends die\n"), Budget())
    assert (ending.how, ending.interrupts_on, ending.activity) == (How.HALTED, False, None)
    assert [frame.function for frame in ending.backtrace] == ["die", "_start"]


def test_a_text_that_did_not_appear_is_missed() -> None:
    assert run_to_end(machine_of("cli\n hlt"), Budget(until="x")).missed == "x"
    assert (
        run_to_end(machine_of("movb $'x', %al\n outb %al, $0xe9\n cli\n hlt"), Budget(until="x")).missed == ""
    )
