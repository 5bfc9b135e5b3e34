"""Find the newest write to some bytes, whoever has made it: an instruction, the CPU by itself, a device, or a model.

The run is searched from its checkpoints, the newest first, more and more of them together. A piece in which no page of the bytes was written is left out; in the others the bytes are watched. The machine
then goes to the write itself, to see what was written, and who is calling whom.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import Cancelled
from emulator.machine.call_stack import callers
from emulator.machine.core.stops import Stopping
from emulator.replay.moment import Moment
from emulator.replay.travel import Halt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.stops import Hit, Watch
    from emulator.replay.travel import Checkpoint, Travel


class Write(NamedTuple):
    """A write to some bytes.

    Attributes:
        moment: In front of the instruction that wrote, in which a device or a model did, or whose exception had the CPU write; what it writes at an interrupt comes before the
            handler that begins here.
        event: The newest event before it; of a model's write, that of its call.
        eip: The instruction; of a model, the first one of the function it stands in for.
        pc: Its linear address.
        text: The instruction; "": another one has written in it.
        before: The bytes before the write.
        after: The same after it.
        callers: Return addresses of the calls around it, innermost first.
    """

    moment: Moment
    event: int
    eip: int
    pc: int
    text: str
    before: bytes
    after: bytes
    callers: tuple[int, ...]


def newest_write(travel: Travel, spans: Sequence[range]) -> Write | None:
    """Return the newest write to some bytes before where the machine stands; it stands there again afterwards.

    Args:
        travel: The machine.
        spans: Where the bytes lie, physical.

    Returns:
        None: they have not been written since the start.

    Raises:
        Cancelled: The machine stands somewhere.
        HostError: See `Travel.forward`.
    """
    here = travel.moment
    travel.keep()  # to come back to
    hits = _newest_hits(travel, spans)
    write = _details(travel, spans, hits) if hits else None
    _check(travel.go_to(here))
    return write


def _newest_hits(travel: Travel, spans: Sequence[range]) -> list[tuple[Hit, range]]:
    """Return the newest write that each span has met, of the newest piece of the run in which any has."""
    end = travel.moment._replace(entered=False)  # calls are paused: nothing is entered
    pieces = [each for each in travel.checkpoints if each.moment < end]
    with ExitStack() as stack:
        stack.enter_context(travel.machine.calls.paused())
        stack.callback(travel.back_to, travel.start)
        watches = [travel.machine.stops.keep_writes(each[0], len(each)) for each in spans]
        number, together = len(pieces) - 1, 1
        while number >= 0:
            first = number
            if number == len(pieces) - 1 or _has_written(pieces[number], spans):
                while first and number - first + 1 < together and _has_written(pieces[first - 1], spans):
                    first -= 1
                travel.back_to(pieces[first].moment)
                _check(travel.pass_straight(end))
                hits = [(hit, span) for watch, span in zip(watches, spans, strict=True) if (hit := watch.hit)]
                if hits:
                    return _closed(watches, hits)
                together *= 2
            end, number = pieces[first].moment, first - 1
        return _closed(watches, [])


def _closed(watches: Sequence[Watch], found: list[tuple[Hit, range]]) -> list[tuple[Hit, range]]:
    for each in watches:
        each.close()
    return found


def _has_written(piece: Checkpoint, spans: Sequence[range]) -> bool:
    return any(piece.snapshot.page_written(at) for each in spans for at in (each[0], each[-1]))


def _details(travel: Travel, spans: Sequence[range], hits: Sequence[tuple[Hit, range]]) -> Write:
    """Go to the newest of some writes, and see what is known there."""
    from emulator.guest.disassembler import instruction_at

    machine = travel.machine
    newest = max((hit for hit, _ in hits), key=lambda hit: hit.instant)
    moment = Moment(*newest.instant)
    _check(travel.go_to(moment))
    event = machine.calls.event_count
    is_here = (
        machine.registers().pc == newest.pc
    )  # else the CPU has written, before the handler begins at which it stands
    text = instruction_at(machine, newest.eip, newest.pc) if is_here and newest.is_instructions else ""
    calling = callers(machine).return_addresses
    written = {span: hit.before for hit, span in hits if hit.instant == newest.instant}
    before = b"".join(written.get(each) or machine.memory.read(each[0], len(each)) for each in spans)
    if is_here:
        with machine.stops.mode_for(Stopping.IGNORES):
            travel.forward(steps=1)
    after = b"".join(machine.memory.read(each[0], len(each)) for each in spans)
    if newest.is_models and machine.calls.event_count > event:  # its call was recorded before it did its work
        event += 1
    return Write(moment, event, newest.eip, newest.pc, text, before, after, calling)


def _check(halt: Halt) -> None:
    if halt in (Halt.CANCELLED, Halt.TIME):
        raise Cancelled
