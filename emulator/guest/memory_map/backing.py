"""What lies at physical addresses, as far as page tables can name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.guest.memory_map.spaces import Backing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.guest.memory_map.regions import Span
    from emulator.machine.machine import Machine

_END: Final = 1 << 40  # of physical addresses


class Backed(NamedTuple):
    """Physical addresses `[start, end)` of one kind, with the name of a device."""

    start: int
    end: int
    backing: Backing
    name: str = ""


def backing_of(machine: Machine) -> list[Backed]:
    """Return what lies at all physical addresses of a machine, without gaps."""
    return _filled(_inhabited(machine), Backing.NOTHING)


def backing_of_ram(ram: Iterable[Span]) -> list[Backed]:
    """Return the same where only RAM is known."""
    return _filled((Backed(*span, Backing.RAM) for span in ram), Backing.UNKNOWN)


def _filled(parts: Iterable[Backed], gaps: Backing) -> list[Backed]:
    at, result = 0, []
    for part in sorted(parts, key=lambda each: each.start):
        if at < part.start:
            result.append(Backed(at, part.start, gaps))
        result.append(part)
        at = part.end
    return [*result, Backed(at, _END, gaps)]


def _inhabited(machine: Machine) -> Iterator[Backed]:
    from emulator.machine.address_map import MIB, ROM_START, VGA_START  # not for an image

    yield Backed(0, VGA_START, Backing.RAM)
    yield Backed(VGA_START, ROM_START, Backing.VIDEO, "video memory")
    yield Backed(ROM_START, MIB, Backing.ROM, "ROM")
    yield Backed(*machine.ram, Backing.RAM)
    for row in machine.board:
        if row.mmio[0] < row.mmio[1]:
            yield Backed(*row.mmio, Backing.DEVICE, row.name)
        if row.frame_buffer[0] < row.frame_buffer[1]:
            yield Backed(*row.frame_buffer, Backing.DEVICE, "frame buffer")
