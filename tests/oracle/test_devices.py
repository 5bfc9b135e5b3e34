"""The self-tests in `firmware/devices` print here what they print in QEMU, line for line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
_BIOS_TABLES = 128 * 1024  # at the end of RAM in QEMU, which its Multiboot information leaves out
_SEE_THEM = ("bios", "multiboot_info")
_COMMAND_LINE = "oracle=1"  # without one, QEMU ends the kernel's name with a blank
AREAS = (
    "acpi",
    "apic",
    "bios",
    "bios_video",
    "disk",
    "exceptions",
    "graphics",
    "features",
    "keyboard",
    "multiboot_info",
    "nothing",
    "pic",
    "pit",
    "pci",
    "real_mode",
    "rings",
    "rtc",
    "screen",
    "uart",
)


@pytest.mark.parametrize("area", AREAS)
def test_a_self_test_prints_what_it_prints_in_qemu(area: str, built: Path) -> None:
    kernel = built / f"{area}.elf"
    theirs = qemu.run_to_exit(kernel, _COMMAND_LINE)
    ram = RamWindow(MIB, qemu.RAM_MIB * MIB - (_BIOS_TABLES if area in _SEE_THEM else 0))
    machine = Machine(KernelImage.read(kernel), ram=ram, command_line=_COMMAND_LINE)
    outcome = machine.run(timeout_s=60)
    lines = bytes(machine.output[Console.SERIAL]).decode().splitlines()
    assert lines == theirs.serial.decode().splitlines()
    assert lines[-1] == "done"
    assert bytes(machine.output[Console.SERIAL2]) == theirs.serial2
    assert outcome.ending is Returned.EXIT
    assert outcome.exit_code == theirs.exit_code


@pytest.mark.parametrize(
    ("kernel", "sectors"), [("disk", 20160), ("bios_disk", 20160), ("bios_disk", 1_300_000)]
)
def test_a_disk_reads_and_writes_as_in_qemu(kernel: str, sectors: int, built: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.write(b"".join(bytes([number % 251]) * 512 for number in range(20160)))
        file.truncate(512 * sectors)
    before = disk.stat().st_mtime_ns
    elf = built / f"{kernel}.elf"
    theirs = qemu.run_to_exit(elf, options=["-drive", f"file={disk},format=raw,if=ide,snapshot=on"])
    machine = boot(str(elf), ram=RamWindow(MIB, qemu.RAM_MIB * MIB), disk=str(disk))
    assert machine.run(timeout_s=60).exit_code == theirs.exit_code
    lines = bytes(machine.output[Console.SERIAL]).decode().splitlines()
    assert lines == theirs.serial.decode().splitlines()
    assert lines[-1] == "done"
    assert disk.stat().st_mtime_ns == before
