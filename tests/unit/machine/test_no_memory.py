"""Where the host has no memory left, the native core says so: it neither crashes nor goes on with less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.no_memory import run_without_memory

if TYPE_CHECKING:
    from pathlib import Path

# Many calls that are open at once, on many stacks; then many pages of code.
GUEST = """
        xorl    %ebp, %ebp
        movl    $40, %ecx
1:      call    take
        loop    1b
        movl    $400, %ecx
2:      pushl   %ecx
        call    deeper
        popl    %ecx
        loop    2b
        movl    $far, %eax
        movl    $70, %ecx
3:      movb    $0xc3, (%eax)
        call    *%eax
        addl    $4096, %eax
        loop    3b
        exit    0
        function take
        cmpl    $20, %ecx
        jb      1f
        decl    %ecx
        call    take
        incl    %ecx
1:      movl    %ecx, word
        ret
        ends    take
        function deeper
        pushl   %ebp
        movl    %esp, %ebp
        subl    %ecx, %esp
        andl    $~3, %esp
        call    take
        leave
        ret
        ends    deeper
        .data
        .globl  word
word:   .long   0
        .bss
        .balign 4096
far:    .skip   70 * 4096
        .text
"""
PROGRAM = """
import sys
from emulator.errors import HostError
from emulator.machine.call_stack import callers, prepare_stacks
from emulator.machine.machine import Machine
from emulator.machine.address_map import MIB
from emulator.machine.memory import RamWindow
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import FUNCTION, assemble

GUEST, MMU = {guest!r}, {mmu!r}
IMAGE = assemble(FUNCTION + GUEST)

def scenario():
    machine = Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB), mmu=MMU)
    prepare_stacks(machine)
    recording = record(machine, [RecordedFunction("take")])
    watchpoint = machine.observers.watch(machine.address_of("word"), 4)
    start = machine.snapshot()
    machine.run(stop_at_event=50)
    inner = machine.snapshot()
    pages = start.pages_written()
    stack = callers(machine)
    pages_now = machine.observers.note_written()
    machine.observers.count_write(2 * MIB, 40 * 4096)
    first = machine.run(timeout_s=60)
    touched = pages_now.take()
    inner.reset()
    with machine.observers.log_steps(1000) as log:
        again = machine.run()
        steps = log.steps()
    written = watchpoint.last_write()
    rows = recording.rows()
    columns = [rows.buffer(name).cast("I") for name in ("entered", "left", "stack")]
    calls = [(entered, left, recording.stack(stack)) for entered, left, stack in zip(*columns, strict=True)]
    start.reset()
    third = machine.run()
    return first, again, third, steps, written, stack, calls, pages, touched, machine.memory.read(MIB, 3 * MIB)

clean = scenario()
shim.shim_fail_at(0)
assert scenario() == clean
count = shim.shim_fail_at(0)
print(count)
for n in range(1, count + 1):
    shim.shim_fail_at(n)
    try:
        scenario()
    except HostError as error:
        told = str(error)
    else:
        told = "nothing"
    print(told)
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_each_request_that_fails_is_said(tmp_path: Path, mmu: str) -> None:
    count, *told = run_without_memory(tmp_path, PROGRAM.format(guest=GUEST, mmu=mmu)).splitlines()
    assert len(told) == int(count) > 30
    assert "nothing" not in told, [number for number, text in enumerate(told, start=1) if text == "nothing"]
    assert "the host has no memory left for what is recorded of the run" in told
    assert "no memory to keep the pages that the guest writes" in told
    assert "the host cannot return to snapshot 2" in told
    assert "cannot take another snapshot inside this one" in told


SNAPSHOTS = """
from emulator.errors import HostError
from emulator.machine.machine import Machine
from emulator.machine.address_map import MIB
from emulator.machine.memory import RamWindow
from tests.helpers.guest import assemble

image = assemble("hlt")
failed = 0
for n in range(1, 60):
    machine = Machine(image, ram=RamWindow(MIB, 4 * MIB))
    before = machine.memory.read(0, 4 * MIB)
    outer = machine.snapshot()
    for page in range(40):
        machine.memory.write(2 * MIB + 4096 * page, b"changed")
    shim.shim_fail_at(n)
    try:
        inner = machine.snapshot()
    except HostError:
        failed += 1
    shim.shim_fail_at(0)
    outer.reset()
    assert machine.memory.read(0, 4 * MIB) == before, n
print(failed)
"""


def test_a_snapshot_that_cannot_be_taken_leaves_the_outer_one_as_it_was(tmp_path: Path) -> None:
    assert int(run_without_memory(tmp_path, SNAPSHOTS)) > 40
