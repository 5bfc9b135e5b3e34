"""Layer `regions` in all modes: what the CPU remembers of user space, damage, and scenarios that end alike."""

from __future__ import annotations

from typing import Final

import pytest

from emulator.errors import GuestStopped, ModelStopped
from emulator.hle.layers import Mode, attach_layers, lockstep_calls
from emulator.hle.lockstep import Divergence
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from kernel_model.btron.spaces import Spaces
from kernel_model.btron.user_pages import UserPages
from tests.conformance.btron.subjects import KERNEL, PAGE, FirmwareSubject, Guest
from tests.conformance.btron.user_space import (
    DATA,
    E_OK,
    READ,
    START,
    A,
    B,
    fill,
    make_spaces,
    mapped,
)
from tests.helpers.kernels import BTRON
from tests.helpers.strict_call import strict_call

LOAD_CR3: Final = bytes.fromhex("8b442404 0f22d8 c3")  # mov eax, [esp + 4]; mov cr3, eax; ret
CODE: Final = KERNEL + 0x0005_1000
COPY: Final = CODE + 0x100
REGION: Final = 4  # offset of the first one in a space

ALL = pytest.mark.parametrize("mode", Mode)
NOT_NATIVE = pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])


def booted(mode: Mode) -> tuple[Machine, Guest]:
    """Return a kernel that runs in the space of task A, in which two pages are mapped."""
    machine = Machine(KernelImage.read(builtin.resolve("firmware:btron_demo")))
    machine.run()
    guest = Guest(FirmwareSubject(machine))
    guest.boot()
    make_spaces(guest)
    attach_layers(machine, {"regions": mode})
    mapped(guest)
    fill(guest)
    machine.memory.write(CODE - KERNEL, LOAD_CR3)
    strict_call(machine, CODE, guest.space(A)["directory"])
    return machine, guest


def read(machine: Machine, address: int) -> int:
    """Let the guest read a word of the space that it runs in."""
    strict_call(machine, "memcpy", COPY, address, 4)
    return machine.memory.load_u32(COPY - KERNEL)


@ALL
def test_the_cpu_forgets_what_was_unmapped(mode: Mode) -> None:
    machine, guest = booted(mode)
    assert [read(machine, START), read(machine, START + PAGE)] == [0x4040_4040, 0x4141_4141]
    assert guest.er("vunm_reg", A, START, 2 * PAGE) == E_OK
    assert guest.call("pmem_alloc", 4 * PAGE)  # what was mapped, and the tables
    assert guest.er("vmap_reg", A, START, 2 * PAGE, DATA) == E_OK
    assert [read(machine, START), read(machine, START + PAGE)] == [0, 0]


@ALL
def test_the_cpu_forgets_what_might_be_written(mode: Mode) -> None:
    machine, guest = booted(mode)
    strict_call(machine, "memcpy", START, COPY, 4)
    assert guest.er("vprt_reg", A, START, READ) == E_OK
    with pytest.raises(GuestStopped):
        machine.call("memcpy", START, COPY, 4)
    assert b"exception 14 at " in machine.output[Console.SERIAL]
    assert machine.output[Console.SERIAL].endswith(b" error 0x00000003\n")  # a page that is there, written to


@ALL
def test_what_another_task_loses_is_not_forgotten(mode: Mode) -> None:
    machine, guest = booted(mode)
    assert guest.er("vshr_reg", A, B, START) == E_OK
    assert read(machine, START) == 0x4040_4040
    guest.call("space_delete", B)
    assert read(machine, START) == 0x4040_4040


@NOT_NATIVE
@pytest.mark.parametrize(
    ("field", "value"),
    [("start", START + 1), ("start", 0x7FFF_F000), ("max_size", 0x7FFF_FFFF), ("max_size", 0xFFFF_F000)],
)
def test_a_region_outside_user_space_is_refused(mode: Mode, field: str, value: int) -> None:
    machine, guest = booted(mode)
    offset = {"start": 0, "max_size": 8}[field]
    word = guest.symbols["space_table"] + 196 * A + REGION + offset
    machine.memory.store_u32(word, value)
    start, size = (machine.memory.load_u32(word - offset + each) for each in (0, 8))
    text = rf"space_table\[{A}\]\.regions\[0\]\.max_size = 0x{size:08x}: \[0x{start:08x}, 0x{start + size:08x}\) is no range of"
    with pytest.raises(ModelStopped, match=text):
        machine.call("vdel_reg", A, START)


@NOT_NATIVE
def test_a_table_outside_memory_is_refused(mode: Mode) -> None:
    machine, guest = booted(mode)
    machine.memory.store_u32(guest.space(A)["directory"], 0xFFFF_F007)
    with pytest.raises(ModelStopped, match="no memory at 0x"):
        machine.call("vget_reg", A, START, 4, COPY)


def test_what_differs_has_the_name_of_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, guest = booted(Mode.LOCKSTEP)
    monkeypatch.setattr(UserPages, "protect", lambda *_: None)
    monkeypatch.setattr(Spaces, "set_permission", lambda *_: None)
    entry = guest.entry_of(A, START) - KERNEL
    with pytest.raises(Divergence) as caught:
        machine.call("vprt_reg", A, START, READ)
    assert sorted(each.place.partition(" ")[2] for each in caught.value.differences) == [
        f"page table entry of 0x{START:08x} (task {A})",
        f"page table entry of 0x{START + PAGE:08x} (task {A})",
        f"space_table[{A}].regions[0].permission",
    ]
    assert entry in [each.address for each in caught.value.differences]


@NOT_NATIVE
@pytest.mark.parametrize("kernel", BTRON)
def test_scenarios_end_alike(kernel: str, mode: Mode) -> None:
    image = KernelImage.read(builtin.resolve(f"firmware:{kernel}"))
    arguments = {"btron_stress": "calls=500", "vm_churn": "calls=20"}.get(kernel, "")
    native, chosen = Machine(image, command_line=arguments), Machine(image, command_line=arguments)
    attach_layers(chosen, {"regions": mode, "pmem": mode})
    assert native.run(timeout_s=60).exit_value == chosen.run(timeout_s=60).exit_value
    assert native.output == chosen.output
    calls = lockstep_calls(chosen)
    assert (calls is not None) == (mode is Mode.LOCKSTEP)
