"""Where the host has no memory left, the native core says so: it neither crashes nor goes on with less."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from emulator.native import _core
from tests.helpers.no_memory import REQUESTS, run_without_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

STATE = Path(__file__).parents[3] / "emulator" / "native" / "unicorn" / "state.c"

# Many calls that are open at once, on many stacks; then many pages of code.
GUEST = """
        movl    $0x83, directory
        paging  directory
        xorl    %ebp, %ebp
        movl    $40, %ecx
1:      call    take
        loop    1b
        movl    $400, %ecx
2:      pushl   %ecx
        call    deeper
        popl    %ecx
        subl    $20, %ecx
        ja      2b
        movl    $far, %eax
        movl    $70, %ecx
3:      movb    $0xc3, (%eax)
        call    *%eax
        addl    $4096, %eax
        loop    3b
        orl     $0x60, directory
        invlpg  word
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
directory:
        .skip   4096
        .text
"""
PROGRAM = """
import gc
import sys
from array import array
from emulator.errors import HostError
from emulator.machine.call_stack import callers, prepare_stacks
from emulator.machine.machine import Machine
from emulator.machine.address_map import MIB
from emulator.machine.board.data_port import CoreDataPort
from emulator.machine.memory import RamWindow
from emulator.machine.recording import RecordedFunction, record
from emulator.machine.core.lives import Lives, find_overlaps, find_strides, pair
from emulator.native._core import ffi, lib
from tests.helpers.guest import FUNCTION, assemble

GUEST, MMU = {guest!r}, {mmu!r}
IMAGE = assemble(FUNCTION + GUEST)

def scenario():
    machine = Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB), mmu=MMU)
    prepare_stacks(machine)
    recording = record(machine, [RecordedFunction("take")])
    watchpoint = machine.observers.watch(machine.address_of("word"), 4)
    machine.device("VGA").video.view()[4096] = 1
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
gc.collect()
shim.shim_fail_at(0)
assert scenario() == clean
sites = (ctypes.c_long * 256)()
print(*sites[:shim.shim_sites(sites)])
"""
EACH_FAILS = """
count = shim.shim_fail_at(0)
for n in range(1, count + 1):
    gc.collect()  # a machine that is still there has what only one can have: the next one would ask more often
    shim.shim_fail_at(n)
    try:
        outcome = scenario()
    except HostError as error:
        told = str(error)
    else:
        told = "as before" if outcome == clean else "nothing"
    print(told)
print(count)
"""
# Calls whose rows were taken before they return, a watch that belongs to a call and is kept by a snapshot, and arrays.
OTHER_SCENARIO = """
def scenario():
    machine = Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB), mmu=MMU)
    record(machine, [RecordedFunction("take")])
    machine.observers.seek_stale()
    machine.run(stop_at_event=20)
    machine.device("VGA").write_port(0x3CE, 2, 0x0506)  # planes
    raw = machine.observers._core.raw
    CoreDataPort(machine.observers._core, 0x300)
    lib.kc_calls_hand_over(raw, True)
    lib.kc_calls_taken(raw)
    if lib.kc_unwind(raw, ffi.new("kc_rule[1]"), 1, ffi.new("uint32_t[2]"), 0):
        raise HostError("no memory for rules")
    watch = machine.observers.note_written(range(MIB, 5 * MIB))
    machine.observers.count_write(2 * MIB, 40 * 4096)
    inner = machine.snapshot()
    inner.reset()
    machine.run(timeout_s=60)
    with machine.stops.break_at(MIB), machine.stops.trail(16) as trail:
        assert not trail()
    count = ffi.new("uint32_t *")
    lib.kc_calls_late(raw, count)
    kinds, died = bytearray([1] * 5000), array("I", [9999] * 5000)
    pair(kinds, array("I", range(5000)), died, bytearray(5000))
    lives = Lives(*(array("I", column) for column in ([0, 0], [5, 5], [1, 2], [9, 9])))
    strides = bytearray(8)
    find_strides(lives, array("I", [0, 1]), 9, strides)
    return count[0], find_overlaps(lives, 9, 10), strides
"""

# Calls that are all open at once, and calls that return at once; each with a block of its own.
FLAT_SCENARIO = """
from emulator.machine.core.flat_areas import OF_BLOCKS, OF_CALLS, FlatAreas, NarrowColumn
from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole

ALLOC = BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, False, False, False, {{"size": 0}}, ((0, 0),))
CALLS = 1000

def words(numbers):
    return array("I", numbers)

def column(numbers):
    return NarrowColumn(words(numbers), 4)

def scenario():
    room = {{name: words(range(2 * CALLS)) for name in (*OF_BLOCKS, *OF_CALLS)}}
    areas = FlatAreas([ALLOC], [(False, room)])
    columns = dict.fromkeys(("function", "parent", "out", "stack"), NarrowColumn(None, 0))
    columns |= {{"entered": NarrowColumn(None, 0, 1, 1), "arg0": NarrowColumn(bytes(CALLS), 1, 16)}}
    columns |= {{"left": column(range(2 * CALLS, CALLS, -1)), "result": column(range(4096, 4096 + 16 * CALLS, 16))}}
    areas.follow(1, CALLS, columns, 1)
    columns |= {{"entered": NarrowColumn(None, 0, 3001, 2), "left": NarrowColumn(None, 0, 3002, 2)}}
    columns["result"] = column([*range(1 << 24, (1 << 24) + ((CALLS - 1) << 12), 1 << 12), (1 << 28) + 4])  # only the last one is not aligned
    areas.follow(CALLS + 1, CALLS, columns, 1)
    return areas.end(), list(room["address"])
"""

# Many blocks at many places, made inside of another call and alone, and anew without a free; one that is given back, and accessed after that.
BLOCKS_GUEST = """
        pushl   $24
        call    outer
        movl    $400, %ecx
1:      call    make
        loop    1b
        movl    $0x300000, next
        movl    $400, %ecx
1:      call    make
        loop    1b
        pushl   $0x300000
        call    drop
        movl    0x300000, %eax
        exit    0
        function make
        movl    next, %eax
        addl    $32, next
        ret
        ends    make
        function outer
        movl    $100, %ecx
1:      pushl   $24
        call    make
        popl    %eax
        loop    1b
        movl    $0x200000, %eax
        ret
        ends    outer
        function drop
        ret
        ends    drop
        .data
next:   .long   0x300000
        .text
"""
CHECKED_SCENARIO = """
from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole

ALLOC = BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, False, False, False, {{"size": 0}}, ((0, 0),))
FREE = BlockFunction(BlockRole.FREE, BlockResult.OTHER, 0, False, False, False, {{"ptr": 0}})

def scenario():
    machine = Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB))
    record(machine, [RecordedFunction(name, 1) for name in ("make", "outer", "drop")])
    with machine.observers.check_accesses([ALLOC, ALLOC, FREE], *[[(MIB, MIB + 1)]] * 3) as checked:
        machine.run(stop_at_event=250)
        snapshot = machine.snapshot()
        machine.run(timeout_s=60)
        snapshot.reset()
        machine.run(timeout_s=60)
        return checked.seen().accesses, checked.dead_blocks(), checked.live_blocks(), checked.shadow(3 * MIB, MIB)
"""
# What nobody has written is read, and kept on the stack and elsewhere; a snapshot keeps that.
UNWRITTEN_GUEST = BLOCKS_GUEST.replace(
    "loop    1b\n        pushl   $0x300000",
    """loop    1b
        movl    0x300020, %edx
        movl    %edx, 0x380000
        movl    %edx, 0x300044
        movl    $10000, %ecx
2:      loop    2b
        movl    0x380000, %edx
        pushl   %edx
        pushl   $0x300000""",
)
UNWRITTEN_SCENARIO = CHECKED_SCENARIO.replace(") as checked", ", uninitialised=True) as checked")
# Windows: of two machines, with pages that become code, and a page that the TLB forgets.
WINDOWS_SCENARIO = """
def scenario():
    outcomes = []
    machines = [Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB)) for _ in range(2)]
    for machine in machines:
        with machine.snapshot():
            outcomes.append(machine.run(timeout_s=60))
            machine.snapshot()
        outcomes.append(machine.memory.read(MIB, 3 * MIB))
    return outcomes
"""
# A run with checkpoints, which is gone through in both directions: some stay ahead, one is kept between others, and others make way.
TRAVEL_SCENARIO = """
from emulator.replay import travel
from emulator.replay.moment import Moment
from emulator.replay.newest_write import newest_write

travel._FIRST, travel.CHECKPOINTS_MAX = 500, 5

def scenario():
    machine = Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB))
    record(machine, [RecordedFunction("take")])
    journey = travel.Travel(machine)
    journey.forward()
    end, places = journey.moment, []
    for at in (4000, 1300, 2500, 700, end.instructions - 10):
        journey.go_to(Moment(at))
        journey.keep()
        places.append((journey.moment, machine.registers(), machine.memory.read(MIB, 3 * MIB)))
    journey.go_to(end)
    word = machine.address_of("word")
    places.append(newest_write(journey, [range(word, word + 4)]))
    return places, journey.moment, machine.registers(), machine.memory.read(MIB, 3 * MIB)
"""
# The same with checked accesses, whose state is exchanged with those ahead.
CHECKED_TRAVEL_SCENARIO = """
from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole
from emulator.replay import travel
from emulator.replay.moment import Moment

ALLOC = BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, False, False, False, {{"size": 0}}, ((0, 0),))
FREE = BlockFunction(BlockRole.FREE, BlockResult.OTHER, 0, False, False, False, {{"ptr": 0}})

travel._FIRST, travel.CHECKPOINTS_MAX = 500, 5

def scenario():
    machine = Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB))
    record(machine, [RecordedFunction(name, 1) for name in ("make", "outer", "drop")])
    roles, extents = [ALLOC, ALLOC, FREE], [[(MIB, MIB + 1)]] * 3
    with machine.observers.check_accesses(roles, *extents, uninitialised=True) as checked:
        journey, places = travel.Travel(machine), []
        journey.forward()
        end = journey.moment
        for at in (2000, 700, 1300, end.instructions):
            journey.go_to(Moment(at))
            journey.keep()
            places.append((journey.moment, checked.live_blocks(), checked.dead_blocks(), checked.shadow(3 * MIB, MIB)))
        return places, checked.seen().accesses
"""
# The parent only waits: the child goes on with the program.
FORKS_SCENARIO = """
import os
from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole

ALLOC = BlockFunction(BlockRole.ALLOC, BlockResult.POINTER, 0, False, False, False, {{"size": 0}}, ((0, 0),))

def scenario():
    machine = Machine(IMAGE, ram=RamWindow(MIB, 4 * MIB))
    record(machine, [RecordedFunction("make", 1)])
    with machine.observers.check_accesses([ALLOC], *[[(MIB, MIB + 1)]] * 3):
        with machine.snapshot():
            child = os.fork()
            if child:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            machine.run(timeout_s=60)
            return machine.memory.read(MIB, 3 * MIB)
"""


class Scenario(NamedTuple):
    """What a machine is made for, and what it runs."""

    program: str
    guest: str
    mmu: str = "fast"


def with_scenario(scenario: str) -> str:
    start, end = PROGRAM.index("def scenario"), PROGRAM.index("clean = scenario")
    return PROGRAM[:start] + scenario.lstrip() + "\n" + PROGRAM[end:]


SCENARIOS = {
    "calls": Scenario(PROGRAM, GUEST),
    "reference": Scenario(PROGRAM, GUEST, "reference"),
    "other": Scenario(with_scenario(OTHER_SCENARIO), GUEST),
    "windows": Scenario(with_scenario(WINDOWS_SCENARIO), GUEST),
    "checked": Scenario(with_scenario(CHECKED_SCENARIO), BLOCKS_GUEST),
    "unwritten": Scenario(with_scenario(UNWRITTEN_SCENARIO), UNWRITTEN_GUEST),
    "forks": Scenario(with_scenario(FORKS_SCENARIO), BLOCKS_GUEST),
    "travel": Scenario(with_scenario(TRAVEL_SCENARIO), GUEST),
    "checked-travel": Scenario(with_scenario(CHECKED_TRAVEL_SCENARIO), UNWRITTEN_GUEST),
    "flat": Scenario(with_scenario(FLAT_SCENARIO), GUEST),
}
SAID = {
    "the host has no memory left for what is recorded of the run",
    "no memory to keep the pages that the guest writes",
    "the host cannot return to snapshot 2",
    "cannot take another snapshot inside this one",
}
"""In the first two scenarios."""


def run(directory: Path, name: str, more: str = "") -> list[str]:
    program, guest, mmu = SCENARIOS[name]
    return run_without_memory(directory, program.format(guest=guest, mmu=mmu) + more).splitlines()


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_request_that_fails_is_said(tmp_path: Path, name: str) -> None:
    _, *messages, count = run(tmp_path, name, EACH_FAILS)
    assert len(messages) == int(count) > 20
    assert "nothing" not in messages, [
        number for number, text in enumerate(messages, start=1) if text == "nothing"
    ]
    assert name not in ("calls", "reference") or set(messages) >= SAID


class Place(NamedTuple):
    """A line of the core's source, and its function."""

    function: str
    line: str


ONCE = frozenset(["give_up", "nothing_poisoned", "load_fresh", "table_at", "peek"])
"""Functions that are called once to load the core, or where two requests have to fail."""


def places_of(return_addresses: Iterable[int]) -> list[Place]:
    """Return from where calls are made, which the compiler may have copied into other functions."""
    before = "".join(f"{address - 1:x}\n" for address in return_addresses)
    command = ["addr2line", "--functions", "--exe", _core.__file__]
    text = subprocess.run(command, input=before, capture_output=True, text=True, check=True).stdout
    lines = text.splitlines()
    return [
        Place(function.split(".")[0], line.split(" ")[0])
        for function, line in zip(lines[::2], lines[1::2], strict=True)
    ]


def requests_of_the_core() -> set[Place]:
    """Return all places in the core's source from which memory is asked for, and that may fail."""
    command = ["objdump", "-d", "--no-show-raw-insn", _core.__file__]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    request = re.compile(rf"\bcall\s.*<({'|'.join(REQUESTS)})@plt>")
    calls = [
        int(after.split(":")[0], 16) for line, after in pairwise(text.splitlines()) if request.search(line)
    ]
    return {place for place in places_of(calls) if place.function not in ONCE}


def test_each_request_of_the_core_is_made_in_a_scenario(tmp_path: Path) -> None:
    """A request that is new, and that no scenario comes to, so that it never fails, is found here."""
    made = {int(site) for name in SCENARIOS for site in run(tmp_path, name)[0].split()}
    requests = requests_of_the_core()
    assert len(requests) > 40
    places = places_of(made)
    assert sorted(requests - set(places)) == []
    contexts = re.findall(r"\bU\.uc_context_alloc\(", STATE.read_text())
    assert len(set(places) - requests) == len(contexts)  # through pointers


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
    assert int(run_without_memory(tmp_path, SNAPSHOTS)) > 10
