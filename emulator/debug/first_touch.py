"""Find the call that touched an address first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.debug.stop import StopKind
from emulator.debug.timeline import arrived
from emulator.guest.memory import physical_address

if TYPE_CHECKING:
    from emulator.debug.points import Point
    from emulator.debug.timeline import Timeline


def go_to_first_touch(timeline: Timeline, address: int) -> None:
    """Go to the exit of the first call that touched an address.

    A call touches the block that it takes or gives back, and what is written while it runs.

    Args:
        timeline: To move.
        address: As the kernel writes it, or physical.

    Raises:
        ValueError: There is no memory at *address*, or no such call; the machine stands where it stood before.
        Cancelled: The machine stands somewhere.
    """
    debugger = timeline.debugger
    here = debugger.moment
    physical = physical_address(timeline.machine, address)
    of_block = timeline.search.first_with_block_at(address)
    points: list[Point] = [
        debugger.watch(physical, 1, condition=lambda d: timeline.call_around(d.event) > 0, physical=True)
    ]
    if of_block is not None:
        points.append(debugger.break_event(timeline.calls.call(of_block).entered))
    try:
        debugger.stands(None)
        with debugger.only(points):
            stop = arrived(debugger.run())
    finally:
        for each in points:
            each.remove()
    number = timeline.call_around(debugger.event) if stop.kind is StopKind.WATCHPOINT else of_block
    if number is None:
        debugger.go_to(here)
        raise ValueError(f"no call has touched 0x{address:08x}")
    call = timeline.calls.call(number)
    timeline.go_to(call.left or call.entered)
