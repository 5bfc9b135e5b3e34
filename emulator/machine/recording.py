"""Recording: entries and exits of functions go into the core's event ring, without any Python in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import UnknownFunction
from emulator.machine.cpu import ProbeAction, ProbeKind
from emulator.machine.exits import find_exits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.machine.cpu import Event
    from emulator.machine.machine import Machine

DEFAULT_CAPACITY = 1 << 16


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that has begun.

    Attributes:
        functions: Names; an event's `function` is the position in here.
    """

    machine: Machine
    functions: tuple[str, ...]

    @property
    def count(self) -> int:
        """Events seen since the beginning, those that fell out of the ring included."""
        return self.machine.cpu.event_count()

    def events(self) -> list[Event]:
        """The newest events, as many as the ring holds, oldest first."""
        return self.machine.cpu.events()


def record(machine: Machine, functions: Iterable[str], capacity: int = DEFAULT_CAPACITY) -> Recording:
    """Record every entry and exit of some functions of the guest from now on.

    Args:
        machine: Whose guest.
        functions: Their symbols.
        capacity: Events kept, a power of two; older ones are overwritten.

    Raises:
        UnknownFunction: The kernel has no such symbol.
        UnsupportedFunction: A function's end cannot be found.
        ValueError: *capacity* is no power of two.
    """
    if capacity < 1 or capacity & (capacity - 1):
        raise ValueError(f"a ring of {capacity} events: the capacity must be a power of two")
    names = tuple(functions)
    symbols = [machine.image.symbol(name) for name in names]
    probes = []
    for number, (name, symbol) in enumerate(zip(names, symbols, strict=True)):
        if symbol is None:
            raise UnknownFunction(machine.image.path, name)
        probes.append((symbol.address, number, ProbeKind.ENTRY))
        probes.extend((address, number, ProbeKind.EXIT) for address in find_exits(machine.image, symbol))
    machine.cpu.set_ring(capacity)
    for address, number, kind in probes:
        machine.cpu.add_probe(address, number, kind, ProbeAction.RECORD)
    machine.cpu.flush_code()
    return Recording(machine, names)
