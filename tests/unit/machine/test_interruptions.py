"""Ctrl-C, and exceptions raised by the code that listens to the machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp, GuestException
from emulator.machine.execution import Returned
from tests.helpers.guest import core_of, machine_of, results_of, symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.consoles import Console
    from emulator.machine.machine import Machine

# Counts for a while, or for ever where the first word of `limit` stays 0.
COUNTING = """
1:      incl    %ebx
        cmpl    limit, %ebx
        jne     1b
        put     ebx
        exit    3
        .data
        .globl  limit
limit:  .long   0
        .text
"""
TALKING = "1: movb $10, %al\n outb %al, $0xe9\n jmp 1b"


@contextmanager
def ctrl_c(after_s: float, number: int = signal.SIGINT) -> Iterator[None]:
    """Press Ctrl-C after a while. One that comes too late is waited for, so that it hits no other test."""
    thread = threading.Timer(after_s, os.kill, (os.getpid(), number))
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("max_instructions", [None, 1 << 60], ids=["free", "counted"])
def test_ctrl_c_interrupts_a_run_that_can_go_on(mmu: str, max_instructions: int | None) -> None:
    machine = machine_of(COUNTING, mmu=mmu)
    with ctrl_c(0.05), pytest.raises(KeyboardInterrupt):
        machine.run(max_instructions=max_instructions, timeout_s=10)
    counted = machine.cpu.registers().ebx
    assert counted > 0
    limit = (counted + 1000) & 0xFFFFFFFF
    machine.memory.store_u32(symbol(machine, "limit"), limit)
    assert machine.run(timeout_s=10).exit_value == 3
    assert results_of(machine, 1) == [limit]


def test_ctrl_c_many_times() -> None:
    machine = machine_of(COUNTING)
    for _ in range(10):
        with pytest.raises(KeyboardInterrupt), ctrl_c(0.01):  # it may come while its thread starts
            machine.run(timeout_s=10)


def test_ctrl_c_while_python_handles_output() -> None:
    machine = machine_of(TALKING, on_output=lambda _console, _data: time.sleep(0.002))
    with ctrl_c(0.05), pytest.raises(KeyboardInterrupt):
        machine.run(timeout_s=10)
    with ctrl_c(0.05), pytest.raises(KeyboardInterrupt):
        machine.run(timeout_s=10)


def test_ctrl_c_is_not_lost_when_it_comes_inside_a_callback() -> None:
    def press(_console: Console, _data: bytes) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    machine = machine_of(TALKING, on_output=press)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            machine.run(timeout_s=10)


def test_ctrl_c_inside_a_callback_at_the_end_of_the_run_is_not_lost() -> None:
    def press(_console: Console, _data: bytes) -> None:
        signal.raise_signal(signal.SIGINT)

    machine = machine_of("movb $0x61, %al\n outb %al, $0xe9\n exit 0", on_output=press)
    with pytest.raises(KeyboardInterrupt):
        machine.run()


def test_pythons_handler_is_back_after_the_run(mmu: str) -> None:
    machine = machine_of("hlt", mmu=mmu)
    machine.run()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_handler_of_ones_own_is_called_and_the_run_ends(number: signal.Signals) -> None:
    machine = machine_of(COUNTING)
    received: list[int] = []
    previous = signal.signal(number, lambda number, _frame: received.append(number))
    try:
        with ctrl_c(0.05, number), pytest.raises(KeyboardInterrupt):
            machine.run(timeout_s=10)
    finally:
        signal.signal(number, previous)
    assert received == [number]


def test_an_ignored_ctrl_c_is_ignored() -> None:
    machine = machine_of(COUNTING)
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ctrl_c(0.02), pytest.raises(BudgetUsedUp):
            machine.run(timeout_s=0.1)
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_run_in_another_thread_works_and_ends_with_its_budget() -> None:
    ended: list[BaseException | object] = []

    def run(machine: Machine) -> None:
        try:
            ended.append(machine.run(timeout_s=0.1))
        except BudgetUsedUp as error:
            ended.append(error)

    threads = [threading.Thread(target=run, args=(machine_of(COUNTING),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(each) for each in ended] == [BudgetUsedUp, BudgetUsedUp]


class Oops(Exception):
    """Something went wrong in the code that uses the machine."""


def fail(*_arguments: object) -> int:
    raise Oops


@pytest.mark.parametrize("port", [0xE9, 0x3F8])
def test_an_exception_of_the_listener_ends_the_run(
    port: int, mmu: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = f"movw $0x{port:x}, %dx\n movb $10, %al\n outb %al, %dx\n 1: jmp 1b"
    machine = machine_of(source, mmu=mmu, on_output=fail)
    with pytest.raises(Oops):
        machine.run(timeout_s=10)
    assert capfd.readouterr() == ("", "")


def test_an_exception_of_the_listener_at_the_end_of_the_run_is_not_lost(
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls: list[bytes] = []

    def fail_late(_console: Console, data: bytes) -> None:
        calls.append(data)
        if b"z" in data:
            raise Oops

    source = "".join(f"movb ${byte}, %al\n outb %al, $0xe9\n" for byte in b"abz")
    machine = machine_of(source + "exit 4", on_output=fail_late)
    with pytest.raises(Oops):
        machine.run()
    assert b"".join(calls) == b"abz"
    assert capfd.readouterr() == ("", "")


def test_the_machine_goes_on_after_an_exception_of_the_listener() -> None:
    failing = [True]

    def maybe(_console: Console, _data: bytes) -> None:
        if failing[0]:
            raise Oops

    machine = machine_of(
        "movb $10, %al\n outb %al, $0xe9\n movl $8, %ebx\n put ebx\n 1: exit 0\n jmp 1b", on_output=maybe
    )
    with pytest.raises(Oops):
        machine.run()
    failing[0] = False
    assert machine.run().ending is Returned.EXIT
    assert results_of(machine, 1) == [8]


def test_an_exception_of_a_probe_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    machine = machine_of("1: call f\n jmp 1b\nf: ret\n .type f, @function")
    machine.observers.probe(symbol(machine, "f"), fail)
    for _ in range(3):
        with pytest.raises(Oops):
            machine.run(timeout_s=10)
    assert capfd.readouterr() == ("", "")


def test_only_the_first_of_several_exceptions_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    count = iter(range(100))

    def fail_counting(*_arguments: object) -> int:
        raise Oops(next(count))

    machine = machine_of("call f\n call f\n hlt\nf: ret")
    for _ in range(3):
        machine.observers.probe(symbol(machine, "f"), fail_counting)
    with pytest.raises(Oops, match=r"^0$"):
        machine.run()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "error"),
    [(1 << 32, OverflowError), (-1, OverflowError), (None, TypeError), ("1", TypeError)],
)
def test_an_answer_that_is_no_word_ends_the_run(
    answer: object, error: type[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    """EAX would be 0 without a word."""
    machine = machine_of("1: call f\n jmp 1b\nf: ret\n .type f, @function")
    machine.observers.probe(symbol(machine, "f"), lambda *_: answer, answers=True)  # type: ignore[arg-type]
    with pytest.raises(error):
        machine.run(timeout_s=10)
    assert capfd.readouterr() == ("", "")


def test_a_port_that_reads_as_no_word_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    machine = machine_of("1: inl $0x60, %eax\n jmp 1b")
    monkeypatch.setattr(core_of(machine), "port_read", lambda _port, _size: 1 << 32)
    with pytest.raises(OverflowError, match=r"^a callback returned 0x100000000, which does not fit"):
        machine.run(timeout_s=10)
    assert capfd.readouterr() == ("", "")


@contextmanager
def own_handler() -> Iterator[list[int]]:
    """A handler of SIGINT that raises nothing."""
    received: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, previous)


def press_ctrl_c(*_arguments: object) -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("end", "ending"),
    [("exit 3", Returned.EXIT), ("hlt", Returned.HALTED), ("1: jmp 1b", None)],
    ids=["exit", "hlt", "no end"],
)
def test_a_run_that_has_ended_keeps_its_end_and_ctrl_c_ends_the_next_one(
    end: str, ending: Returned | None, mmu: str
) -> None:
    source = f"movb $10, %al\n outb %al, $0xe9\n {end}\n movl $7, %ebx\n put ebx\n 1: jmp 1b"
    machine = machine_of(source, mmu=mmu, on_output=press_ctrl_c)
    with own_handler() as received:
        if ending is not None:
            assert machine.run(timeout_s=10).ending is ending
            eip = machine.cpu.registers().eip
        with pytest.raises(KeyboardInterrupt):
            machine.run(timeout_s=10)
        if ending is not None:
            assert machine.cpu.registers().eip == eip
        assert received == [signal.SIGINT]
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=100)


def test_a_run_that_ctrl_c_ends_with_few_instructions_left_goes_on_where_it_was(mmu: str) -> None:
    machine = machine_of("movb $10, %al\n outb %al, $0xe9\n nop\n hlt", mmu=mmu, on_output=press_ctrl_c)
    with own_handler():
        with pytest.raises(KeyboardInterrupt):
            machine.run(max_instructions=10)
        outcome = machine.run(max_instructions=10)
    assert (outcome.ending, outcome.instructions) == (Returned.HALTED, 2)


def test_a_failure_is_not_hidden_by_ctrl_c(mmu: str) -> None:
    machine = machine_of("movb $10, %al\n outb %al, $0xe9\n ud2", mmu=mmu, on_output=press_ctrl_c)
    with own_handler(), pytest.raises(GuestException, match=r"#UD"):
        machine.run()


def test_virtual_time_passes_in_a_run_that_ctrl_c_ends() -> None:
    machine = machine_of(COUNTING)
    before = machine.cpu.registers().ebx
    with ctrl_c(0.05), pytest.raises(KeyboardInterrupt):
        machine.run(timeout_s=10)
    counted = machine.cpu.registers().ebx - before
    assert counted > 0
    assert machine.interrupts.now_ns() >= 3 * counted * machine.interrupts.instruction_ns


def test_ctrl_c_that_python_has_raised_does_not_end_the_next_run_too() -> None:
    machine = machine_of("movb $10, %al\n outb %al, $0xe9\n exit 3", on_output=press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        machine.run()
    assert machine.run().exit_value == 3
