"""What the model of LiteCore's page tables costs on guest RAM, called from Python and by the guest."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from in_process import LOOP, litecore_of, machine_of
from measure import Row, at_least, medians, seconds_of

from emulator.hle.layers import Mode, attach_layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.machine import Machine

FIRST = 0xE0000000  # nothing is mapped from there on
PAGES = 8192  # eight tables
STEP = 4096
FRAME = 0x00400000
PRESENT_RW = 3
DIRECTORY_MADE = "What is refused"  # paging_demo has a page directory, and paging is still off
TARGET = 200_000


def paged_machine() -> Machine:
    """Return a machine in the middle of paging_demo, with a page directory."""
    machine = machine_of("paging_demo")
    machine.run(until=DIRECTORY_MADE)
    return machine


def unmapping(machine: Machine) -> Callable[[], None]:
    """Return what unmaps all pages again."""
    unmap_page = litecore_of(machine).functions["unmap_page"].call

    def unmap() -> None:
        for page in range(PAGES):
            if unmap_page(FIRST + STEP * page) != 0:
                raise RuntimeError("a page was not mapped")

    return unmap


def direct_pages() -> Row:
    """The model's map_page called from Python, against the guest's called from Python."""
    machine = paged_machine()
    map_page = litecore_of(machine).functions["map_page"].call
    unmap = unmapping(machine)

    def modelled() -> None:
        for page in range(PAGES):
            map_page(FRAME, FIRST + STEP * page, PRESENT_RW)

    def native() -> None:
        for page in range(PAGES):
            machine.call("map_page", FRAME, FIRST + STEP * page, PRESENT_RW)

    def measure(run: Callable[[], None]) -> float:
        elapsed = seconds_of(run)
        unmap()
        return elapsed

    modelled_s, native_s = medians(5, partial(measure, modelled), partial(measure, native))
    rate = PAGES / modelled_s
    return Row(
        name="map-page",
        what="map_page of the model, called from Python",
        measured=f"{rate / 1e3:.0f} k/s",
        peer=f"machine.call of the guest's own {PAGES / native_s / 1e3:.0f} k/s",
        ratio=modelled_s / native_s,
        target=at_least(rate, TARGET, ">= 200 k/s"),
    )


def page_loop(machine: Machine, address: int) -> bytes:
    """Return machine code for *address*: map_page(FRAME, each of PAGES pages from FIRST on, PRESENT_RW), then hlt."""
    head = b"\xb9" + PAGES.to_bytes(4, "little") + b"\xbb" + FIRST.to_bytes(4, "little")  # mov ecx; mov ebx
    code = (
        head + b"\x51\x6a\x03\x53\x68" + FRAME.to_bytes(4, "little")
    )  # loop: push ecx; push 3; push ebx; push FRAME
    distance = machine.address_of("map_page") - (address + len(code) + 5)
    code += b"\xe8" + distance.to_bytes(4, "little", signed=True)  # call
    code += (
        b"\x83\xc4\x0c\x59\x81\xc3" + STEP.to_bytes(4, "little") + b"\x49"
    )  # add esp, 12; pop ecx; add ebx, STEP; dec ecx
    back = len(head) - (len(code) + 2)
    return code + b"\x75" + back.to_bytes(1, "little", signed=True) + b"\xf4"  # jnz loop; hlt


def guest_pages() -> Row:
    """The model instead of the guest's map_page, called by a loop in the guest, against the function itself."""
    runs = []
    for mode in (Mode.MODEL, Mode.NATIVE):
        machine = paged_machine()
        attach_layers(machine, {"paging": mode})
        machine.memory.write(LOOP, page_loop(machine, LOOP))
        runs.append((machine, unmapping(machine)))

    def run(machine: Machine, unmap: Callable[[], None]) -> float:
        machine.cpu.set_registers(machine.cpu.registers()._replace(eip=LOOP))
        elapsed = seconds_of(machine.run)
        unmap()
        return elapsed

    modelled_s, native_s = medians(5, *(partial(run, *each) for each in runs))
    rate = PAGES / modelled_s
    return Row(
        name="guest-map-page",
        what="the same, called by the guest (paging=model)",
        measured=f"{rate / 1e3:.0f} k/s",
        peer=f"paging=native {PAGES / native_s / 1e3:.0f} k/s",
        ratio=modelled_s / native_s,
        target=at_least(rate, TARGET, ">= 200 k/s"),
    )
