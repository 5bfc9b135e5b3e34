"""Kernels of Debian packages, which nobody here wrote: they get as far here as in QEMU.

The packages are downloaded (`tests.helpers.debian`); without a network these tests fail.
"""

from __future__ import annotations

import gzip
import re
from contextlib import closing
from itertools import pairwise, takewhile
from struct import iter_unpack
from typing import TYPE_CHECKING

import pytest

from emulator.devices.addresses import TEXT_MEMORY
from emulator.devices.vga.text import VgaText
from emulator.errors import BudgetUsedUp
from emulator.loader.image import KernelImage
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.helpers.debian import package_file
from tests.oracle.compare.sides import Ours, Qemu, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.oracle.compare.sides import State

MIB = 1 << 20
BIOS_TABLES = 128 * 1024  # QEMU's BIOS takes them from the end of RAM; ours has them elsewhere
PIT_HZ = 1_193_182
WAIT_FOR_TICKS = bytes.fromhex("56 8d 90 20 4e 00 00")  # of invaders: push esi; lea edx, [eax + 20000]
MACH_MIB = 128
MACH_ALLOCATES = {  # and how many words their arguments are
    "bootstrap_create": 0,  # with it, all is set up
    "kalloc": 1,
    "kfree": 2,
    "kmem_alloc": 3,
    "kmem_alloc_wired": 3,
    "kmem_cache_alloc": 1,
    "kmem_cache_free": 2,
    "vm_page_grab": 0,
    "vm_page_release": 3,
}
# Where a loader puts its blocks is its own affair.
_OWN = re.compile(r"mods_count|mmap_addr|base_addr = 0x000fe0000")


def test_the_example_of_multiboot_shows_what_it_shows_in_qemu() -> None:
    kernel = package_file("multiboot", "usr/lib/multiboot/examples/kernel")
    image = KernelImage.read(kernel)
    machine = Machine(image, ram=RamWindow(MIB, qemu.RAM_MIB * MIB - BIOS_TABLES), command_line="oracle=1")
    assert machine.run(timeout_s=60).ending is Returned.HALTED
    ram = qemu.inspect(kernel, image.physical_entry, TEXT_MEMORY[1], "oracle=1").at_end.ram
    ours, theirs = (
        [line for line in lines if line and not _OWN.search(line)]
        for lines in (machine.screen(), VgaText().screen(ram[slice(*TEXT_MEMORY)]).lines())
    )
    assert (ours[0], theirs[0]) == (
        "flags = 0x1a4f",
        "flags = 0x24f",
    )  # it asks for graphics, as GRUB gives them
    assert ours[1:] == theirs[1:]
    assert ours[-1] == "Halted."


def test_gnu_mach_allocates_as_in_qemu_and_gets_to_its_debugger(tmp_path: Path) -> None:
    """It has no bootstrap server to start, so it panics, and its debugger waits for commands."""
    packed = package_file("gnumach-image-1.8-486-dbg", "boot/gnumach-*.gz")
    kernel = tmp_path / "gnumach"
    kernel.write_bytes(gzip.decompress(packed.read_bytes()))
    image = KernelImage.read(kernel)
    functions = {image.symbol(name): name for name in MACH_ALLOCATES}
    names = {symbol.address: name for symbol, name in functions.items() if symbol is not None}
    assert len(names) == len(MACH_ALLOCATES)

    def event(side: Ours | Qemu, state: State) -> tuple[str, ...]:
        """An entry with return address and arguments, or what was returned to such an address."""
        eip, esp = state["eip"], state["esp"]
        if eip not in names:
            return "", f"0x{eip:08x}", f"0x{state['eax']:08x}"
        words = iter_unpack("<I", side.memory(esp, esp + 4 + 4 * MACH_ALLOCATES[names[eip]]))
        return names[eip], *(f"0x{word:08x}" for (word,) in words)

    def set_up(events: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
        return list(takewhile(lambda each: each[0] != "bootstrap_create", events))

    def here(side: Ours, places: Iterable[int]) -> list[tuple[str, ...]]:
        events: list[tuple[str, ...]] = []

        def reached(_kind: int, _esp: int, eax: int) -> int:
            events.append(event(side, side.state()))
            return eax

        for address in places:
            side.machine.observers.probe(address, reached)
        side.machine.run(timeout_s=60, until="db> ")
        return set_up(events)

    setting = Setting(image, MACH_MIB, "", (), timeout_s=60)
    with closing(Qemu(setting)) as there:
        first, second = Ours(setting, there), Ours(setting, there)
        places = sorted({*names, *(int(returns, 16) for _, returns, *_ in here(first, names))})
        ours = here(second, places)
        theirs = set_up(event(there, state) for state in there.stops(places))
    assert ours == theirs
    assert {"", "kalloc", "kmem_cache_alloc", "vm_page_grab"} <= {name for name, *_ in ours}

    machine = Machine(image, ram=RamWindow(MIB, MACH_MIB * MIB - BIOS_TABLES))
    machine.run(timeout_s=60, until="db> ")
    screen = [line for line in machine.screen() if line]
    assert "Debugger invoked: panic" in screen
    assert screen[-1] == "db>"


def test_invaders_is_played_with_keys() -> None:
    machine = Machine(KernelImage.read(package_file("grub-invaders", "boot/invaders.exec")))

    def play(instructions: int) -> list[str]:
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=instructions, timeout_s=60)
        return machine.screen()

    screen = play(5_000_000)
    assert sum(line.count("-*-") for line in screen) == 40
    ship = screen[24].index("/ \\")
    machine.keys(" " + "{right}" * 10)
    seen = [play(2_000_000) for _ in range(40)]
    assert max(screen[24].index("/ \\") for screen in seen) > ship
    shots = [row for screen in seen for row, line in enumerate(screen) if "|" in line]
    assert shots
    assert shots == sorted(shots, reverse=True), "a shot goes up"
    machine.keys(" ")
    seen = [play(10_000_000) for _ in range(12)]
    assert max("".join(screen).count("*") for screen in seen[6:]) < 40, "shots hit"


def test_invaders_shows_as_many_frames_a_second_as_it_asks_the_pit_for() -> None:
    """More than 60: it waits for fewer ticks the fewer invaders live."""
    image = KernelImage.read(package_file("grub-invaders", "boot/invaders.exec"))
    machine = Machine(image)
    frames: list[tuple[int, int]] = []

    def waits(_kind: int, _esp: int, ticks: int) -> int:
        frames.append((machine.interrupts.now_ns(), ticks))
        return ticks

    address, code = next((part.physical, part.data) for part in image.segments)
    machine.observers.probe(address + code.index(WAIT_FOR_TICKS), waits)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=100_000_000, timeout_s=60)
    (ticks,) = {ticks for _, ticks in frames}
    asked_ns = ticks * 10**9 / PIT_HZ
    lasted_ns = [after[0] - before[0] for before, after in pairwise(frames)]
    assert asked_ns <= min(lasted_ns)
    assert sum(lasted_ns) / len(lasted_ns) < min(asked_ns * 1.05, 10**9 / 60)
