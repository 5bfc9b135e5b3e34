"""What happens between runs, and below a machine's window, is the same whether accesses are the host's or the engine's."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from emulator.machine.address_map import MIB
from emulator.machine.board.device_memory import DeviceMemory
from emulator.machine.memory import RamWindow
from tests.helpers.guest import core_of, symbol
from tests.helpers.page_tables import P, PageTables, W, enable_paging
from tests.helpers.three_memories import MEMORIES, OF_THE_CORE, compared, prepared, run, window_of

if TYPE_CHECKING:
    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.machine import Machine

PAGE = 4096
DATA = 0x0030_0000
HIGH = 0x4000_0000
ROOMY = RamWindow(MIB, 128 * MIB)

# Writes some pages at each run.
WRITER = f"""
        faults
1:      hlt
        movl    $0x{DATA:x}, %esi
        movl    $16, %ecx
2:      movl    (%esi), %eax
        addl    %ecx, %eax
        movl    %eax, 4(%esi)
        addl    $0x1000, %esi
        decl    %ecx
        jnz     2b
        incl    counter
        jmp     1b
        .data
        .globl  counter
counter: .long  0
"""
PAGED_WRITER = enable_paging() + WRITER.replace(f"0x{DATA:x}", f"0x{HIGH:x}")


def map_high(machine: Machine) -> None:
    tables = PageTables(machine.memory)
    for page in (*range(0, 0x40_0000, PAGE), *range(0x5F_0000, 0x61_0000, PAGE)):
        tables.map(page, page)
    for number in range(16):
        tables.map(HIGH + PAGE * number, DATA + PAGE * number, P | W)


def whole(machine: Machine) -> tuple[object, ...]:
    return hash(machine.memory.read(0, len(machine.memory))), machine.cpu.registers()


class AtRandom:
    """Runs, writes of Python and of devices, and snapshots inside each other; returns every state in between."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, machine: Machine) -> list[object]:
        choices = random.Random(self.seed)
        seen: list[object] = []
        snapshots: list[Snapshot] = []
        run(machine)
        for _ in range(60):
            what = choices.randrange(8)
            if what < 2:
                seen.append(run(machine))
            elif what < 5:
                write(machine, what, choices)
            else:
                seen.append(nest(machine, what, choices, snapshots))
            seen.append(whole(machine))
        return seen


def write(machine: Machine, what: int, choices: random.Random) -> None:
    at, value = DATA + choices.randrange(20 * PAGE), bytes([choices.randrange(256)])
    if what == 2:
        for _ in range(choices.randrange(1, 90)):
            machine.memory.store_u32(DATA + PAGE * choices.randrange(200), choices.randrange(1 << 32))
    elif what == 3:
        machine.memory.write(at, value * choices.randrange(3 * PAGE))
    else:
        DeviceMemory(core_of(machine)).write(at, value * 600)


def nest(machine: Machine, what: int, choices: random.Random, snapshots: list[Snapshot]) -> object:
    depth = choices.randrange(len(snapshots) + 1)
    if what == 5 or depth == len(snapshots):
        snapshots.append(machine.snapshot())
        return None
    written = {
        page: data
        for page, data in snapshots[depth].pages_written().items()
        if machine.memory.read(page, PAGE) != data
    }
    if what == 6:
        snapshots[depth].reset()
        del snapshots[depth + 1 :]
    else:
        snapshots[depth].discard()
        del snapshots[depth:]
    return written


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_and_writes_from_outside(seed: int) -> None:
    assert window_of(compared(WRITER, drive=AtRandom(seed)))[0] > 1


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_and_writes_from_outside_with_paging(seed: int) -> None:
    assert compared(PAGED_WRITER, map_high, drive=AtRandom(seed)).output


# Writes every other page, 10,300 of them.
FAR_WRITER = f"""
        faults
1:      hlt
        movl    $0x{DATA:x}, %esi
        movl    $10300, %ecx
2:      addl    %ecx, (%esi)
        addl    $0x2000, %esi
        decl    %ecx
        jnz     2b
        jmp     1b
"""


def reset_after_runs(machine: Machine) -> list[object]:
    run(machine)
    snapshot, before, seen = machine.snapshot(), whole(machine), list[object]()
    for _ in range(3):
        seen += [run(machine), whole(machine)]
        snapshot.reset()
        assert whole(machine) == before
    snapshot.discard()
    return [*seen, run(machine)]


def test_a_guest_writes_so_many_pages_that_they_are_kept_in_groups() -> None:
    compared(FAR_WRITER, memories=MEMORIES, drive=reset_after_runs, ram=ROOMY)


def reset_after_writes(machine: Machine) -> list[object]:
    run(machine)
    outer, seen = machine.snapshot(), list[object]()
    before = whole(machine)
    for number in range(10_300):
        machine.memory.store_u32(DATA + 2 * PAGE * number, number)
    run(machine)
    between, inner = whole(machine), machine.snapshot()
    written = outer.pages_written()
    assert all(DATA + 2 * PAGE * number in written for number in range(1, 10_300))
    for number in range(10_300):
        machine.memory.store_u32(DATA + 2 * PAGE * number + PAGE * (number % 2), number + 1)
    inner.reset()
    assert whole(machine) == between
    seen += [run(machine), whole(machine)]
    outer.reset()
    assert whole(machine) == before
    return [*seen, run(machine)]


def test_python_writes_so_many_pages_that_they_are_kept_in_groups() -> None:
    compared(WRITER, memories=OF_THE_CORE, drive=reset_after_writes, ram=ROOMY)


def observed(machine: Machine) -> list[object]:
    run(machine)
    observers, seen = machine.observers, list[object]()
    for _ in range(2):
        written = observers.note_written()
        seen += [run(machine), written.take()]
        written.close()
        seen.append(run(machine))
        watch = observers.watch(DATA + PAGE + 4, 4)
        seen += [run(machine), watch.last_write()]
        watch.close()
        seen.append(run(machine))
        stale = observers.seek_stale()
        seen.append(run(machine))
        stale.close()
        seen.append(run(machine))
        steps = observers.log_steps(50)
        seen += [run(machine), steps.steps()]
        steps.close()
    return seen


def test_observers_come_and_go() -> None:
    compared(WRITER, memories=OF_THE_CORE, drive=observed)
    compared(PAGED_WRITER, map_high, memories=OF_THE_CORE, drive=observed)


PAGE_ZERO = """
        faults
        movl    $3, %ecx
1:      movl    0x10, %eax
        log     eax
        movl    %ecx, 0x20
        movl    0xffe, %ebx
        movl    %ecx, 0xffd
        movl    0x1004, %edx
        movl    $0x80000, %esi
        movl    %ecx, (%esi)
        decl    %ecx
        jnz     1b
        hlt
"""


def guarded(machine: Machine) -> list[object]:
    accesses = machine.observers.guard_page_zero()
    ending = run(machine)
    return [ending, accesses.seen()]


def test_page_zero_while_accesses_of_it_are_kept() -> None:
    compared(PAGE_ZERO, memories=OF_THE_CORE, drive=guarded)


GATE = """
        faults
        movl    $3, %ecx
1:      movl    $0x11111111, 0x80000
        movl    $0x22222222, 0x180000
        movl    0x180000, %eax
        log     eax
        movb    $0, %al
        outb    %al, $0x92
        movl    0x380000, %ebx
        movl    %ecx, 0x180004
        movb    $2, %al
        outb    %al, $0x92
        log     ebx
        movl    0x180000, %eax
        log     eax
        movl    0x80004, %eax
        log     eax
        decl    %ecx
        jnz     1b
        hlt
"""


@pytest.mark.parametrize("stays", [True, False])
def test_gate_a20(stays: bool) -> None:
    machine = compared(GATE if stays else GATE.replace("0x180000", "0x3f0000"), memories=OF_THE_CORE)
    assert window_of(machine)[0] > 0


# Writes planes, a bank of a linear mode, and what is below them, in turns.
VIDEO = """
        .macro  dispi index, value
        movw    $0x1ce, %dx
        movw    $\\index, %ax
        outw    %ax, %dx
        incw    %dx
        movw    $\\value, %ax
        outw    %ax, %dx
        .endm
        faults
        movl    $0xa0000, %esi
        movl    $3, %ecx
1:      movl    %ecx, (%esi)
        addl    $3, 4(%esi)
        dispi   4, 0
        dispi   1, 640
        dispi   2, 480
        dispi   3, 8
        dispi   4, 1
        movl    %ecx, 8(%esi)
        movl    (%esi), %eax
        log     eax
        dispi   5, 1
        movl    (%esi), %eax
        log     eax
        addl    %ecx, (%esi)
        dispi   5, 0
        movl    8(%esi), %eax
        log     eax
        dispi   4, 0
        movl    (%esi), %eax
        log     eax
        movl    0xb8000, %eax
        log     eax
        movl    %eax, 0xb8004
        decl    %ecx
        jnz     1b
        hlt
"""


def test_what_lies_at_0xa0000_changes() -> None:
    machine = compared(VIDEO, memories=OF_THE_CORE)
    assert window_of(machine)[0] > 0


def with_other_tables(machine: Machine) -> list[object]:
    seen: list[object] = [run(machine), run(machine)]
    machine.memory.write(0x23_0000, machine.memory.read(0x20_0000, PAGE))
    machine.memory.write(0x23_1000, machine.memory.read(0x20_3000, PAGE))
    machine.memory.store_u32(0x23_0400, 0x23_1003)
    for number in range(16):
        machine.memory.store_u32(0x23_1000 + 4 * number, DATA + PAGE * (15 - number) | 3)
    for _ in range(2):
        machine.memory.store_u32(0x20_3000, DATA + 20 * PAGE | 3)
        machine.cpu.forget_translations()
        seen += [run(machine), whole(machine)]
        machine.memory.store_u32(0x20_3000, DATA | 3)
        machine.cpu.forget_translation(HIGH)
        seen += [run(machine), whole(machine)]
        with machine.snapshot():
            machine.memory.write(0x20_3000, machine.memory.read(0x23_1000, 64))
            machine.cpu.forget_translations()
            seen += [run(machine), whole(machine)]
        seen += [run(machine), whole(machine)]
    return seen


def test_page_tables_change_between_runs() -> None:
    compared(PAGED_WRITER, map_high, drive=with_other_tables)


# A function is called between a load of CR3 and the next access to the page.
CALLING = (
    enable_paging()
    + f"""
        movl    $20, %ecx
1:      incl    0x{HIGH:x}
        reload_cr3
        call    mapped
        incl    0x{HIGH:x}
        decl    %ecx
        jnz     1b
        hlt
        .globl  mapped
mapped: ret
"""
)


def with_a_model(machine: Machine) -> list[object]:
    """What answers the function writes to page tables, as a model of it does."""
    calls = 0

    def answer(_kind: int, _esp: int, _eax: int) -> int:
        nonlocal calls
        calls += 1
        machine.memory.store_u32(0x20_3000, DATA + PAGE * (calls % 7) | 0x63)
        return 0

    machine.observers.probe(symbol(machine, "mapped"), answer)
    return [run(machine), whole(machine)]


def test_a_model_changes_page_tables() -> None:
    machine = compared(CALLING, map_high, drive=with_a_model)
    assert machine.memory.load_words(DATA, 2) == (5, 0)
    assert window_of(machine)[0] > 0


# One block of 4,000 instructions; an exit counts to the end of its part.
LONG_BLOCK = f"""
        movl    $0x{DATA:x}, %esi
        xorl    %eax, %eax
        movw    $0xf4, %dx
        {"addl %eax, (%esi); rcll %cl, 4(%esi); " * 20}
        outl    %eax, %dx
        {"addl %eax, (%esi); rcll %cl, 4(%esi); " * 2000}
        hlt
"""


def test_blocks_are_as_long_whatever_the_process_has_done_before() -> None:
    lengths = set()
    machines: list[Machine] = []  # while one lives, others have their windows elsewhere
    for mmu in ("fast", "fast", "ordinary"):
        machines.append(prepared(LONG_BLOCK, mmu))
        lengths.add(machines[-1].run().instructions)
    assert len(lengths) == 1
