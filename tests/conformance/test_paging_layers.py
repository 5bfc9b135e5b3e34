"""The scenario of virtual memory with its layers in every mode, paging switched on in the middle: always the same text."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import product

import pytest

from emulator import boot
from emulator.hle.layers import Mode, attach_layers, lockstep_calls
from emulator.machine.address_map import MIB
from emulator.machine.consoles import Console
from emulator.machine.memory import RAM_SIZE_MAX, RamWindow

KERNEL = "firmware:paging_demo"
LAYERS = ("memmap", "heap", "paging", "vspace")


def run(modes: dict[str, Mode]) -> str:
    machine = boot(KERNEL, layers=modes)
    assert machine.run(timeout_s=60).exit_value == 0
    calls = lockstep_calls(machine)
    assert (calls is not None) == (Mode.LOCKSTEP in modes.values())
    if calls is not None:
        assert calls.compared > 0
        assert calls.given_up == 0
    return machine.output[Console.SERIAL].decode()


@cache
def native() -> str:
    return run({})


@pytest.mark.parametrize(("paging", "vspace"), list(product(Mode, Mode)))
def test_paging_and_vspace_in_any_two_modes(paging: Mode, vspace: Mode) -> None:
    assert run({"paging": paging, "vspace": vspace}) == native()


@pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
def test_all_layers_at_once(mode: Mode) -> None:
    assert run(dict.fromkeys(LAYERS, mode)) == native()


@pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
def test_modes_change_in_the_middle(mode: Mode) -> None:
    """Switched on once paging is on, and off again: each finds what the other has left."""
    machine = boot(KERNEL, layers={"vspace": mode})
    machine.run(until="Ranges of address space")
    attach_layers(machine, {"paging": mode, "vspace": Mode.NATIVE})
    machine.run(until="five frames")
    attach_layers(machine, {"paging": Mode.NATIVE, "vspace": mode})
    assert machine.run(timeout_s=60).exit_value == 0
    assert machine.output[Console.SERIAL].decode() == native()


def test_a_boot_imports_no_model_that_it_does_not_run() -> None:
    """Which takes time. The summary reads page directory and ranges, and needs no more than that."""
    program = """
import sys
from emulator.cli.main import main
assert main(["boot", "firmware:paging_demo"]) == 0
models = ("paging", "vspace", "vmalloc", "virtual_abi", "paging_damage", "vspace_audit")
print(*(name for name in models if f"kernel_model.litecore.{name}" in sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "paging vspace\n"


@pytest.mark.parametrize("mode", [Mode.NATIVE, Mode.MODEL])
def test_an_identity_map_up_to_the_last_page(mode: Mode) -> None:
    """The page after it is not page 0. A heap that reaches so far needs a table for each 4 MiB."""
    ram = RamWindow(MIB, MIB + RAM_SIZE_MAX)
    machine = boot(KERNEL, layers={"paging": mode}, ram=ram, command_line="ram=all")
    machine.run(until="every call of the virtual memory")
    machine.call("mem_init", 4 * MIB, 0xFFFF_FFFF)
    assert machine.call("paging_init", max_instructions=100_000_000) == 0
    shown = [machine.call("virt_to_phys", address) for address in (0, 0xFFF, 0x1000, 0xFFFF_FFFE)]
    assert shown == [0xFFFF_FFFF, 0xFFFF_FFFF, 0x1000, 0xFFFF_FFFE]
