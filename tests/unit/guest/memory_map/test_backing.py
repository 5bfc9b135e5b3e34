from __future__ import annotations

from itertools import pairwise

from emulator.guest.memory_map.backing import Backed, backing_of, backing_of_ram
from emulator.guest.memory_map.spaces import Backing
from emulator.machine.address_map import MIB
from tests.helpers.guest import machine_of


def test_every_physical_address_is_of_one_kind() -> None:
    found = backing_of(machine_of("hlt"))
    assert all(one.end == other.start and one.start < one.end for one, other in pairwise(found))
    assert (found[0].start, found[-1].end) == (0, 1 << 40)
    assert [each.backing for each in found[:5]] == [
        Backing.RAM,
        Backing.VIDEO,
        Backing.ROM,
        Backing.RAM,
        Backing.NOTHING,
    ]
    assert [each.name for each in found if each.backing is Backing.DEVICE] == [
        "frame buffer",
        "graphics",
        "I/O APIC",
        "local APIC",
    ]


def test_where_only_ram_is_known_the_rest_is_not() -> None:
    assert backing_of_ram([(MIB, 2 * MIB)]) == [
        Backed(0, MIB, Backing.UNKNOWN),
        Backed(MIB, 2 * MIB, Backing.RAM),
        Backed(2 * MIB, 1 << 40, Backing.UNKNOWN),
    ]
