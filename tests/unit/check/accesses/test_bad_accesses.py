"""Bad accesses as findings: what is one mistake, and how it is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.accesses.bad_accesses import MOST_FINDINGS, bad_accesses
from emulator.check.findings import Kind
from emulator.guest.symbolizer import Frame
from emulator.machine.core.core_types import Access
from emulator.machine.core.observed import AllocatedBlock, BadAccess, Poison, Use
from emulator.profile.functions import Result, Role, TracedFunction
from tests.helpers.traces import PROFILE, WHO, TraceBuilder
from tests.unit.check.accesses.examples import ACCESS, BLOCK, REGISTERS

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.machine.machine import Machine

OTHER = (Frame(0x101080, "other", 0x80, "other.c", 7),)
DEAD = AllocatedBlock(0x200008, 24, 0, 2, 1, 3, 2)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return boot("firmware:demo")


def calls() -> TraceBuilder:
    return TraceBuilder().call("kmalloc", 24, result=0x200008).call("kfree", 0x200008, stack=OTHER)


def at(machine: Machine, function: str, offset: int) -> int:
    return machine.image.symbols[function].address + offset


def by(
    access: BadAccess, machine: Machine, function: str, offset: int, *callers: tuple[str, int]
) -> BadAccess:
    """Return an access that is made by an instruction of the demo, with these callers."""
    eip = at(machine, function, offset)
    return access._replace(
        registers=REGISTERS._replace(eip=eip), callers=tuple(at(machine, *each) for each in callers)
    )


def found(
    machine: Machine, folder: Path, *accesses: BadAccess, trace: TraceBuilder | None = None
) -> list[Finding]:
    return bad_accesses(machine, accesses, (trace or calls()).trace(folder / "t.kmt"))


def test_what_is_known_of_a_bad_access(machine: Machine, tmp_path: Path) -> None:
    access = by(ACCESS._replace(times=3), machine, "kmain", 16, ("_start", 0x33))
    [finding] = found(machine, tmp_path, access)
    assert (finding.kind, finding.area) == (Kind.OUT_OF_BOUNDS, "heap")
    assert finding.message == "out-of-bounds write of 1 byte to 0x00200020, 0 bytes after a block of 24 bytes"
    site, block = finding.call_site, finding.block
    assert site is not None
    assert (site.call, site.event, site.function) == (0, 2, "kmain")
    assert [frame.function for frame in site.backtrace] == ["kmain", "_start"]
    assert block is not None
    assert (block.address, block.size, block.allocated.call, block.freed) == (0x200008, 24, 1, None)
    assert block.allocated.backtrace == WHO
    instruction, where, times = finding.details
    assert instruction.startswith("by ")
    assert instruction.endswith(f" at 0x{access.registers.eip:08x}")
    assert (where, times) == ("block #1 is 0x00200008-0x00200020", "3 accesses like this")
    assert len(finding.hex_dump) == 6


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"distance": -1, "linear": 0x200007}, Kind.OUT_OF_BOUNDS, "out-of-bounds write of 1 byte to 0x00200007, 1 byte before a block of 24 bytes"),
        ({"distance": -2, "linear": 0x200006, "size": 4}, Kind.OUT_OF_BOUNDS, "out-of-bounds write of 4 bytes to 0x00200006, across the start of a block of 24 bytes"),
        ({"distance": 24, "offset": 3, "linear": 0x20001D, "size": 4}, Kind.OUT_OF_BOUNDS, "out-of-bounds write of 4 bytes to 0x0020001d, across the end of a block of 24 bytes"),
        ({"distance": 31, "access": Access.READ}, Kind.OUT_OF_BOUNDS, "out-of-bounds read of 1 byte from 0x00200020, 7 bytes after a block of 24 bytes"),
        ({"poison": Poison.FREED, "block": DEAD, "distance": 8}, Kind.USE_AFTER_FREE, "use after free: write of 1 byte to 0x00200020, 8 bytes inside a freed block of 24 bytes"),
        ({"poison": Poison.FREED, "block": DEAD, "distance": 22, "size": 4}, Kind.USE_AFTER_FREE, "use after free: write of 4 bytes to 0x00200020, across the end of a freed block of 24 bytes"),
        ({"poison": Poison.GAP, "block": DEAD, "distance": 8}, Kind.USE_AFTER_FREE, "use after free: write of 1 byte to 0x00200020, 8 bytes inside a freed block of 24 bytes"),
        ({"poison": Poison.GAP, "block": DEAD, "distance": 24}, Kind.OUT_OF_BOUNDS, "out-of-bounds write of 1 byte to 0x00200020, 0 bytes after a block of 24 bytes"),
        ({"poison": Poison.FREED, "block": None}, Kind.USE_AFTER_FREE, "use after free: write of 1 byte to 0x00200020"),
        ({"poison": Poison.GAP, "block": None}, Kind.UNALLOCATED, "write of 1 byte to 0x00200020, which is in no block"),
        ({"poison": Poison.GAP, "distance": 1048}, Kind.UNALLOCATED, "write of 1 byte to 0x00200020, which is in no block, 1024 bytes after a block of 24 bytes"),
        ({"poison": Poison.GAP, "distance": -1025}, Kind.UNALLOCATED, "write of 1 byte to 0x00200020, which is in no block, 1025 bytes before a block of 24 bytes"),
        ({"poison": Poison.GAP, "distance": 1047}, Kind.OUT_OF_BOUNDS, "out-of-bounds write of 1 byte to 0x00200020, 1023 bytes after a block of 24 bytes"),
        ({"poison": Poison.UNINITIALISED, "use": Use.BRANCH, "distance": 4, "linear": 0x20000C}, Kind.UNINITIALISED, "a branch depends on 0x0020000c, 4 bytes inside a block of 24 bytes, which was never written"),
        ({"poison": Poison.UNINITIALISED, "use": Use.ADDRESS, "distance": 4, "linear": 0x20000C}, Kind.UNINITIALISED, "an address depends on 0x0020000c, 4 bytes inside a block of 24 bytes, which was never written"),
        ({"poison": Poison.UNINITIALISED, "use": Use.OUTPUT, "block": None}, Kind.UNINITIALISED, "what a device gets depends on what a block held that was never written"),
        ({"poison": Poison.GAP}, Kind.OUT_OF_BOUNDS, "out-of-bounds write of 1 byte to 0x00200020, 0 bytes after a block of 24 bytes"),
    ],
)  # fmt: skip
def test_kinds_and_words(
    machine: Machine, tmp_path: Path, changes: dict[str, object], kind: Kind, message: str
) -> None:
    [finding] = found(machine, tmp_path, by(ACCESS._replace(**changes), machine, "kmain", 16))  # type: ignore[arg-type]
    assert (finding.kind, finding.message) == (kind, message)


def test_a_freed_block_has_both_backtraces(machine: Machine, tmp_path: Path) -> None:
    freed = ACCESS._replace(poison=Poison.FREED, block=DEAD, distance=0, event=4)
    [finding] = found(machine, tmp_path, by(freed, machine, "kmain", 16))
    assert finding.block is not None
    assert finding.block.freed is not None
    assert (finding.block.freed.call, finding.block.freed.backtrace) == (2, OTHER)


def test_a_jump_is_the_callers(machine: Machine, tmp_path: Path) -> None:
    jump = ACCESS._replace(access=Access.FETCH, poison=Poison.FREED, block=DEAD, distance=0)
    [finding] = found(machine, tmp_path, by(jump, machine, "kmain", 16, ("kmain", 0x40), ("_start", 0x33)))
    assert finding.call_site is not None
    assert [frame.function for frame in finding.call_site.backtrace] == ["kmain", "_start"]
    assert finding.details == ("block #1 is 0x00200008-0x00200020",)


def test_one_line_of_the_source_is_one_mistake(machine: Machine, tmp_path: Path) -> None:
    lines: dict[int, list[int]] = {}
    for offset in range(16, 200):
        lines.setdefault(machine.image.location(at(machine, "kmain", offset)).line, []).append(offset)
    (first, second, *_), (third, *_) = sorted(lines.values(), key=len)[-2:]
    here = by(ACCESS, machine, "kmain", first)
    there = by(ACCESS._replace(times=4, time_ns=200), machine, "kmain", second)
    elsewhere = by(ACCESS._replace(time_ns=300), machine, "kmain", third)
    one, other = found(machine, tmp_path, here, there, elsewhere)
    assert one.details[-1] == "5 accesses like this, from 2 call stacks"
    assert len(other.details) == 2


def test_memset_belongs_to_its_caller(machine: Machine, tmp_path: Path) -> None:
    first = by(ACCESS, machine, "memset", 0x20, ("kmain", 0x40))
    last = by(ACCESS._replace(time_ns=200), machine, "memset", 0x30, ("kmain", 0x40))
    other = by(ACCESS._replace(time_ns=300), machine, "memset", 0x20, ("_start", 0x33))
    assert machine.image.location(first.registers.eip).line != machine.image.location(last.registers.eip).line
    assert len(found(machine, tmp_path, first, last)) == 1
    assert len(found(machine, tmp_path, first, last, other)) == 2


def test_blocks_of_other_places_are_other_mistakes(machine: Machine, tmp_path: Path) -> None:
    trace = calls().call("kmalloc", 24, result=0x200100).call("kmalloc", 24, result=0x200200, stack=OTHER)
    here = by(ACCESS, machine, "kmain", 16)
    same = here._replace(time_ns=200, event=6, block=BLOCK._replace(start=0x200100, birth=3))
    other = here._replace(time_ns=300, event=8, block=BLOCK._replace(start=0x200200, birth=4))
    assert len(found(machine, tmp_path, here, same, trace=trace)) == 1
    assert len(found(machine, tmp_path, here, same, other, trace=trace)) == 2
    dead = BLOCK._replace(start=0x200100, birth=3, died=5)
    after_free = same._replace(poison=Poison.FREED, block=dead)
    assert len(found(machine, tmp_path, here, after_free, trace=trace)) == 2


def test_a_sweep_is_one_mistake(machine: Machine, tmp_path: Path) -> None:
    first = by(ACCESS, machine, "kmain", 16)
    beyond = first._replace(
        poison=Poison.FREED, block=DEAD._replace(start=0x200030), linear=0x200030, time_ns=200, times=5
    )
    [finding] = found(machine, tmp_path, first, beyond)
    assert (finding.kind, finding.details[-1]) == (Kind.OUT_OF_BOUNDS, "6 accesses like this")
    far = beyond._replace(linear=0x300000, time_ns=300)
    later = beyond._replace(event=4, time_ns=400)
    assert len(found(machine, tmp_path, first, far)) == 2
    assert len(found(machine, tmp_path, first, later)) == 2


def test_mistakes_are_in_order_of_time(machine: Machine, tmp_path: Path) -> None:
    first = by(ACCESS, machine, "kmain", 16)
    between = by(ACCESS._replace(time_ns=200, event=3), machine, "memset", 0x20)
    far = first._replace(poison=Poison.FREED, block=DEAD, distance=0, linear=0x300000, time_ns=300)
    kinds = [
        (each.kind, each.call_site and each.call_site.event)
        for each in found(machine, tmp_path, first, between, far)
    ]
    assert kinds == [(Kind.OUT_OF_BOUNDS, 2), (Kind.OUT_OF_BOUNDS, 3), (Kind.USE_AFTER_FREE, 2)]


def test_a_block_that_was_made_smaller_is_not_freed(machine: Machine, tmp_path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 24, result=0x200008).call("krealloc", 0x200008, 8, result=0x200008)
    cut = by(
        ACCESS._replace(poison=Poison.FREED, block=DEAD, distance=10, linear=0x200012, event=4),
        machine,
        "kmain",
        16,
    )
    [finding] = found(machine, tmp_path, cut, trace=trace)
    assert finding.message == "out-of-bounds write of 1 byte to 0x00200012, 2 bytes after a block of 8 bytes"
    assert finding.block is not None
    assert (finding.block.allocated.call, finding.block.freed) == (2, None)
    moved = TraceBuilder().call("kmalloc", 24, result=0x200008).call("krealloc", 0x200008, 8, result=0x200100)
    assert [each.kind for each in found(machine, tmp_path, cut, trace=moved)] == [Kind.USE_AFTER_FREE]
    freed = trace.call("kfree", 0x200008)
    later = cut._replace(event=6)
    assert [each.kind for each in found(machine, tmp_path, later, trace=freed)] == [Kind.USE_AFTER_FREE]


@pytest.mark.parametrize(
    ("distance", "kind"), [(9, Kind.OUT_OF_BOUNDS), (24, Kind.OUT_OF_BOUNDS), (25, Kind.USE_AFTER_FREE)]
)
def test_the_rest_of_a_freed_block_is_beyond_the_one_that_has_its_memory(
    machine: Machine, tmp_path: Path, distance: int, kind: Kind
) -> None:
    trace = TraceBuilder().call("kmalloc", 64, result=0x200008).call("kfree", 0x200008)
    trace.call("kmalloc", 9, result=0x200008).call("kmalloc", 8, result=0x200108, stack=OTHER)
    dead = DEAD._replace(size=64)
    access = by(
        ACCESS._replace(poison=Poison.FREED, block=dead, distance=distance, event=8), machine, "kmain", 16
    )
    [finding] = found(machine, tmp_path, access, trace=trace)
    assert finding.kind is kind
    if kind is Kind.OUT_OF_BOUNDS:
        after = "byte" if distance == 10 else "bytes"
        assert finding.message.endswith(f", {distance - 9} {after} after a block of 9 bytes")
        assert finding.block is not None
        assert finding.block.allocated.call == 3
    early = access._replace(event=4)
    assert [each.kind for each in found(machine, tmp_path, early, trace=trace)] == [Kind.USE_AFTER_FREE]


def test_a_freed_neighbour_of_a_block_is_freed(machine: Machine, tmp_path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 24, result=0x200008).call("kfree", 0x200008)
    trace.call("kmalloc", 8, result=0x200020)
    access = by(ACCESS._replace(poison=Poison.FREED, block=DEAD, distance=23, event=6), machine, "kmain", 16)
    assert [each.kind for each in found(machine, tmp_path, access, trace=trace)] == [Kind.USE_AFTER_FREE]


def test_what_copies_of_an_allocator_have_handed_out_is_no_mistake(machine: Machine, tmp_path: Path) -> None:
    copy = TracedFunction("kmalloc.inlined", "heap", Role.OTHER, (), Result.NONE, copies=Role.ALLOC)
    profile = PROFILE.with_functions((*PROFILE.functions, copy))
    trace = TraceBuilder(profile).call("kmalloc", 24, result=0x200008).call("kmalloc.inlined")
    early, late = (by(ACCESS._replace(event=event), machine, "kmain", 16) for event in (2, 4))
    assert len(found(machine, tmp_path, early, trace=trace)) == 1
    assert found(machine, tmp_path, late, trace=trace) == []
    frames = late._replace(block=BLOCK._replace(area=1))
    assert len(found(machine, tmp_path, frames, trace=trace)) == 1
    assert found(machine, tmp_path, late._replace(block=None), trace=trace) == []


def test_there_is_an_end(machine: Machine, tmp_path: Path) -> None:
    trace, many = TraceBuilder(), []
    for n in range(MOST_FINDINGS + 6):
        trace.call("kmalloc", 24, result=0x200000 + 64 * n, stack=[Frame(0x101000 + n, "f", n, "f.c", n + 1)])
        block = BLOCK._replace(start=0x200000 + 64 * n, birth=n + 1)
        many.append(by(ACCESS._replace(block=block, event=2 * n + 2, time_ns=n), machine, "kmain", 16))
    findings = found(machine, tmp_path, *many, trace=trace)
    assert len(findings) == MOST_FINDINGS
    assert findings[0].details[-1] == f"the first {MOST_FINDINGS} of {MOST_FINDINGS + 6} like this are listed"


def test_freed_memory_of_which_no_block_is_known_any_more(machine: Machine, tmp_path: Path) -> None:
    freed = by(ACCESS._replace(poison=Poison.FREED), machine, "kmain", 16)
    beside, far = found(machine, tmp_path, freed, freed._replace(distance=5000, event=3))
    assert (beside.kind, far.kind) == (Kind.OUT_OF_BOUNDS, Kind.USE_AFTER_FREE)
    assert beside.message.endswith(", 0 bytes after a block of 24 bytes")
    assert far.message.endswith(", 4976 bytes after a block of 24 bytes")
