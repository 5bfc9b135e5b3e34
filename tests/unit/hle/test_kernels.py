"""The registry: which kernel a machine runs, and that a kernel is added by one entry and its own modules."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.guest.locator import Locator
from emulator.guest.memory_map.reader import read_memory_map
from emulator.hle import kernels
from emulator.hle.inspection import inspect_image
from emulator.hle.kernels import (
    BTRON,
    KERNELS,
    LITECORE,
    error_names,
    kernel_named,
    kernel_of,
    layer_names,
    load,
    recognize,
)
from emulator.hle.layers import Mode, attach_layers, lockstep_calls
from emulator.profile.known import KNOWN_PROFILES, known_profile
from kernel_model.memory import ByteMemory
from tests.helpers import slot_kernel
from tests.helpers.guest import FUNCTION, assemble, machine_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

GOOD = FUNCTION + slot_kernel.SOURCE.replace("BREAK", "nop")
BAD = FUNCTION + slot_kernel.SOURCE.replace("BREAK", "movl $99, slot_count")


@pytest.mark.parametrize(("image", "name"), [("demo", "LiteCore"), ("btron_demo", "BTRON/386")])
def test_a_kernel_is_recognized_by_its_symbols(image: str, name: str) -> None:
    machine = boot(f"firmware:{image}")
    found = recognize(machine)
    assert found is not None
    assert found[0].name == name
    assert recognize(machine, [each for each in KERNELS if each.name != name]) is None


def test_another_kernel_is_not_recognized() -> None:
    assert recognize(machine_of(GOOD)) is None


def test_kernels_are_found_by_name_and_layer() -> None:
    assert [kernel_named(each.name) for each in KERNELS] == [LITECORE, BTRON]
    assert kernel_named("mine") is None
    assert layer_names() == ("memmap", "heap", "paging", "vspace", "pmem", "kmem", "pools", "regions")
    assert [kernel_of(layer) for layer in layer_names()] == [LITECORE] * 4 + [BTRON] * 4
    assert kernel_of("mine") is None


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_an_entry_names_parts_that_exist(kernel: kernels.Kernel) -> None:
    assert set(kernel.symbols) == set(kernel.layers)
    for part in (kernel.memory_map, kernel.address_spaces, kernel.checks):
        assert callable(load(part))
    assert ("E_PAR" in error_names(kernel.name).values()) == (kernel is BTRON)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_audits_and_profile_have_the_same_areas_with_blocks(kernel: kernels.Kernel) -> None:
    (profile,) = (one for one in map(known_profile, KNOWN_PROFILES) if one.name == kernel.name)
    every_symbol = {name: 0 for names in kernel.symbols.values() for name in names}
    audits = kernel.models(ByteMemory(0, 4096), every_symbol, print).audits(4096)
    with_blocks = {each.area for each in profile.functions if each.role.makes_block}
    assert {area for audit in audits for area in audit.areas} == with_blocks


def test_the_registry_imports_no_kernel() -> None:
    code = "import sys, emulator.hle.kernels; print([name for name in sys.modules if 'kernel_model' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class TestAThirdKernel:
    """Of which the emulator knows nothing but an entry."""

    @pytest.fixture(autouse=True)
    def entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernels, "KERNELS", (*KERNELS, slot_kernel.ENTRY))

    def test_it_is_recognized(self) -> None:
        found = recognize(machine_of(GOOD))
        assert found is not None
        assert found[0] is slot_kernel.ENTRY
        assert kernel_of("slots") is kernel_named("Slots") is slot_kernel.ENTRY

    def test_its_layers_can_be_modelled(self) -> None:
        assert inspect_image(assemble(GOOD), "k.elf").missing["slots"] == ()
        for mode in Mode:
            machine = machine_of(GOOD)
            attach_layers(machine, {"slots": mode})
            assert machine.run().exit_value == 0
            assert machine.memory.load_u32(machine.address_of("slot_count")) == 2
        calls = lockstep_calls(machine)
        assert calls is not None
        assert calls.compared == 2

    def test_its_structures_are_audited(self) -> None:
        report = check_kernel(machine_of(GOOD), slot_kernel.PROFILE)
        assert report.findings == ()
        assert Kind.CORRUPTION in report.checked

    def test_what_breaks_them_is_found(self) -> None:
        def new_machine() -> Machine:
            return machine_of(BAD)

        report = check_kernel(new_machine(), slot_kernel.PROFILE, new_machine=new_machine)
        (finding,) = report.findings
        assert (finding.kind, finding.area) == (Kind.CORRUPTION, "slots")
        assert finding.message == "slots metadata corrupted: slot_count 0x00000064: there are 4 slots"
        assert finding.faulting_write is not None
        address = new_machine().address_of("slot_count")
        assert finding.faulting_write.text == f"mov dword ptr [0x{address:x}], 0x63"

    def test_its_errors_have_names(self) -> None:
        assert error_names("Slots") == {slot_kernel.FULL: "E_FULL"}

    def test_its_memory_map_is_read(self) -> None:
        machine = machine_of(GOOD)
        memory_map = read_memory_map(machine)
        assert memory_map.kernel == "Slots"
        assert memory_map.notes == (f"slot_count lies at 0x{machine.address_of('slot_count'):08x}",)

    def test_its_memory_is_located(self) -> None:
        machine = machine_of(GOOD)
        address = machine.address_of("slot_count")
        assert Locator(machine).field_at(address + 1, address + 2).start == address
