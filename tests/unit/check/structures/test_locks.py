"""Spin locks that are still held, or waited for by who holds them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from emulator.check.findings import Kind
from emulator.check.structures.locks import check_locks
from emulator.errors import BudgetUsedUp
from tests.helpers.checked import checked
from tests.unit.cli.kernels import JUMP_TO_NOWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.guest.symbolizer import Frame
    from emulator.machine.machine import Machine
    from tests.helpers.checked import Checked

BUDGET = 2_000_000


def lines(stack: Sequence[Frame]) -> list[str]:
    return [f"{frame.function} {PurePosixPath(frame.file).name}" for frame in stack]


def found(run: Checked) -> list[Finding]:
    return check_locks(run.machine, run.trace, run.rerun, finished=run.finished)


def test_a_lock_that_is_held_at_the_end(tmp_path: Path) -> None:
    run = checked("bad_lock", tmp_path)
    (finding,) = found(run)
    assert finding.kind is Kind.LOCK_HELD
    assert finding.message.endswith("_lock is still held at the end of the run")
    assert finding.faulting_write is not None
    assert finding.faulting_write.text.startswith("xchg dword ptr [")
    assert (finding.faulting_write.before, finding.faulting_write.after) == (0, 1)
    assert "kmain bad_lock.c" in lines(finding.faulting_write.backtrace)


def test_a_lock_that_is_taken_twice(tmp_path: Path) -> None:
    run = checked("bad_lock_twice", tmp_path, max_instructions=BUDGET)
    assert not run.finished
    (finding,) = found(run)
    assert finding.kind is Kind.LOCK_TWICE
    assert finding.message.endswith("_lock is taken by who holds it already: the kernel waits for ever")
    assert finding.faulting_write is not None
    assert finding.details[0] == "waits for it:"
    assert any("kmain" in line for line in finding.details[1:])
    assert finding.call_site is not None


def test_who_waits_is_not_who_took_it(tmp_path: Path) -> None:
    (finding,) = found(checked("bad_lock_twice", tmp_path, max_instructions=BUDGET))
    assert finding.faulting_write is not None
    waits = [line.strip() for line in finding.details[1:]]
    assert waits != [str(frame) for frame in finding.faulting_write.backtrace][: len(waits)]


@pytest.mark.parametrize("kernel", ["bad_lock_ok", "bad_lock_twice_ok", "demo", "btron_demo"])
def test_locks_that_are_given_back(kernel: str, tmp_path: Path) -> None:
    assert found(checked(kernel, tmp_path)) == []


def test_a_run_that_is_cut_off_may_hold_a_lock(tmp_path: Path) -> None:
    for instructions in range(30_000, 30_600, 60):
        assert found(checked("stress", tmp_path, max_instructions=instructions)) == []


def test_a_word_whose_last_change_was_not_atomic_is_no_lock(tmp_path: Path) -> None:
    """The last one that the kernel itself made was an unlock, a plain store."""
    run = checked(
        "demo", tmp_path, at_end=lambda machine: machine.memory.store_u32(machine.address_of("heap_lock"), 1)
    )
    assert found(run) == []


def test_a_kernel_that_dies_while_its_next_instructions_are_stepped(tmp_path: Path) -> None:
    def to_nowhere(machine: Machine) -> None:
        eip = machine.image.physical(machine.cpu.registers().eip)
        machine.memory.write(eip, JUMP_TO_NOWHERE)
        machine.cpu.flush_code()

    assert found(checked("bad_lock_twice", tmp_path, max_instructions=BUDGET, at_end=to_nowhere)) == []


def test_a_loop_that_reads_where_nothing_is_waits_for_no_lock(tmp_path: Path) -> None:
    def reads_nothing(machine: Machine) -> None:
        eip = machine.image.physical(machine.cpu.registers().eip)
        machine.memory.write(
            eip, bytes.fromhex("fa a1 02 b0 ad 2b eb f9")
        )  # cli; 1: mov 0x2badb002, %eax; jmp 1b
        machine.cpu.flush_code()
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=1)

    assert found(checked("bad_lock_twice", tmp_path, max_instructions=BUDGET, at_end=reads_nothing)) == []
