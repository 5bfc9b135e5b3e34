"""Kernels that were compiled with KASAN have its shadow, on each memory, with paging and without, in snapshots and in forks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator import boot
from emulator.errors import BadImage, BudgetUsedUp, EmulatorError, KernelMismatch
from emulator.machine.address_map import MIB
from emulator.machine.memory import RamWindow
from emulator.native._core import lib
from tests.helpers.guest import core_of
from tests.helpers.kasan_kernel import BUILDS, compile_kasan, stubs_at
from tests.helpers.three_memories import OF_THE_CORE
from tests.unit.machine.core.test_forks import in_child

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.core.handle import Mmu
    from emulator.machine.machine import Machine

# Each call of `deep` poisons the shadow of a frame, and clears it again.
SOURCE: Final = r"""
volatile u32 level = 40;
u8 text[13] = "some letters";
apart u32 deep(u32 n)
{
    u8 local[24];
    use(local);
    local[n % 24] = 1;
    if (n) n = deep(n - 1);
    use(local);
    return n + local[5] + text[n];
}
void kmain(void) { leave(deep(level) ? 3 : 4); }
"""
PAGING: Final = r"""
u32 directory[1024] __attribute__((aligned(4096)));
static void paging(u32 linear, u32 physical)
{
    directory[0] = 0x83;
    if (linear) directory[linear >> 22] = physical | 0x83;
    __asm__ volatile("mov %0, %%cr3; mov %%cr4, %%eax; or $0x10, %%eax; mov %%eax, %%cr4; mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0"
                     : : "r"(directory) : "eax", "memory");
}
"""
DEEP: Final = 600
"""Instructions after which some calls of `deep` are open."""


def shadow(machine: Machine) -> bytes:
    """The shadow of the kernel's stack."""
    stack = machine.address_of("stack")
    raw = core_of(machine).raw
    return bytes(lib.kc_kasan_value(raw, address) for address in range(stack, stack + 16384, 8))


def deeper(machine: Machine) -> None:
    """Run a kernel until some calls of ``deep`` are open."""
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=DEEP)


@pytest.fixture(params=BUILDS)
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(compile_kasan(tmp_path, SOURCE, BUILDS[request.param]))


def test_a_kernel_runs_in_the_same_way_on_each_memory_and_finds_the_shadow_that_it_wrote(kernel: str) -> None:
    seen, ends = [], []
    for mmu in OF_THE_CORE:
        machine = boot(kernel, mmu=mmu)
        deeper(machine)
        seen.append((machine.registers(), machine.memory.read(0x100000, 0x8000), shadow(machine)))
        ends.append(machine.run())
    assert seen[0] == seen[1]
    assert ends[0] == ends[1]
    assert ends[0].exit_value == 3
    assert seen[0][2].count(0xF1) >= 2 * 4  # a left redzone of 16 bytes or more for each of some frames
    assert not any(shadow(boot(kernel)))


def test_a_reset_brings_the_shadow_back(kernel: str) -> None:
    machine = boot(kernel)
    empty = machine.snapshot()
    deeper(machine)
    full, inner = shadow(machine), machine.snapshot()
    machine.run()
    assert not any(shadow(machine))  # by the kernel itself
    lib.kc_kasan_set(core_of(machine).raw, machine.address_of("stack"), 0xF1)
    for _ in range(2):
        inner.reset()
        assert shadow(machine) == full
        assert machine.run().exit_value == 3
    empty.reset()
    assert not any(shadow(machine))
    deeper(machine)
    assert shadow(machine) == full


def test_a_reset_brings_back_what_only_the_host_has_written(kernel: str) -> None:
    machine = boot(kernel)
    raw, address = core_of(machine).raw, machine.address_of("text")
    with machine.snapshot() as snapshot:
        lib.kc_kasan_set(raw, address, 0xF9)
        snapshot.reset()
        assert lib.kc_kasan_value(raw, address) == 0


def test_a_forked_process_has_a_shadow_of_its_own(kernel: str) -> None:
    machine = boot(kernel)
    deeper(machine)
    full = shadow(machine)

    def run_to_the_end() -> None:
        assert shadow(machine) == full
        assert machine.run().exit_value == 3
        assert not any(shadow(machine))

    in_child(run_to_the_end)
    assert shadow(machine) == full
    assert machine.run().exit_value == 3


def with_paging(tmp_path: Path, mapped: int, mmu: Mmu) -> Machine:
    """Return a machine whose kernel maps RAM where it is, and from *mapped* on, too, if that is not 0."""
    kmain = f"void kmain(void) {{ paging(0x{mapped:x}, 0); leave(deep(level) ? 3 : 4); }}"
    source = PAGING + SOURCE.replace("void kmain(void) { leave(deep(level) ? 3 : 4); }", kmain)
    return boot(str(compile_kasan(tmp_path, source, BUILDS["gcc-inline"])), mmu=mmu)


@pytest.mark.parametrize("mmu", OF_THE_CORE)
def test_page_tables_need_not_map_the_shadow(tmp_path: Path, mmu: Mmu) -> None:
    machine = with_paging(tmp_path, 0, mmu)
    deeper(machine)
    assert 0xF1 in shadow(machine)
    assert machine.run().exit_value == 3


@pytest.mark.parametrize("mmu", OF_THE_CORE)
def test_a_kernel_that_maps_ram_where_its_shadow_is_is_told_so(tmp_path: Path, mmu: Mmu) -> None:
    machine = with_paging(tmp_path, 0xD000_0000, mmu)
    with pytest.raises(EmulatorError, match="RAM where the shadow is that it was compiled for"):
        machine.run()


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    kernel = str(compile_kasan(tmp_path, SOURCE, BUILDS["gcc-inline"]))
    with pytest.raises(
        KernelMismatch, match="with --memory reference there is no place for its KASAN shadow"
    ):
        boot(kernel, mmu="reference")
    low = tmp_path / "low"
    low.mkdir()
    options = [stubs_at(0x9000_0000)]
    kernel = str(compile_kasan(low, SOURCE, BUILDS["gcc-inline"], options, offset=0x9000_0000))
    with pytest.raises(
        BadImage, match=r"its KASAN shadow, from 0x90000000 on, lies in RAM .*; less RAM: --ram"
    ):
        boot(kernel, ram=RamWindow(MIB, 0x9000_1000))


def test_the_offset_is_the_one_that_the_kernel_says(tmp_path: Path) -> None:
    offset = 0xB000_0000
    options = [stubs_at(offset)]
    machine = boot(str(compile_kasan(tmp_path, SOURCE, BUILDS["clang-inline"], options, offset=offset)))
    deeper(machine)
    assert 0xF1 in shadow(machine)
    assert machine.run().exit_value == 3


def test_code_that_looks_for_the_shadow_elsewhere_is_refused(tmp_path: Path) -> None:
    for compiler in ("gcc", "clang"):
        (tmp_path / compiler).mkdir()
        build = BUILDS[f"{compiler}-inline"]
        kernel = compile_kasan(tmp_path / compiler, SOURCE, build, offset=0xB000_0000)
        says = "its code has the KASAN shadow at 0xb0000000, and kmemu_kasan_offset is 0xd0000000"
        with pytest.raises(BadImage, match=says):
            boot(str(kernel))


@pytest.mark.parametrize("offset", [0xD000_0800, 0xE000_1000])
def test_a_shadow_lies_on_whole_pages_below_4_gib(tmp_path: Path, offset: int) -> None:
    options = [stubs_at(offset)]
    kernel = compile_kasan(tmp_path, SOURCE, BUILDS["gcc-inline"], options, offset=offset)
    with pytest.raises(
        BadImage,
        match=f"kmemu_kasan_offset is {offset:#x}: it has to be a multiple of 4096, up to 0xe0000000",
    ):
        boot(str(kernel))
