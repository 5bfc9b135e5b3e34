"""Audits of kernels' own structures: no defects in valid ones, each broken invariant in damaged ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import Mode, boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.check.structures.kernel_checks import KernelChecks, kernel_checks
from emulator.errors import BudgetUsedUp
from emulator.profile.known import matching_profile
from emulator.trace.recording import record_calls
from kernel_model.text import location_text
from tests.helpers.checked import checked

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine

CLEAN = [
    *(("demo", ""), ("fragment", ""), ("exhaust", ""), ("leak", ""), ("double_free", "")),
    *(
        ("stress", "calls=50000"),
        ("btron_demo", ""),
        ("btron_stress", "calls=5000"),
        ("btron_pools_wait", ""),
    ),
]


@pytest.mark.parametrize(("kernel", "command_line"), CLEAN)
def test_valid_structures_give_no_findings(kernel: str, command_line: str, tmp_path: Path) -> None:
    run = checked(kernel, tmp_path, command_line=command_line)
    assert run.findings() == []
    assert run.audits_at_rest > 0
    assert run.checks.at_end(run.trace, run.rerun) == []


@pytest.mark.parametrize("kernel", ["demo", "leak", "double_free", "btron_demo", "btron_pools_wait"])
def test_nor_do_they_at_any_event(kernel: str, tmp_path: Path) -> None:
    run = checked(kernel, tmp_path, every=1)
    assert run.findings() == []
    assert run.audits_at_rest > run.trace.event_count // 3


def checks_of(machine: Machine, profile: str) -> KernelChecks:
    checks = kernel_checks(machine, profile)
    assert checks is not None
    return checks


def test_other_profiles_and_kernels_have_no_checks() -> None:
    assert kernel_checks(boot("firmware:demo"), "mine") is None
    assert kernel_checks(boot("firmware:demo"), "BTRON/386") is None
    assert kernel_checks(boot("firmware:btron_demo"), "LiteCore") is None


@pytest.fixture(scope="module")
def litecore() -> Machine:
    machine = boot("firmware:leak")
    machine.run()
    return machine


@pytest.mark.parametrize(
    ("symbol", "value", "area", "message"),
    [
        ("heap_free_list", 5, "heap", "heap metadata corrupted: heap_free_list 0x00000005"),
        ("heap_end", 5, "heap", "heap metadata corrupted: heap_end 0x00000005"),
        ("heap_lock", 5, "heap", "heap metadata corrupted: heap_lock 0x00000005"),
        ("memmap", 5, "frames", "frame metadata corrupted: memmap.start_addr 0x00000005"),
    ],
)
def test_a_damaged_litecore(litecore: Machine, symbol: str, value: int, area: str, message: str) -> None:
    checks = checks_of(litecore, "LiteCore")
    assert checks.audit() == []
    with litecore.snapshot():
        litecore.memory.store_u32(litecore.address_of(symbol), value)
        (defect,) = checks.audit()
        assert (defect.area, checks.message(defect)) == (area, message)
        assert defect.address == litecore.address_of(symbol)
        assert checks.models.linear(defect.address) == defect.address


def test_a_header_is_named_by_where_it_begins(litecore: Machine) -> None:
    checks = checks_of(litecore, "LiteCore")
    header = litecore.memory.load_u32(litecore.address_of("heap_start"))
    with litecore.snapshot():
        litecore.memory.store_u32(header + 4, 7)
        (defect,) = checks.audit()
        assert checks.message(defect) == f"heap metadata corrupted: header at 0x{header:08x}: used 0x00000007"
        location = checks.models.locate(header + 4)
        assert location is not None
        assert location_text(location) == f"heap byte 0x{header + 4:08x}, behind a broken header"


@pytest.mark.parametrize("lock", ["heap_lock", "memmap_lock"])
def test_nothing_is_audited_while_a_lock_is_held(litecore: Machine, lock: str) -> None:
    checks = checks_of(litecore, "LiteCore")
    with litecore.snapshot():
        litecore.memory.store_u32(litecore.address_of("heap_free_list"), 5)
        free = checks.at_rest
        litecore.memory.store_u32(litecore.address_of(lock), 1)
        assert (free, checks.at_rest) == (True, False)
        assert checks.audit() == []


@pytest.fixture(scope="module")
def btron() -> Machine:
    """Stop where tasks wait for pools, with interrupts on."""
    machine = boot("firmware:btron_pools_wait")
    record_calls(machine, matching_profile(machine.image))
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=200_000)
    registers = machine.cpu.registers()
    machine.cpu.set_registers(registers._replace(eflags=registers.eflags | 0x200))
    return machine


def physical(machine: Machine, name: str) -> int:
    return machine.address_of(name) & 0x7FFFFFFF


@pytest.mark.parametrize(
    ("symbol", "offset", "area", "text"),
    [
        (
            "kmem_free_list",
            0,
            "kmem",
            "kmem metadata corrupted: kmem_free_list: there is no area at 0x00000007",
        ),
        ("mpl_table", 32 + 20, "mpl", "mpl metadata corrupted: mpl 1: the free list leads to 0x00000007"),
        ("mpf_table", 3 * 40 + 36, "mpf", "mpf metadata corrupted: mpf 3: free_count is 7, but 0 blocks are"),
    ],
)
def test_a_damaged_btron(btron: Machine, symbol: str, offset: int, area: str, text: str) -> None:
    checks = checks_of(btron, "BTRON/386")
    assert checks.audit() == []
    address = physical(btron, symbol) + offset
    with btron.snapshot():
        btron.memory.store_u32(address, 7)
        defect = checks.audit()[0]
        assert (defect.address, defect.value, defect.area) == (address, 7, area)
        assert checks.message(defect).startswith(text)
        assert checks.models.linear(address) == address | 0x80000000


def test_a_damaged_page_table(btron: Machine) -> None:
    checks = checks_of(btron, "BTRON/386")
    entry = btron.memory.load_u32(physical(btron, "pmem_table")) - 0x80000000 + 8 * 1000
    with btron.snapshot():
        btron.memory.store_u32(entry + 4, 3)
        (defect,) = checks.audit()
        assert (defect.area, checks.message(defect)) == (
            "pmem",
            "pmem metadata corrupted: pmem_table[0x000003e8].refcount 0x00000003: a free page has no owner",
        )


def test_a_damaged_record_is_named_by_its_broken_word(btron: Machine) -> None:
    checks = checks_of(btron, "BTRON/386")
    area = btron.memory.load_u32(physical(btron, "mpl_table") + 32 + 12) & 0x7FFFFFFF
    for offset in (0, 4):
        with btron.snapshot():
            btron.memory.store_u32(area + offset, 0x41414141)
            assert checks.audit()[0].address == area + offset


def test_btron_is_not_audited_while_interrupts_are_off(btron: Machine) -> None:
    checks = checks_of(btron, "BTRON/386")
    with btron.snapshot():
        btron.memory.store_u32(physical(btron, "kmem_free_list"), 7)
        on = checks.at_rest
        registers = btron.cpu.registers()
        btron.cpu.set_registers(registers._replace(eflags=registers.eflags & ~0x200))
        assert (on, checks.at_rest) == (True, False)
        assert checks.audit() == []


def test_auditing_at_each_call_from_inside_the_run() -> None:
    machine = boot("firmware:overflow")
    record_calls(machine, matching_profile(machine.image))
    checks = checks_of(machine, "LiteCore")
    recorded: list[tuple[int, int]] = []
    observer = machine.calls.at_entries(
        1, lambda: recorded.append((machine.calls.event_count, len(checks.audit())))
    )
    machine.run()
    found = [(event, int(event >= 15)) for event in range(1, 25, 2)]
    assert recorded == found
    observer.close()
    assert machine.call("kmalloc", 8)
    assert recorded == found


def test_auditing_at_each_third_call() -> None:
    machine = boot("firmware:demo")
    record_calls(machine, matching_profile(machine.image))
    calls: list[int] = []
    machine.calls.at_entries(3, lambda: calls.append(machine.calls.event_count))
    machine.run()
    assert len(calls) == 97 // 3


@pytest.mark.parametrize(
    ("kernel", "layer", "kind"),
    [
        ("bad_mapped_free_ok", "paging", Kind.BITMAP),
        ("btron_pools_wait", "kmem", Kind.REFCOUNT),
        ("btron_pools_wait", "pools", Kind.REFCOUNT),
    ],
)
def test_what_a_model_takes_has_no_owner_in_the_trace(kernel: str, layer: str, kind: Kind) -> None:
    for mode, is_checked in ((Mode.NATIVE, True), (Mode.MODEL, False)):
        machine = boot(f"firmware:{kernel}", layers={layer: mode})
        report = check_kernel(machine, matching_profile(machine.image))
        assert report.findings == ()
        assert (kind in report.checked) == is_checked


def test_a_model_of_what_takes_no_frames_leaves_the_books_whole() -> None:
    machine = boot("firmware:bad_mapped_free_ok", layers={"heap": Mode.MODEL, "memmap": Mode.MODEL})
    assert Kind.BITMAP in check_kernel(machine, matching_profile(machine.image)).checked
