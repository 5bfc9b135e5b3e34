"""Watchpoints: accesses of any bytes, in both directions."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from emulator import boot, debug
from emulator.debug import Access, StopKind
from emulator.errors import BudgetUsedUp
from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole, StepKind
from emulator.machine.core.stops import Instant
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.guest import FUNCTION, assemble, machine_of

GUEST = (
    FUNCTION
    + """
        movl    $1, %esi
        movl    %esi, data              # 2nd instruction
        movb    $7, data + 3
        movl    data + 2, %eax          # reads two of the bytes, across a word
        movl    %esi, data + 4          # another word of the page
        incl    data
        movl    $data + 4094, %edi
        movl    $0x11223344, (%edi)     # across two pages
        movl    $0x180, %eax
        movl    $3, %ecx
        movl    $data, %edi
        rep stosb
        pushl   data
        popl    data + 64
        exit    0
        .data
        .balign 4096
        .globl  data
data:   .skip   8192
        .text
"""
)


def stops_of(
    address: str, size: int, access: Access = Access.WRITE, offset: int = 0
) -> list[tuple[int, bool, bytes, bytes]]:
    with debug.Debugger(machine_of(GUEST)) as d:
        point = d.watch(d.image.symbols[address].address + offset, size, access)
        stops = []
        while (stop := d.run()).kind is StopKind.WATCHPOINT:
            assert stop.point is point
            assert stop.access is not None
            stops.append(stop)
        assert stop.kind is StopKind.ENDED
        assert point.hits == len(stops)
        for each in reversed(stops):
            assert d.back() == each
        assert d.back().kind is StopKind.START
        return [
            (each.moment.instructions, each.access.is_write, each.access.before, each.access.after)
            for each in stops
            if each.access is not None
        ]


def test_writes_stop_behind_the_instruction() -> None:
    assert stops_of("data", 4) == [
        (3, True, bytes(4), b"\1\0\0\0"),
        (4, True, b"\1\0\0\0", b"\1\0\0\7"),
        (7, True, b"\1\0\0\7", b"\2\0\0\7"),
        (13, True, b"\2\0\0\7", b"\x80\0\0\7"),
        (14, True, b"\x80\0\0\7", b"\x80\x80\0\7"),
        (15, True, b"\x80\x80\0\7", b"\x80\x80\x80\7"),
    ]


def test_any_size_may_be_watched() -> None:
    all_of_it = stops_of("data", 8192)
    assert len(all_of_it) > len(stops_of("data", 4))
    assert [each[0] for each in stops_of("data", 1, offset=4096)] == [9]
    before, after = stops_of("data", 4, offset=4094)[0][2:]
    assert (before, after) == (bytes(4), b"\x44\x33\x22\x11")


def test_loads_are_told_from_stores() -> None:
    reads = stops_of("data", 4, Access.READ)
    assert not any(each[1] for each in reads[:1])
    assert [each[0] for each in reads] == [5, 7, 17]
    both = stops_of("data", 4, Access.READ | Access.WRITE)
    assert {each[0] for each in both} == {each[0] for each in reads} | {
        each[0] for each in stops_of("data", 4)
    }


@pytest.mark.parametrize("kernel", ["demo", "btron_demo", "vm_fault"])
@pytest.mark.parametrize("access", [Access.READ, Access.WRITE])
def test_each_access_stops_as_a_log_of_all_accesses_has_it(kernel: str, access: Access) -> None:
    length = 60_000
    logged = boot(f"firmware:{kernel}")
    with logged.observers.log_steps(1 << 18) as log:
        with suppress(BudgetUsedUp):
            logged.run(max_instructions=length)
        steps = log.steps()
    kind = StepKind.LOAD if access is Access.READ else StepKind.STORE
    counts: dict[int, int] = {}
    for step in steps:
        if step.kind is kind:
            counts[step.address & ~3] = counts.get(step.address & ~3, 0) + 1
    word = min(counts, key=lambda each: (abs(counts[each] - 20), each))
    expected, executed = [], -1
    for step in steps:
        if step.kind is StepKind.INSTRUCTION:
            executed += 1
        elif step.kind is kind and step.address < word + 4 and word < step.address + step.size:
            expected.append(executed)
    with debug.debugger(f"firmware:{kernel}") as d:
        d.machine.stops.at_faults = False
        d.watch(word, 4, access, physical=True)
        found = []
        while (stop := d.run()).kind is StopKind.WATCHPOINT and stop.moment.instructions < length:
            found.append(stop.moment.instructions - 1)
    assert found == [each for each in dict.fromkeys(expected) if each < length - 1]


@pytest.mark.parametrize(("kernel", "symbol"), [("btron_stress", 0x80200000), ("vm_churn", 0), ("stress", 0)])
def test_a_watched_run_is_as_one_that_is_not(kernel: str, symbol: int) -> None:
    length = 3_000_000
    plain, watched = boot(f"firmware:{kernel}"), boot(f"firmware:{kernel}")
    plain.stops.stop_at(Instant(length))
    plain.run()
    page = 0x10B000 + (symbol & 0xFFF)
    with watched.stops.watch(page, 4096, lambda: False, reads=True):
        watched.stops.stop_at(Instant(length))
        watched.run()
    assert watched.stops.now == plain.stops.now
    assert watched.registers() == plain.registers()
    assert watched.interrupts.now_ns() == plain.interrupts.now_ns()
    assert watched.memory.read(0, len(watched.memory)) == plain.memory.read(0, len(plain.memory))


def busy_page(seed: int) -> str:
    """A guest that stores around a word again and again, in all ways."""
    random = Random(seed)
    stores = []
    for _ in range(60):
        at = random.randrange(40, 72)
        stores.append(
            random.choice(
                [
                    f"movb %al, word + {at} - 56",
                    f"movw %ax, word + {at} - 56",
                    f"movl %ecx, word + {at} - 56",
                    f"addl %ecx, word + {at} - 56",
                    f"lock xaddl %eax, word + {at} - 56",
                    "movb $7, (%ebx, %edx)\n decl %edx",
                    f"fildl other\n fistpll word + {at} - 56",
                    f"movl $word + {at} - 56, %edi\n stosl",
                    f"movl %esp, %ebp\n movl $word + {at & ~3} - 52, %esp\n pushl %ecx\n movl %ebp, %esp",
                    f"movl %esp, %ebp\n movl $word + {at & ~3} - 52, %esp\n call 3f\n3: movl %ebp, %esp",
                ]
            )
        )
    body = "\n".join(stores)
    return (
        FUNCTION
        + f"""
        fninit
        movl    $0x83, directory
        movl    $0x83, directory + 0x800
        paging  directory
        movl    $50, %ecx
2:      movl    $word, %ebx
        testl   $1, %ecx
        jz      1f
        addl    $0x80000000, %ebx       # by another address
1:      movl    $8, %edx
        {body}
        decl    %ecx
        jnz     2b
        exit    0
        function make
        ret
        ends    make
        .data
other:  .long   0x12345
        .balign 4096
        .skip   64
        .globl  word
word:   .skip   4032
        .bss
        .balign 4096
directory:
        .skip   4096
        .text
"""
    )


MAKE = BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, False, False, False, {"size": 0}, ((0, 0),))  # noqa: FBT003


def stops_of_busy_page(machine: Machine) -> list[tuple[object, ...]]:
    word = machine.image.symbols["word"].address
    with debug.Debugger(machine) as d:
        d.watch(word, 4)
        d.watch(word + 10, 1)
        stops: list[tuple[object, ...]] = []
        while (stop := d.run()).kind is StopKind.WATCHPOINT:
            stops.append((stop.moment, stop.point and stop.point.number, stop.access))
        return [*stops, (stop.moment, stop.kind)]


@pytest.mark.parametrize("seed", range(4))
def test_stores_to_a_busy_page_stop_wherever_they_are_told(seed: int) -> None:
    image = assemble(busy_page(seed))
    expected = stops_of_busy_page(Machine(image, mmu="ordinary"))
    assert len(expected) > 200
    first = Machine(image)  # has the window that code can name; the next one has another
    first.run()
    assert stops_of_busy_page(Machine(image)) == expected
    del first
    assert stops_of_busy_page(Machine(image)) == expected
    for uninitialised in (False, True):
        machine = Machine(image)
        record(machine, [RecordedFunction("make", 1)])
        with machine.observers.check_accesses([MAKE], uninitialised=uninitialised):
            assert stops_of_busy_page(machine) == expected


@pytest.mark.parametrize("sanitize", [True, "uninitialised"])
@pytest.mark.parametrize("symbol", ["heap_free_list", "heap_lock"])
def test_a_checked_run_stops_at_the_same_writes(symbol: str, sanitize: bool | str) -> None:
    found = []
    for checks in (False, sanitize):
        with debug.debugger("firmware:demo", sanitize=checks) as d:
            d.stop_at_findings = False
            word = d.image.symbols[symbol].address
            d.watch(word, 4)
            stops = []
            while (stop := d.run()).kind is StopKind.WATCHPOINT:
                stops.append((stop.moment, stop.access))
            found.append(stops)
            write = d.who(word)
            assert write is not None
            assert write.moment < stops[-1][0]
            assert write.after == d.machine.memory.read(word, 4)
            d.go_to(write.moment)
            assert d.machine.memory.read(word, 4) == write.before
    assert found[0]
    assert found[1] == found[0]


def test_conditions_see_what_was_written() -> None:
    with debug.Debugger(machine_of(GUEST)) as d:
        at = d.image.symbols["data"].address
        d.watch(at, 4, condition=lambda d: d.machine.read_linear(at, 1) == b"\2")
        stop = d.run()
        assert (stop.kind, stop.moment.instructions) == (StopKind.WATCHPOINT, 7)
        assert d.run().kind is StopKind.ENDED
        assert d.back() == stop


def test_what_a_model_writes_is_seen() -> None:
    with debug.debugger("firmware:overflow", layers={"heap": "model"}) as d:
        d.watch(d.image.symbols["heap_free_list"].address, 4)
        stops = []
        while (stop := d.run()).kind is StopKind.WATCHPOINT:
            stops.append(stop)
        assert len(stops) > 3
        names = {
            found[0].name
            for each in stops
            if each.access is not None and (found := d.image.function_at(each.access.pc)) is not None
        }
        assert names & {"kmalloc", "kfree"}
        for each in reversed(stops):
            assert d.back() == each


def test_what_cannot_be_watched_is_refused() -> None:
    with debug.Debugger(machine_of(GUEST)) as d:
        with pytest.raises(ValueError, match=r"^there is nothing to watch: 0 bytes, Access\.WRITE$"):
            d.watch(0, 0)
        with pytest.raises(ValueError, match=r"^there is no RAM at 0xf0000000$"):
            d.watch(0xF0000000, 4)


def test_what_the_last_write_was_is_kept_of_any_size() -> None:
    machine = machine_of(GUEST)
    with machine.observers.watch(machine.address_of("data"), 4) as watchpoint:
        machine.run()
        write = watchpoint.last_write()
        assert write is not None
        assert write.writes == 6
        changes = watchpoint.changes()
        assert changes is not None
        assert changes[0].after == 1


def test_what_is_no_access_or_no_condition_is_refused_at_once() -> None:
    """The types are wrong on purpose: not everybody has a checker of types."""
    with debug.Debugger(machine_of(GUEST)) as d:
        address = d.image.symbols["data"].address
        with pytest.raises(TypeError, match=r"^access is Access\.READ, Access\.WRITE, or both, not 'read'$"):
            d.watch(address, 4, "read")  # type: ignore[arg-type]
        problem = r"^a condition is called with the debugger, and 'eax == 1' cannot be$"
        with pytest.raises(TypeError, match=problem):
            d.watch(address, 4, condition="eax == 1")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=problem):
            d.break_at(address, "eax == 1")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=problem):
            d.run_to(address, "eax == 1")  # type: ignore[arg-type]
        assert d.points == ()
        assert d.run().kind is StopKind.ENDED
