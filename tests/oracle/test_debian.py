"""Kernels of Debian packages, which nobody here wrote: they get as far here as in QEMU.

The packages are downloaded (`tests.helpers.debian`); without a network these tests fail.
"""

from __future__ import annotations

import re

from emulator.devices.vga_text import screen_lines
from emulator.loader.image import KernelImage
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.helpers.debian import package_file

MIB = 1 << 20
BIOS_TABLES = 128 * 1024  # QEMU's BIOS takes them from the end of RAM; ours has them elsewhere
SCREEN, SCREEN_SIZE = 0xB8000, 80 * 25 * 2
# Where a loader puts its blocks is its own affair.
_OWN = re.compile(r"mods_count|mmap_addr|base_addr = 0x000fe0000")


def test_the_example_of_multiboot_shows_what_it_shows_in_qemu() -> None:
    kernel = package_file("multiboot", "usr/lib/multiboot/examples/kernel")
    image = KernelImage.read(kernel)
    machine = Machine(image, ram=RamWindow(MIB, qemu.RAM_MIB * MIB - BIOS_TABLES), command_line="oracle=1")
    assert machine.run(timeout_s=60).ending is Returned.HALTED
    ram = qemu.inspect(kernel, image.physical_entry, SCREEN + SCREEN_SIZE, "oracle=1").at_end.ram
    ours, theirs = (
        [line for line in lines if line and not _OWN.search(line)]
        for lines in (machine.screen(), screen_lines(memoryview(ram[SCREEN:])))
    )
    assert ours == theirs
    assert ours[-1] == "Halted."
