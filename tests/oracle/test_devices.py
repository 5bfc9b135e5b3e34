"""The self-tests in `firmware/devices` print here what they print in QEMU, line for line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu

FIRMWARE = Path(__file__).parents[2] / "firmware"
MIB = 1 << 20
AREAS = ("acpi", "apic", "exceptions", "nothing")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the self-tests, each process of the tests with its own."""
    build = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [shutil.which("make") or "make", "-s", "-C", str(FIRMWARE), f"BUILD={build}", "devices"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return build / "devices"


@pytest.mark.parametrize("area", AREAS)
def test_a_self_test_prints_what_it_prints_in_qemu(area: str, built: Path) -> None:
    kernel = built / f"{area}.elf"
    theirs = qemu.run_to_exit(kernel)
    machine = Machine(KernelImage.read(kernel), ram=RamWindow(MIB, qemu.RAM_MIB * MIB))
    outcome = machine.run(timeout_s=60)
    lines = bytes(machine.output[Console.SERIAL]).decode().splitlines()
    assert lines == theirs.serial.decode().splitlines()
    assert lines[-1] == "done"
    assert outcome.ending is Returned.EXIT
    assert outcome.exit_code == theirs.exit_code
