"""Accesses are checked by what a profile says of allocators: blocks, findings and snapshots on the built-in kernels."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from emulator.loader.builtin import TWINS, resolve
from emulator.loader.image import KernelImage
from emulator.machine.core.core_types import Access
from emulator.machine.core.observed import Poison
from emulator.machine.machine import Machine
from emulator.profile.known import matching_profile
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.history import area_history
from emulator.trace.checking import check_accesses, read_only_memory
from emulator.trace.recording import CallLog
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.core.handle import Mmu
    from emulator.machine.core.observed import AllocatedBlock, BadAccess
    from emulator.trace.blocks.blocks import Blocks

BAD_ENDINGS = {"bad_lock_twice"}  # never ends
KERNELS = (
    *("demo", "fragment", "exhaust", "leak", "double_free", "use_after_free", "overflow", "fragile"),
    *("paging_demo", "btron_demo", "btron_pools_wait", "btron_fragment", "vm_demo", "vm_share", "vm_fault"),
)
WRONG = {"exhaust", "use_after_free", "overflow", "paging_demo"}
"""They access what they have not asked for, on purpose or not."""
RIGHT = sorted({*KERNELS, *TWINS} - WRONG - {f"{name}_ok" for name in BAD_ENDINGS})


class Run:
    """A built-in kernel, recorded and checked."""

    def __init__(
        self, name: str, *, checks: bool = True, mmu: Mmu = "fast", uninitialised: bool = False
    ) -> None:
        self.image = KernelImage.read(resolve(f"firmware:{name}"))
        self.machine, self.profile = Machine(self.image, mmu=mmu), matching_profile(self.image)
        self.log = CallLog(self.machine, self.profile)
        self.checked: CheckedAccesses | None = None
        if checks:
            self.checked = check_accesses(self.machine, self.profile, uninitialised=uninitialised)

    @property
    def checks(self) -> CheckedAccesses:
        assert self.checked is not None
        return self.checked

    def found(self) -> tuple[BadAccess, ...]:
        """Run to the end and return what is found."""
        self.machine.run(timeout_s=60)
        seen = self.checks.seen()
        assert not seen.missed
        return seen.accesses

    def state(self, *, returns: bool = True) -> object:
        """Return what the core knows of accesses and blocks, and of return addresses."""
        checks = self.checks
        shadow = checks.shadow(0, len(self.machine.memory))
        shadow = shadow if returns else shadow.replace(bytes((Poison.RETURN,)), bytes(1))
        digest = hashlib.sha256(shadow).digest()
        return checks.seen().accesses, checks.live_blocks(), checks.dead_blocks(), digest


def of_trace(run: Run) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the blocks that lived to the end, and the others, as the analysis of calls knows them."""
    calls = run.log.calls()
    histories = [area_history(calls, area).blocks for area in run.profile.areas]
    live = [each.live_after(calls.last_event) for each in histories]
    dead = [each.where(each.died != NEVER) for each in histories]
    return sorted(rows(live)), [(*row[:5], row[5], row[6]) for row in sorted(rows(dead, ends=True))]


def rows(areas: list[Blocks], *, ends: bool = False) -> list[tuple[int, ...]]:
    found = []
    for number, each in enumerate(areas):
        columns = [each.address, each.size, each.born, each.born_call]
        columns += [each.died, each.died_call] if ends else []
        found += [(number, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return found


def of_core(blocks: list[AllocatedBlock], *, ends: bool = False) -> list[tuple[int, ...]]:
    return sorted(
        (each.area, each.start, each.size, each.born, each.birth)
        + ((each.died or 0, each.death or 0) if ends else ())
        for each in blocks
    )


@pytest.mark.parametrize("name", [*KERNELS, "bad_mapped_leak", "bad_pool", "vm_bad_shared", "btron_bad_wait"])
def test_the_blocks_are_those_of_the_trace(name: str) -> None:
    run = Run(name)
    run.found()
    live, dead = of_trace(run)
    assert live or dead
    assert of_core(run.checks.live_blocks()) == live
    assert of_core(run.checks.dead_blocks(), ends=True) == dead


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_not_found(name: str) -> None:
    assert Run(name).found() == ()


@pytest.mark.parametrize("name", sorted({*WRONG, "bad_overflow", "vm_demo"}))
def test_fast_and_ordinary_accesses_are_checked_alike(name: str) -> None:
    fast, ordinary = Run(name), Run(name, mmu="ordinary")
    assert fast.found() == ordinary.found()
    assert fast.state(returns=False) == ordinary.state()
    assert fast.machine.memory.read(0, len(fast.machine.memory)) == ordinary.machine.memory.read(
        0, len(ordinary.machine.memory)
    )


def test_a_write_past_the_end_is_found_at_its_instruction() -> None:
    run = Run("bad_overflow")
    (found,) = run.found()
    assert str(run.image.location(found.registers.eip)) == "copy_name+0x14 bad_overflow.c:16"
    assert (found.access, found.size, found.poison, found.distance, found.times) == (
        Access.WRITE,
        1,
        Poison.GAP,
        16,
        1,
    )
    assert found.block is not None
    assert (found.block.size, run.profile.areas[found.block.area], found.block.birth) == (16, "heap", 5)
    assert (found.block.died, found.block.death) == (None, None)
    assert [run.image.call_site(each).function for each in found.callers] == ["kmain", "_start"]
    at = found.linear - found.around
    assert found.shadow[at - 16 : at + 1] == (*[Poison.ACCESSIBLE] * 16, Poison.GAP)


def test_a_late_write_is_found_at_its_instruction() -> None:
    run = Run("bad_late_write")
    read, write = run.found()
    assert (read.access, write.access) == (Access.READ, Access.WRITE)
    for found in (read, write):
        assert str(run.image.location(found.registers.eip)) == "tick+0x9 bad_late_write.c:24"
        assert (found.size, found.poison, found.distance) == (4, Poison.FREED, 0)
        assert found.block is not None
        assert (found.block.birth, found.block.death) == (5, 7)


@pytest.mark.parametrize("name", ["demo", "use_after_free", "paging_demo", "btron_pools_wait", "vm_fault"])
def test_the_run_is_as_it_is_without(name: str) -> None:
    ends = []
    for checks in (False, True):
        run = Run(name, checks=checks)
        outcome = run.machine.run(timeout_s=60)
        memory = run.machine.memory.read(0, len(run.machine.memory))
        calls = [tuple(each) for each in run.log.calls()]
        output = {console: bytes(text) for console, text in run.machine.output.items()}
        ends.append((outcome, run.machine.registers(), memory, calls, output))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("uninitialised", [False, True])
@pytest.mark.parametrize(("name", "events"), [("use_after_free", (12, 15)), ("btron_pools_wait", (100, 300))])
def test_snapshots_bring_all_of_it_back(name: str, events: tuple[int, int], *, uninitialised: bool) -> None:
    run = Run(name, uninitialised=uninitialised)
    start, nothing = run.machine.snapshot(), run.state()
    run.machine.run(stop_at_event=events[0])
    outer, at_outer = run.machine.snapshot(), run.state()
    run.machine.run(stop_at_event=events[1])
    inner, at_inner = run.machine.snapshot(), run.state()
    run.machine.run(timeout_s=60)
    end = run.state()
    assert len({repr(each) for each in (nothing, at_outer, at_inner, end)}) == 4
    for snapshot, state in ((inner, at_inner), (inner, at_inner), (outer, at_outer), (start, nothing)):
        snapshot.reset()
        assert run.state() == state
        run.machine.run(timeout_s=60)
        assert run.state() == end


def test_a_snapshot_that_is_discarded_leaves_what_the_outer_one_needs() -> None:
    run = Run("demo")
    run.machine.run(stop_at_event=60)
    outer, at_outer = run.machine.snapshot(), run.state()
    run.machine.run(stop_at_event=90)
    with run.machine.snapshot():
        at_inner = run.state()
        run.machine.run(stop_at_event=100)
    assert run.state() == at_inner
    outer.reset()
    assert run.state() == at_outer


def test_a_snapshot_from_before_knows_nothing() -> None:
    run = Run("use_after_free")
    run.machine.run(stop_at_event=14)
    known = run.machine.snapshot()
    run.checks.close()
    with check_accesses(run.machine, run.profile) as checks:
        nothing = checks.shadow(0, len(run.machine.memory))
        run.machine.run(timeout_s=60)
        assert checks.seen().accesses == ()  # its block was not known
        assert checks.dead_blocks() == []
        known.reset()
        assert (checks.live_blocks(), checks.dead_blocks()) == ([], [])
        assert checks.shadow(0, len(run.machine.memory)) == nothing
    assert not any(nothing)


def test_accesses_are_checked_once_and_while_calls_are_recorded() -> None:
    image = KernelImage.read(resolve("firmware:demo"))
    machine, profile = Machine(image), matching_profile(image)
    with pytest.raises(ValueError, match="no calls are recorded, or accesses are checked already"):
        check_accesses(machine, profile)
    CallLog(machine, profile)
    with check_accesses(machine, profile):
        with pytest.raises(ValueError, match="no calls are recorded, or accesses are checked already"):
            check_accesses(machine, profile)
        machine.run(timeout_s=60)
    with check_accesses(machine, profile):
        pass
    reference = Machine(image, mmu="reference")
    CallLog(reference, profile)
    with pytest.raises(ValueError, match="not checked with the reference MMU"):
        check_accesses(reference, profile)


CONSTANTS = r"""
const char table[10000] __attribute__((aligned(4096))) = "table";
int variable = 5;
__attribute__((noinline)) int read(int i) { return table[i] + variable; }
__attribute__((section(".init.text"))) void of_the_start(void) { variable = 2; }
void kmain(void) { of_the_start(); for (;;) read(variable); }
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 3, -(0x1BADB002 + 3); .text\n"
        ".global _start; _start: mov $0x200000, %esp; call kmain; variables: .long 0, 0");
"""


def test_what_the_kernel_only_reads(tmp_path: Path) -> None:
    """Functions of a known size, and constants, but for the last page of these, on which a variable lies."""
    image = KernelImage.read(compile_kernel(tmp_path, CONSTANTS, ("-fno-asynchronous-unwind-tables", "-w")))
    symbols = image.symbols
    code = [
        range(each.address, each.address + each.size) for each in map(symbols.get, ("read", "kmain")) if each
    ]
    table, variable = symbols["table"].address, symbols["variable"].address
    assert variable & -4096 == table + 8192
    found = read_only_memory(image)
    assert found[-1] == (table, table + 8192)
    assert [any(address in range(*each) for each in found) for address in range(image.start, table)] == [
        any(address in each for each in code) for address in range(image.start, table)
    ]


def test_of_a_file_without_sections_nothing_is_only_read() -> None:
    image = KernelImage.read(resolve("firmware:demo"))
    assert read_only_memory(image)
    data = bytearray(image.data)
    data[0x30:0x32] = bytes(2)  # e_shnum
    assert read_only_memory(KernelImage(bytes(data), "demo.elf")) == []
