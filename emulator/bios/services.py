"""Which service an entry of the ROM belongs to."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from emulator.bios.pc import Call
from emulator.boot_protocol.bios_data import ENTRIES
from emulator.boot_protocol.rom import RESET, TIMER_HANDLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.bios.pc import Pc

# By vector: where the service is.
_BY_VECTOR: Final = {
    0x02: "interrupts.nothing",
    0x05: "interrupts.nothing",
    0x08: "clock.tick",
    0x09: "keyboard.key_moved",
    0x0A: "interrupts.end_first",
    0x0E: "interrupts.end_first",
    0x10: "video.text.serve",
    0x11: "system.equipment",
    0x12: "system.memory_size",
    0x13: "disks.serve",
    0x14: "serial.serve",
    0x15: "system.serve",
    0x16: "keyboard.serve",
    0x17: "interrupts.no_service",
    0x18: "interrupts.no_boot",
    0x19: "interrupts.no_boot",
    0x1A: "clock.serve",
    0x40: "interrupts.no_service",
    0x70: "clock.clock_interrupt",
    0x71: "interrupts.end_second",
    0x74: "interrupts.mouse_moved",
    0x75: "interrupts.end_second",
    0x76: "interrupts.end_second",
}
_ENTRIES: Final = {ENTRIES[vector]: (vector, name) for vector, name in _BY_VECTOR.items()} | {
    TIMER_HANDLED: (0x08, "interrupts.end_first"),
    RESET: (-1, "system.reset"),
}


def serve(offset: int, pc: Pc, registers: dict[str, int]) -> Call | None:
    """Serve a call of the BIOS.

    Args:
        offset: Of the entry in the ROM's segment.
        pc: Where it happens.
        registers: See `emulator.bios.pc.Call`.

    Returns:
        The call with what it returns. None: there is no entry.
    """
    if offset not in _ENTRIES:
        return None
    vector, name = _ENTRIES[offset]
    call = Call(pc, registers, vector)
    _function(name)(call)
    return call


@cache
def _function(name: str) -> Callable[[Call], None]:
    """Return a service; most kernels need few, or none."""
    module, _, function = name.rpartition(".")
    return getattr(import_module(f"emulator.bios.{module}"), function)  # type: ignore[no-any-return]
