"""Going back to an earlier state: memory, CPU, devices and collected output."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from emulator.errors import EmulatorError, GuestException, HostError
from emulator.machine.consoles import Console
from tests.helpers.guest import as_bytes, machine_of, results_of, symbol

if TYPE_CHECKING:
    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.machine import Machine

COUNTER = """
1:      incl    counter
        movl    counter, %ebx
        put     ebx
        hlt
        jmp     1b
        .data
        .globl  counter
counter: .long  0
        .balign 4096
        .globl  page
page:   .skip   4096 * 8
        .text
"""


@pytest.fixture(params=["fast", "reference"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return machine_of(COUNTER, mmu=request.param)


def counter(machine: Machine) -> int:
    return machine.memory.load_u32(symbol(machine, "counter"))


def state(machine: Machine) -> tuple[object, ...]:
    """Everything that a snapshot has to bring back."""
    output = tuple(bytes(machine.output[console]) for console in Console)
    return machine.memory.read(0, len(machine.memory)), machine.cpu.registers(), output


def step(machine: Machine) -> None:
    machine.run()


def test_pages_written_between_two_snapshots_are_known_as_they_were(machine: Machine) -> None:
    step(machine)
    outer = machine.snapshot()
    word, results = symbol(machine, "counter"), symbol(machine, "results")
    pages = {page: machine.memory.read(page, 4096) for page in (word & -4096, results & -4096)}
    assert outer.pages_written() == {}
    step(machine)
    machine.snapshot()
    step(machine)
    written = outer.pages_written()
    assert {page: written[page] for page in pages} == pages
    assert all(outer.page_written(page + 4095) for page in written)
    unwritten = symbol(machine, "page") + 4096
    assert unwritten not in written
    assert not outer.page_written(unwritten)
    outer.reset()
    assert outer.pages_written() == {}


def test_a_reset_brings_memory_and_registers_back(machine: Machine) -> None:
    step(machine)
    before = state(machine)
    snapshot = machine.snapshot()
    for _ in range(3):
        step(machine)
    assert counter(machine) == 4
    snapshot.reset()
    assert state(machine) == before
    step(machine)
    assert counter(machine) == 2


def test_a_snapshot_can_be_returned_to_many_times(machine: Machine) -> None:
    snapshot = machine.snapshot()
    before = state(machine)
    for _ in range(500):
        step(machine)
        assert counter(machine) == 1
        snapshot.reset()
    assert state(machine) == before


@pytest.mark.parametrize("pages", [1, 63, 64, 65, 200])
def test_few_and_many_pages_come_back_each_time(pages: int, machine: Machine) -> None:
    start = 0x200000
    machine.memory.write(start, b"x" * 4096 * pages)
    with machine.snapshot():
        before = state(machine)
        snapshot = machine.snapshot()
        for turn in range(8):
            for page in range(pages - turn % 2):
                machine.memory.store_u32(start + 4096 * page, turn)
            step(machine)
            snapshot.reset()
            assert state(machine) == before
    assert state(machine) == before


def test_a_reset_right_after_the_snapshot_changes_nothing(machine: Machine) -> None:
    step(machine)
    before = state(machine)
    snapshot = machine.snapshot()
    snapshot.reset()
    snapshot.reset()
    assert state(machine) == before


def test_python_writes_between_runs_are_noticed_and_undone(machine: Machine) -> None:
    step(machine)
    address = symbol(machine, "counter")
    with machine.snapshot():
        machine.memory.store_u32(address, 100)
        machine.memory.write(symbol(machine, "page"), b"x" * 9000)
        step(machine)
        assert counter(machine) == 101
    assert counter(machine) == 1
    assert not any(machine.memory.read(symbol(machine, "page"), 9000))
    step(machine)
    assert counter(machine) == 2


def test_as_a_context_manager_it_comes_back_and_is_gone(machine: Machine) -> None:
    before = state(machine)
    with machine.snapshot() as snapshot:
        step(machine)
    assert state(machine) == before
    with pytest.raises(HostError, match=r"^snapshot \d+ is gone"):
        snapshot.reset()


def test_as_a_context_manager_it_comes_back_after_an_exception(machine: Machine) -> None:
    before = state(machine)

    def fail() -> None:
        with machine.snapshot():
            step(machine)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert state(machine) == before


def test_memory_taken_before_the_snapshot_stays_usable(machine: Machine) -> None:
    view = machine.memory.view(symbol(machine, "counter"), 4)
    with machine.snapshot():
        step(machine)
        assert view.tobytes() == b"\1\0\0\0"
    assert view.tobytes() == b"\0\0\0\0"


class Model:
    """What nested snapshots mean, on plain copies."""

    def __init__(self, now: tuple[object, ...]) -> None:
        self.saved = [now]

    def reset(self, depth: int) -> tuple[object, ...]:
        del self.saved[depth + 1 :]
        return self.saved[depth]

    def discard(self, depth: int) -> None:
        del self.saved[depth:]


def nest(machine: Machine, depth: int) -> tuple[list[Snapshot], Model]:
    """Take snapshots inside each other, with changes between: some pages always, some at one depth only."""
    snapshots, model = [], Model(())
    model.saved.clear()
    for level in range(depth):
        step(machine)
        machine.memory.store_u32(symbol(machine, "page") + 4096 * level, 0x1000 + level)
        model.saved.append(state(machine))
        snapshots.append(machine.snapshot())
    change(machine, 0xEE)
    return snapshots, model


def change(machine: Machine, mark: int) -> None:
    step(machine)
    for index in range(4):
        machine.memory.store_u32(symbol(machine, "page") + 4096 * index + 8, mark)


@pytest.mark.parametrize(
    "orders",
    list(
        itertools.product(
            [("reset", 0), ("reset", 1), ("reset", 2), ("discard", 0), ("discard", 1), ("discard", 2)],
            repeat=2,
        )
    ),
)
def test_three_nested_snapshots_in_all_orders(orders: tuple[tuple[str, int], ...], machine: Machine) -> None:
    snapshots, model = nest(machine, 3)
    for number, (action, depth) in enumerate(orders):
        if depth >= len(model.saved):
            with pytest.raises(HostError):
                getattr(snapshots[depth], action)()
            continue
        if action == "reset":
            snapshots[depth].reset()
            assert state(machine) == model.reset(depth)
        else:
            before = state(machine)
            snapshots[depth].discard()
            model.discard(depth)
            assert state(machine) == before
        change(machine, number)
    for depth in reversed(range(len(model.saved))):
        snapshots[depth].reset()
        assert state(machine) == model.reset(depth)


def test_snapshots_inside_each_other_at_random(machine: Machine) -> None:
    choose = random.Random(20)
    model = Model(())
    snapshots: list[Snapshot] = []
    model.saved.clear()
    for number in range(150):
        action = choose.choice(["snapshot", "snapshot", "reset", "discard", "change", "change"])
        depth = choose.randrange(max(1, len(snapshots)))
        if action == "snapshot" and len(snapshots) < 6:
            model.saved.append(state(machine))
            snapshots.append(machine.snapshot())
        elif action == "reset" and snapshots:
            snapshots[depth].reset()
            del snapshots[depth + 1 :]
            assert state(machine) == model.reset(depth)
        elif action == "discard" and snapshots:
            before = state(machine)
            snapshots[depth].discard()
            del snapshots[depth:]
            model.discard(depth)
            assert state(machine) == before
        else:
            page = symbol(machine, "page") + 4096 * choose.randrange(8)
            machine.memory.store_u32(page, number)
            step(machine) if choose.random() < 0.5 else None


def test_too_many_nested_snapshots_are_refused_and_nothing_is_lost() -> None:
    machine = machine_of(COUNTER)
    taken = [machine.snapshot() for _ in range(64)]
    before = state(machine)
    with pytest.raises(HostError, match=r"^cannot take another snapshot inside this one$"):
        machine.snapshot()
    step(machine)
    taken[63].reset()
    assert state(machine) == before
    taken[0].discard()
    machine.snapshot()


def test_a_snapshot_whose_outer_one_is_gone_refuses(machine: Machine) -> None:
    outer = machine.snapshot()
    inner = machine.snapshot()
    outer.discard()
    for use in (inner.reset, inner.discard, outer.reset, outer.discard):
        with pytest.raises(EmulatorError):
            use()


def test_a_stale_snapshot_is_not_taken_for_a_new_one_at_its_level(machine: Machine) -> None:
    stale = machine.snapshot()
    stale.discard()
    step(machine)
    fresh = machine.snapshot()
    before = state(machine)
    with pytest.raises(EmulatorError):
        stale.reset()
    assert state(machine) == before
    fresh.reset()
    assert state(machine) == before


def test_device_state_comes_back() -> None:
    source = """
        movw    $0x3fb, %dx
        movb    $0x83, %al              # divisor latch on: the data port is no longer output
        outb    %al, %dx
        movw    $0x3d4, %dx
        movw    $0x550f, %ax
        outw    %ax, %dx
        hlt
1:      movw    $0x3f8, %dx
        movb    $0x41, %al
        outb    %al, %dx
        movw    $0x3d5, %dx
        inb     %dx, %al
        movzbl  %al, %eax
        put     eax
        movw    $0x3fb, %dx
        movb    $0x03, %al              # divisor latch off
        outb    %al, %dx
        movw    $0x3d4, %dx
        movw    $0x660f, %ax
        outw    %ax, %dx
        hlt
        jmp     1b
    """
    machine = machine_of(source)
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        assert bytes(machine.output[Console.SERIAL]) == b""
        machine.run()
        assert bytes(machine.output[Console.SERIAL]) == b"A"
        assert results_of(machine, 2) == [0x55, 0x66]
        snapshot.reset()
        assert bytes(machine.output[Console.SERIAL]) == b""


def test_the_text_on_the_consoles_comes_back() -> None:
    machine = machine_of(
        "1: movb $0x61, %al\n outb %al, $0xe9\n movw $0x3f8, %dx\n outb %al, %dx\n hlt\n jmp 1b"
    )
    used = (Console.SERIAL, Console.DEBUG)
    machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        machine.run()
        assert [bytes(machine.output[console]) for console in used] == [b"aaa", b"aaa"]
        snapshot.reset()
        assert [bytes(machine.output[console]) for console in used] == [b"a", b"a"]


def test_system_registers_come_back() -> None:
    source = """
        hlt
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x10, %eax
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        lidt    idt_register
        lgdt    gdt_register
        fninit
        hlt
        .data
idt_register: .word 0x7f
        .long   0x1000
gdt_register: .word 0x1f
        .long   0x9fc00
        .balign 4096
directory: .long 0x87
        .skip   4092
        .text
    """
    machine = machine_of(source)
    machine.run()
    before = machine.cpu.registers()
    snapshot = machine.snapshot()
    for _ in range(3):
        machine.run()
        after = machine.cpu.registers()
        assert after.cr0 & 0x80010000 == 0x80010000
        assert (after.idt_base, after.gdt_limit) == (0x1000, 0x1F)
        snapshot.reset()
        assert machine.cpu.registers() == before


REWRITES_ITSELF = """
1:      call    constant
        put     eax
        hlt
        incl    constant + 1            # the operand of movl
        jmp     1b
        {alignment}
        .globl  constant
constant: movl  $1, %eax
        ret
"""


@pytest.mark.parametrize("alignment", ["", ".balign 4096"], ids=["same page", "other page"])
def test_translated_code_that_the_guest_changed_is_dropped(alignment: str, machine: Machine) -> None:
    machine = machine_of(REWRITES_ITSELF.format(alignment=alignment), mmu=machine.mmu)
    snapshot = machine.snapshot()
    for _ in range(3):
        for _ in range(4):
            machine.run()
        assert results_of(machine, 5) == [1, 2, 3, 4, 0]
        snapshot.reset()


@pytest.mark.parametrize("alignment", ["", ".balign 4096"], ids=["same page", "other page"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_translated_code_changed_between_nested_snapshots_is_dropped(
    depth: int, alignment: str, machine: Machine
) -> None:
    machine = machine_of(REWRITES_ITSELF.format(alignment=alignment) + "\n nop", mmu=machine.mmu)
    snapshots = []
    for _ in range(3):
        machine.run()
        snapshots.append(machine.snapshot())
    machine.run()
    assert results_of(machine, 5) == [1, 2, 3, 4, 0]
    for keep in (False, True):
        if keep:
            snapshots[depth].discard()
        else:
            snapshots[depth].reset()
        before = depth + 1 + keep
        assert results_of(machine, 5) == [*range(1, before + 1)] + [0] * (5 - before)
        assert machine.call("constant") == before
        machine.run()
        assert machine.call("constant") == before + 1


def test_code_that_python_changed_needs_flush_code_and_a_reset_drops_it(machine: Machine) -> None:
    machine = machine_of(REWRITES_ITSELF.format(alignment=""), mmu=machine.mmu)
    operand = symbol(machine, "constant") + 1
    assert machine.call("constant") == 1
    snapshot = machine.snapshot()
    for value in (7, 8):
        machine.memory.store_u32(operand, value)
        machine.cpu.flush_code()
        assert machine.call("constant") == value
        snapshot.reset()
        assert machine.call("constant") == 1


def test_code_that_python_wrote_before_its_first_execution_needs_nothing(machine: Machine) -> None:
    machine = machine_of(REWRITES_ITSELF.format(alignment=""), mmu=machine.mmu)
    operand = symbol(machine, "constant") + 1
    snapshot = machine.snapshot()
    machine.memory.store_u32(operand, 7)
    assert machine.call("constant") == 7
    snapshot.reset()
    assert machine.call("constant") == 1


def test_code_the_guest_loads_differently_after_a_reset_is_translated_again(machine: Machine) -> None:
    source = """
1:      movl    $page, %edi
        movb    $0xb8, (%edi)
        movl    value, %eax
        movl    %eax, 1(%edi)
        movb    $0xc3, 5(%edi)
        call    page
        put     eax
        hlt
        jmp     1b
        .data
        .globl  value
value:  .long   1
        .bss
        .balign 4096
        .globl  page
page:   .skip   4096
        .text
    """
    machine = machine_of(source + as_bytes([0x90]), mmu=machine.mmu)
    snapshot = machine.snapshot()
    for value in (3, 4, 5):
        machine.memory.store_u32(symbol(machine, "value"), value)
        machine.run()
        assert results_of(machine, 1) == [value]
        snapshot.reset()


BREAKPOINT = """
        cmpl    $0, wanted
        je      1f
        movl    $target, %eax
        movl    %eax, %dr0
        movl    $2, %eax                    # G0: stop at the instruction there
1:      movl    %eax, %dr7
target: nop
        movl    $0, %eax
        movl    %eax, %dr7
        exit    0
        .data
        .globl  wanted
wanted: .long   0
        .text
"""


def test_a_breakpoint_of_the_guest_is_gone_after_a_reset(machine: Machine) -> None:
    machine = machine_of("movl $0, %eax\n" + BREAKPOINT, mmu=machine.mmu)
    snapshot = machine.snapshot()
    for wanted in (1, 0, 1, 0):
        machine.memory.store_u32(symbol(machine, "wanted"), wanted)
        if wanted:
            with pytest.raises(GuestException, match=r"#DB"):
                machine.run()
        else:
            assert machine.run().exit_value == 0
        snapshot.reset()


def test_a_breakpoint_of_the_guest_is_there_again_after_a_reset(machine: Machine) -> None:
    machine = machine_of("movl $0, %eax\n" + BREAKPOINT, mmu=machine.mmu)
    machine.memory.store_u32(symbol(machine, "wanted"), 1)
    with pytest.raises(GuestException, match=r"#DB"):
        machine.run()
    snapshot = machine.snapshot()
    for _ in range(3):
        with pytest.raises(GuestException, match=r"#DB"):
            machine.run()
        machine.cpu.set_registers(machine.cpu.registers()._replace(eip=symbol(machine, "target") + 1))
        assert machine.run().exit_value == 0
        snapshot.reset()


def test_one_is_dropped_alone_behind_and_ahead() -> None:
    machine = machine_of("hlt")
    pages = [0x30_0000 + 4096 * number for number in range(5)]
    kept, states = [], []
    for number, page in enumerate(pages):
        kept.append(machine.snapshot())
        states.append([machine.memory.read(each, 4096) for each in pages])
        machine.memory.write(page, bytes([number + 1]))
        machine.memory.write(pages[0], bytes([number + 100]))  # one that is written each time

    def here() -> list[bytes]:
        return [machine.memory.read(each, 4096) for each in pages]

    assert not kept[0].drop()  # the outermost
    assert not kept[4].drop()  # the newest
    assert kept[1].drop()
    assert not kept[1].drop()
    assert set(kept[0].pages_written()) == set(pages[:2])
    assert kept[4].total_size == 8 * 4096
    assert kept[0].reset_keeping()
    assert here() == states[0]
    assert not kept[4].drop()  # the farthest
    assert kept[3].drop()
    assert kept[2].go_ahead()
    assert here() == states[2]
    assert kept[4].go_ahead()
    assert here() == states[4]
    kept[2].reset()
    assert here() == states[2]
    kept[0].reset()
    assert here() == states[0]


def test_one_that_is_taken_on_the_way_leads_to_those_ahead() -> None:
    machine = machine_of("hlt")
    page, other = 0x30_0000, 0x30_1000
    start = machine.snapshot()
    machine.memory.write(page, b"\1")
    machine.memory.write(other, b"\1")
    end = machine.snapshot()
    start.reset_keeping()
    machine.memory.write(page, b"\1")
    middle = machine.snapshot()
    middle.lead_ahead()
    assert end.go_ahead()
    assert machine.memory.read(other, 1) == b"\1"
    middle.reset_keeping()
    assert (machine.memory.read(page, 1), machine.memory.read(other, 1)) == (b"\1", b"\0")
    assert end.go_ahead()
    start.reset()
    assert (machine.memory.read(page, 1), machine.memory.read(other, 1)) == (b"\0", b"\0")
