"""Write what a kernel accessed that kmemu does not have."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.machine.unanswered import Lack

_LINES_MAX: Final = 8
_PORTS: Final = (
    (range(0x60, 0x65), "keyboard controller"),
    (range(0x70, 0x72), "CMOS and clock"),
    (range(0x80, 0x81), "diagnostics"),
    (range(0x170, 0x178), "second IDE channel"),
    (range(0x1CE, 0x1D2), "Bochs VBE"),
    (range(0x1F0, 0x1F8), "first IDE channel"),
    (range(0x220, 0x230), "Sound Blaster"),
    (range(0x278, 0x27B), "LPT2"),
    (range(0x2E8, 0x2F0), "COM4"),
    (range(0x2F8, 0x300), "COM2"),
    (range(0x378, 0x37B), "LPT1"),
    (range(0x388, 0x38C), "AdLib"),
    (range(0x3B0, 0x3E0), "VGA"),
    (range(0x3E8, 0x3F0), "COM3"),
    (range(0x3F0, 0x3F8), "floppy disk"),
    (range(0xCF8, 0xD00), "PCI configuration"),
)
_MEMORY: Final = (
    (range(0xFEC00000, 0xFEC01000), "I/O APIC"),
    (range(0xFED00000, 0xFED00400), "HPET"),
    (range(0xFEE00000, 0xFEF00000), "local APIC"),
)


def lack_lines(lacks: Sequence[Lack]) -> Iterator[str]:
    """Yield a line for each port, run of ports, or page that the kernel accessed and kmemu does not have; the most accessed ones."""
    groups = _groups(lacks)
    order = sorted(range(len(groups)), key=lambda each: _weight(groups[each]), reverse=True)
    shown = set(order[:_LINES_MAX])
    yield from (_line(group) for number, group in enumerate(groups) if number in shown)
    if len(groups) > len(shown):
        yield f"kmemu does not have {len(groups) - len(shown)} more of what was accessed less often"


def lacks_line(lacks: Sequence[Lack]) -> str:
    """Return one line, to follow the name kmemu, for where `lack_lines` are not shown: of what was accessed most."""
    groups = _groups(lacks)
    most = max(groups, key=_weight)
    more = f"; nor {len(groups) - 1} more of what was accessed less often" if len(groups) > 1 else ""
    return f"{_line(most).removeprefix('kmemu ')}{more}"


def port_name(port: int) -> str:
    """Return a port's number, with the device that a PC has there as far as it is known."""
    device = next((name for ports, name in _PORTS if port in ports), "")
    return f"0x{port:x} ({device})" if device else f"0x{port:x}"


def page_name(address: int) -> str:
    """Return a physical address outside of RAM, with the device that a PC has there as far as it is known."""
    device = next((name for memory, name in _MEMORY if address in memory), "")
    return f"0x{address:08x} ({device})" if device else f"0x{address:08x}"


def _groups(lacks: Sequence[Lack]) -> list[list[Lack]]:
    """Return the accesses with those of neighbouring ports together; the order is that of the first access."""
    by_port = sorted((lack for lack in lacks if lack.port is not None), key=lambda lack: lack.port or 0)
    groups: list[list[Lack]] = [[lack] for lack in by_port[:1]]
    for before, lack in pairwise(by_port):
        if lack.port == (before.port or 0) + 1:
            groups[-1].append(lack)
        else:
            groups.append([lack])
    groups += [[lack] for lack in lacks if lack.port is None]
    place = {id(lack): index for index, lack in enumerate(lacks)}
    return sorted(groups, key=lambda group: min(place[id(lack)] for lack in group))


def _weight(group: Sequence[Lack]) -> tuple[bool, int]:
    """Return what decides which groups are shown: accesses, but before them an instruction, as the kernel may have died of it."""
    return bool(group[0].instruction), sum(lack.reads + lack.writes for lack in group)


def _line(group: Sequence[Lack]) -> str:
    reads, writes = sum(lack.reads for lack in group), sum(lack.writes for lack in group)
    first = group[0]
    if first.instruction:
        return f"kmemu does not have {first.instruction}, executed at {first.location}"
    counts = [
        f"{verb} {counted(count, 'time', ',')}"
        for verb, count in (("called" if first.service else "read", reads), ("written", writes))
        if count
    ]
    text = (
        f"kmemu does not have {_name(group)}: {' and '.join(counts) or 'accessed'}, first at {first.location}"
    )
    return f"{text}; RAM ends at 0x{first.ram_end:08x}, see --ram" if first.ram_end else text


def _name(group: Sequence[Lack]) -> str:
    first, last = group[0], group[-1]
    if first.service:
        return f"{first.service} (BIOS)"
    if first.port is not None and last.port is not None:
        if first is last:
            return f"port {port_name(first.port)}"
        ends = f"ports 0x{first.port:x}-0x{last.port:x}"
        device = next((name for ports, name in _PORTS if first.port in ports and last.port in ports), "")
        return f"{ends} ({device})" if device else ends
    if first.address is None:
        return "memory in other pages"
    return f"memory at {page_name(first.address)}"
